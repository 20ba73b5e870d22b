"""An automatic U-Net from scratch on the same patients, planned and trained by nnU-Net's rules.

It knows no prompt but the name of a structure, so it stands beside the rows of text; where a box is given, too, its
answer is cut to the box. A run leaves a model folder, `models/<run>/model`, which `segment --model` takes as well.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from ...data.store import Store
from ...errors import RecipeError
from ...evaluation.answerers import Answerer
from ...evaluation.automatic import AutomaticAnswerer, asked_by
from ...imaging.prompts import PromptKind
from ...inference.load import load
from ...inference.strategies import strategy_of
from ...models.checkpoints import save_model
from ...models.unet.unet import Unet
from ...recipes.parts import fit_fault
from ...runtime import resolve_device, seed_everything
from ...training.automatic.fitting import train_automatic
from ...training.automatic.patches import PatchSampler
from ...training.automatic.planning import plan_network
from ...training.automatic.settings import AutomaticSettings
from ...training.case_groups import framed
from ..jobs import TrainJob
from .base import RunFacts

MODEL = "model"


@dataclass(frozen=True)
class UnetRival:
    """See the module; its settings are those of `training.automatic.settings`."""

    name: str = "unet"
    summary: str = "an automatic U-Net from scratch, planned and trained by nnU-Net's rules"
    trained: bool = True
    on_base: bool = False
    mark: str = "unet 1"

    def check(self, settings: Mapping[str, Any]) -> None:
        """See Rival."""
        _settings(settings)

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return asked_by(kinds)

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """See Rival; replayed cases are other anatomy or other scanners' and are left out."""
        settings = _settings(job.settings)
        names = {dataset: [one.case for one in job.train if one.dataset == dataset] for dataset in stores}
        records = [stores[dataset].record(case) for dataset, cases in names.items() for case in cases]
        structures = job.structures or tuple(sorted({name for record in records for name in record.structures}))
        config = plan_network(records, structures, settings)
        seed_everything(job.seed)
        network = Unet(config)
        strategy = strategy_of(network.spec)
        cases = [
            case
            for dataset, wanted in names.items()
            if wanted
            for case in framed(
                stores[dataset], wanted, lambda volume: strategy.prepare(volume, network.spec), structures
            )
        ]
        sampler = PatchSampler(cases, structures, config.window, settings.oversample, job.seed)
        result = train_automatic(network, sampler, settings, folder / "fit", device=resolve_device(device))
        save_model(network.cpu(), folder / MODEL)
        return {
            **asdict(result),
            "finished": result.finished,
            "settings": asdict(settings),
            "network": config.to_dict(),
            "threads": torch.get_num_threads(),
        }

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """See Rival."""
        if folder is None:
            raise RecipeError("an automatic U-Net answers only after it was trained.")
        return AutomaticAnswerer(load(str(folder / MODEL), device=device))


def _settings(values: Mapping[str, Any]) -> AutomaticSettings:
    """The settings; ValueError in one clause for what cannot be."""
    try:
        return TypeAdapter(AutomaticSettings).validate_python(dict(values))
    except ValidationError as error:
        raise ValueError(fit_fault(error, AutomaticSettings())) from error
