"""How one row of a study is trained: an adapter on the base, or the same network from its initialisation."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from ..adapters import create, describe, load_adapter, save_adapter
from ..adapters.artifact import copy_with_card
from ..data.store import Store
from ..files import replacing, write_json
from ..inference.load import load
from ..models.backbone import BackboneModule, Spec
from ..models.registry import network_of
from ..recipes.roles import CaseName
from ..runtime import resolve_device, seed_everything
from ..training.batches import CaseGroup
from ..training.fit import FitResult, fit, load_group
from ..training.settings import FitSettings
from ..vocabulary import canonical
from .plan import TrainJob
from .recipe import SCRATCH, Recipe
from .starting import BEFORE, read_start


class Fit(Protocol):
    """The part of `training.fit` that a study calls; tests put something quicker in its place."""

    def __call__(
        self,
        backbone: BackboneModule,
        groups: Sequence[CaseGroup],
        settings: FitSettings,
        folder: Path,
        *,
        validation: Sequence[CaseGroup] = ...,
        device: str = ...,
        quiet: bool = ...,
    ) -> FitResult:
        """Train what asks for gradients and leave the result in the backbone."""
        ...


def trained_folder(folder: Path, job: TrainJob) -> Path | None:
    """The adapter that a training left, if it was this very training and was finished."""
    place = folder / "models" / job.run
    return place / "adapter" if _key(place / "trained.json") == job.key else None


def train(
    job: TrainJob,
    recipe: Recipe,
    stores: Mapping[str, Store],
    folder: Path,
    device: str = "auto",
    quiet: bool = False,
    how: Fit | None = None,
) -> Path:
    """Train one run, going on from its last checkpoint where there is one, and save it as an adapter.

    What another recipe trained under the same name is set aside, not deleted. A method that does not train has its
    ready adapter copied.

    Returns:
        The adapter's folder.
    """
    place = folder / "models" / job.run
    earlier = _key(place / "job.json")
    if earlier not in (None, job.key):
        place.rename(_free(place.with_name(f"{job.run}.{earlier}")))
    write_json(place / "job.json", {"key": job.key, "run": job.run})
    if job.method.start is not None and not job.method.train:
        return _copied(job, recipe, Path(job.method.start), place)
    chosen = recipe.fit_of(job.method)
    settings = replace(chosen.settings, seed=job.seed)

    seed_everything(job.seed)
    backbone = load(recipe.base, device=device)
    scratch = job.method.trained_as == SCRATCH
    if job.method.start is not None:
        adapter = load_adapter(Path(job.method.start), backbone, settings=job.method.settings)
    else:
        adapter = create("full") if scratch else create(job.method.trained_as, job.method.settings)
        adapter.attach(backbone)
    adapter.teach(canonical(name) for name in recipe.structures)
    if scratch:
        reinitialise(backbone, job.seed)
    groups = [*_groups(stores, job.train, backbone.spec), *_groups(stores, job.replay, backbone.spec, chosen.replay)]
    adapter.teach(sorted({name for group in groups for case in group.cases for name in case.structures}))
    with redirect_stdout(sys.stderr):  # Lightning's bar; stdout is for results
        result = (how or fit)(
            backbone,
            groups,
            settings,
            place / "fit",
            validation=_groups(stores, job.validation, backbone.spec),
            device=device,
            quiet=quiet,
        )
    backbone.to(resolve_device(device))
    save_adapter(adapter, backbone, place / "adapter", _card(job, recipe, stores, result), force=True)
    write_json(place / "trained.json", {"key": job.key, "run": job.run, "settings": asdict(settings), **asdict(result)})
    return place / "adapter"


@torch.no_grad()
def reinitialise(backbone: BackboneModule, seed: int) -> None:
    """Give every parameter that trains the value that a new network of the same config has.

    Parameters that the config freezes (a published text tower) and buffers stay, as they would in SegVol's own
    training.
    """
    network = network_of(backbone)
    with tempfile.TemporaryDirectory() as folder:
        sizes = network.save(backbone, Path(folder))
        seed_everything(seed)
        fresh = dict(network.build(sizes, Path(folder)).named_parameters())
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            parameter.copy_(fresh[name])


def _copied(job: TrainJob, recipe: Recipe, start: Path, place: Path) -> Path:
    """A ready adapter as the run's own, with its own card under the run's title."""
    card = {**describe(start)["card"], "title": f"{job.run} of the study {recipe.name}", "started_from": str(start)}
    with replacing(place / "adapter") as temporary:
        copy_with_card(start, temporary, card)
    write_json(place / "trained.json", {"key": job.key, "run": job.run, "start": str(start)})
    return place / "adapter"


def _groups(stores: Mapping[str, Store], names: Sequence[CaseName], spec: Spec, weight: float = 1.0) -> list[CaseGroup]:
    datasets = dict.fromkeys(name.dataset for name in names)
    return [
        load_group(stores[dataset], [name.case for name in names if name.dataset == dataset], spec, weight)
        for dataset in datasets
    ]


def _card(job: TrainJob, recipe: Recipe, stores: Mapping[str, Store], result: FitResult) -> dict[str, Any]:
    used = dict.fromkeys(name.dataset for name in (*job.train, *job.replay))
    licences = {
        name: facts.get("licence", "not stated")
        for used_name in used
        for name, facts in stores[used_name].datasets.items()
    }
    ended = "to the end" if result.finished else "until its time was up"
    before: list[str] = []
    start = job.method.start
    if start is not None:
        known = read_start(Path(start))
        before, licences = [f"{name} {BEFORE}" for name in known.taught], {**known.licences, **licences}
    return {
        "base": recipe.base,
        "title": f"{job.run} of the study {recipe.name}",
        "data": [f"{name.dataset}/{name.case}" for name in job.train]
        + [f"{name.dataset}/{name.case} (replayed)" for name in job.replay]
        + before,
        "licences": licences,
        "steps": f"{result.step} steps, seed {job.seed}, {ended}.",
        "metrics": "See the report of the study beside this folder.",
        **({} if start is None else {"started_from": start}),
    }


def _key(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text("utf-8"))["key"])
    except (OSError, ValueError, KeyError):
        return None


def _free(path: Path) -> Path:
    """The path, or the first of path.2, path.3 ... that does not exist."""
    candidate, number = path, 2
    while candidate.exists():
        candidate = path.with_name(f"{path.name}.{number}")
        number += 1
    return candidate
