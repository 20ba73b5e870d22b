"""AdaBN for a network without batch norm: feature statistics re-estimated on unlabelled target scans, no training.

See `adapters.feature_statistics` for what is done and its sources. The target's scans are those of the patients who may
train, without their labels; the source's those of the patients with the role `replay`. A tested scan has no say in any
statistic, and one of the source's modality is asked of the base as it is.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...adapters.feature_statistics import ChannelMap, estimate_maps, install
from ...data.store import Store
from ...documents import Document, read_json
from ...errors import CheckpointError, RecipeError
from ...evaluation.answerers import Answerer, ContextChoice, Dialogue, NetworkAnswerer
from ...files import replacing, write_json
from ...imaging.prompts import PromptKind
from ...imaging.volume import Volume
from ...inference.load import load
from ...inference.strategies import strategy_of
from ...models.backbone import BackboneModule, Windows
from ...models.tensor_files import read_tensors
from ...vocabulary import Modality
from ..jobs import TrainJob
from .base import RunFacts, refuse_unknown, source_scans
from .wrapped import WrappedAnswerer

MAPS, MODALITIES = "maps.safetensors", "modalities.json"


class _ModalitiesFile(Document):
    """modalities.json."""

    target: list[Modality | None]


@dataclass(frozen=True)
class AdaBnRival:
    """See the module. Its one setting, `prior`, is how many scans the source's statistics count as; 0 unless said."""

    name: str = "adabn"
    summary: str = "the base with its feature statistics re-estimated on unlabelled target scans"
    trained: bool = True
    on_base: bool = True
    mark: str = "adabn 1"

    def check(self, settings: Mapping[str, Any]) -> None:
        """See Rival."""
        refuse_unknown(settings, "prior")
        prior = settings.get("prior", 0)
        if isinstance(prior, bool) or not isinstance(prior, int | float) or not 0 <= prior <= 1e6:
            raise ValueError(f"prior is {prior}; give a number of scans, 0 or more")

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return True

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """See Rival: maps of the base's norms."""
        started = time.monotonic()
        backbone = load(job.base, device=device)
        source = _windows(source_scans(job, stores, self.name), backbone)
        target = _windows((stores[name.dataset].read(name.case).volume for name in job.train), backbone)
        modalities = {modality for _, modality in target}
        if modalities & {modality for _, modality in source}:
            raise RecipeError(
                "adabn tells target from source by the modality, and some patients who train are of the replayed "
                "ones' modality; replay another one."
            )
        maps = estimate_maps(backbone, source, target, float(job.settings.get("prior", 0)))
        tensors = {
            f"{name}.{part}": getattr(channel_map, part).cpu().contiguous()
            for name, channel_map in maps.items()
            for part in ("scale", "shift")
        }
        with replacing(folder / MAPS) as temporary:
            save_file(tensors, temporary)
        write_json(folder / MODALITIES, {"target": sorted(modalities, key=str)})
        return {
            "steps": 0,
            "seconds": time.monotonic() - started,
            "source_scans": len(source),
            "target_scans": len(target),
            "norms": len(maps),
        }

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """See Rival."""
        if folder is None:
            raise RecipeError("statistics can be replaced only after they were estimated.")
        aligned = load(base, device=device)
        install(aligned, _read_maps(folder / MAPS, aligned))
        modalities_file = read_json(folder / MODALITIES, _ModalitiesFile, error=RecipeError)
        return AlignedAnswerer(
            NetworkAnswerer(load(base, device=device)), NetworkAnswerer(aligned), frozenset(modalities_file.target)
        )


@dataclass(frozen=True)
class AlignedAnswerer(WrappedAnswerer):
    """A network as it is, and with the statistics of other modalities.

    Attributes:
        aligned: the network, its statistics replaced.
        modalities: of the scans that the latter answers.
    """

    aligned: NetworkAnswerer
    modalities: frozenset[Modality | None]

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer."""
        chosen = self.aligned if volume.modality in self.modalities else self.network
        return chosen.open(volume, windows=windows, context=context)


def _windows(volumes: Iterable[Volume], backbone: BackboneModule) -> list[tuple[Tensor, Modality | None]]:
    """The window that stands for each scan, with its modality."""
    strategy, spec = strategy_of(backbone.spec), backbone.spec
    pairs = []
    for volume in volumes:
        framed = strategy.prepare(volume, spec)
        image = torch.from_numpy(framed.image).to(backbone.device)
        pairs.append((strategy.overview(image, framed.pad, spec), volume.modality))
    return pairs


def _read_maps(path: Path, backbone: BackboneModule) -> dict[str, ChannelMap]:
    """The maps that a file holds; CheckpointError where they do not fit the network."""
    tensors = read_tensors(path, CheckpointError)
    names = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    layers = dict(backbone.named_modules())
    for name in names:
        sizes = {tuple(tensors.get(f"{name}.{part}", torch.empty(0)).shape) for part in ("scale", "shift")}
        weight = getattr(layers.get(name), "weight", None)
        if not isinstance(weight, Tensor) or sizes != {tuple(weight.shape)}:
            raise CheckpointError(f"{path} does not fit the base: it holds statistics of {name}; train the run again.")
    return {name: ChannelMap(tensors[f"{name}.scale"], tensors[f"{name}.shift"]) for name in names}
