"""Train one run of a study: an adapter on the base, or the same network from its initialisation."""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..adapters import create, describe, load_adapter, save_adapter
from ..adapters.artifact import copy_with_card
from ..adapters.shipped import find_adapter
from ..data.store import Store
from ..errors import RecipeError
from ..files import replacing, safe_name, write_json
from ..inference.load import load
from ..models.backbone import BackboneModule, Spec
from ..models.registry import network_of
from ..on_use import ModuleOnUse
from ..recipes.keys import noted_key
from ..recipes.roles import CaseName
from ..runtime import resolve_device, seed_everything
from ..training.batches import CaseGroup
from ..training.case_groups import load_group
from ..training.fit_result import FitResult
from ..training.settings import FitSettings
from ..vocabulary import Modality
from .jobs import SCRATCH, TrainJob
from .ready_adapter import BEFORE, describe_case, read_ready
from .rivals import RIVALS
from .training_notes import note_training
from .workspace import Workspace

if TYPE_CHECKING:
    from ..training import fit as fitting
else:
    fitting = ModuleOnUse("segevolution.training.fit")  # brings Lightning, seconds that a plan or a fault need not wait


def train(job: TrainJob, workspace: Workspace) -> Path:
    """Train one run, going on from its last checkpoint where there is one, and save it as an adapter.

    What another recipe trained under the same name is set aside, not deleted; a broken adapter of this very training
    is. A ready adapter that is taken as it is is copied.

    Returns:
        The adapter's folder.
    """
    place = workspace.run_folder(job.run)
    earlier = noted_key(place / "job.json")
    if earlier not in (None, job.key):
        place.rename(_free(place.with_name(f"{job.run}.{safe_name(earlier, 'a key', error=RecipeError)}")))
    shutil.rmtree(place / "adapter", ignore_errors=True)  # a broken one, or none
    write_json(place / "job.json", {"key": job.key, "run": job.run})
    if job.fit is None:
        return _copied(job, place)
    if job.kind in RIVALS:
        return _rival(job, place, workspace)
    settings = replace(job.fit, seed=job.seed)

    seed_everything(job.seed)
    backbone = load(job.base, device=workspace.device)
    if job.start is not None:
        adapter = load_adapter(find_adapter(job.start), backbone, settings=job.settings)
    else:
        adapter = create("full") if job.kind == SCRATCH else create(job.kind, job.settings)
        adapter.attach(backbone)
    adapter.add_structures(job.structures)
    if job.kind == SCRATCH:
        reinitialise(backbone, job.seed)
    stores = {ref.dataset: workspace.store(ref) for ref in job.stores}
    groups = [
        *_groups(stores, job.train, backbone.spec),
        *_groups(stores, job.replay, backbone.spec, job.replay_weight),
    ]
    adapter.add_structures(sorted({name for group in groups for case in group.cases for name in case.structures}))
    if job.start is None and _learns_as_they_are(groups, settings):
        adapter.forgo_exchanged_greys()
    with redirect_stdout(sys.stderr):  # Lightning's bar; stdout is for results
        result = (workspace.fit or fitting.fit)(
            backbone,
            groups,
            settings,
            place / "fit",
            validation=_groups(stores, job.validation, backbone.spec),
            device=workspace.device,
            quiet=workspace.quiet,
        )
    backbone.to(resolve_device(workspace.device))
    save_adapter(adapter, backbone, place / "adapter", _card(job, stores, result), force=True)
    note_training(place, {"key": job.key, "run": job.run, "settings": asdict(settings), **asdict(result)})
    return place / "adapter"


_KEPT = 0.25
"""Share of what training began with from which on its sense of other contrasts was found to be kept."""


def _learns_as_they_are(groups: Sequence[CaseGroup], settings: FitSettings) -> bool:
    """Whether scans of other modalities than CT are learned from nothing, most views in no contrast but their own.

    What such a network predicts of its overlap does not tell right from wrong where greys are exchanged. Where enough
    of what training began with is kept, it does: docs/explanation/intensities.md has the numbers of both.
    """
    modalities = {case.modality for group in groups for case in group.cases}
    of_other_contrasts = max(settings.intensity.recontrast.share.values(), default=0)
    return bool(modalities - {Modality.CT}) and of_other_contrasts < 0.5 and settings.start_share < _KEPT


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


def _rival(job: TrainJob, place: Path, workspace: Workspace) -> Path:
    """Let a rival learn in the run's folder."""
    seed_everything(job.seed)
    with redirect_stdout(sys.stderr):
        stores = {ref.dataset: workspace.store(ref) for ref in job.stores}
        facts = RIVALS[job.kind].train(job, stores, place, workspace.device)
    note_training(place, {**facts, "key": job.key, "run": job.run})
    return place


def _copied(job: TrainJob, place: Path) -> Path:
    """A ready adapter as the run's own, with its own card under the run's title."""
    start = find_adapter(str(job.start))
    card = {**describe(start)["card"], "title": f"{job.run} of the study {job.study}", "started_from": job.start}
    with replacing(place / "adapter") as temporary:
        copy_with_card(start, temporary, card)
    note_training(place, {"key": job.key, "run": job.run, "start": job.start})
    return place / "adapter"


def _groups(stores: Mapping[str, Store], names: Sequence[CaseName], spec: Spec, weight: float = 1.0) -> list[CaseGroup]:
    datasets = dict.fromkeys(name.dataset for name in names)
    return [
        load_group(stores[dataset], [name.case for name in names if name.dataset == dataset], spec, weight)
        for dataset in datasets
    ]


def _card(job: TrainJob, stores: Mapping[str, Store], result: FitResult) -> dict[str, Any]:
    dataset_names = dict.fromkeys(name.dataset for name in (*job.train, *job.replay))
    licences = {
        name: facts.get("licence", "not stated")
        for used_name in dataset_names
        for name, facts in stores[used_name].datasets.items()
    }
    ended = "to the end" if result.finished else "until its time was up"
    before: list[str] = []
    patients = [
        describe_case(name.dataset, stores[name.dataset].record(name.case)) for name in (*job.train, *job.replay)
    ]
    if job.start is not None:
        ready_facts = read_ready(find_adapter(job.start))
        before, licences = [f"{name} {BEFORE}" for name in ready_facts.taught], {**ready_facts.licences, **licences}
        patients += ready_facts.patients
    return {
        "base": job.base,
        "title": f"{job.run} of the study {job.study}",
        "data": [f"{name.dataset}/{name.case}" for name in job.train]
        + [f"{name.dataset}/{name.case} (replayed)" for name in job.replay]
        + before,
        "patients": patients,
        "licences": licences,
        "steps": f"{result.step} steps, seed {job.seed}, {ended}.",
        "metrics": "See the report of the study beside this folder.",
        **({} if job.start is None else {"started_from": job.start}),
    }


def _free(path: Path) -> Path:
    """The path, or the first of path.2, path.3 ... that does not exist."""
    candidate, number = path, 2
    while candidate.exists():
        candidate = path.with_name(f"{path.name}.{number}")
        number += 1
    return candidate
