"""The data of a study: each dataset of its recipe becomes a store, made once and resumed where it was stopped."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from ..data.prepare import Progress, prepare
from ..data.sources import Overrides, Source, open_source
from ..data.sources.base import Provenance, images_in
from ..data.store import Store
from ..data.synthesis.cases import synthesise_case
from ..data.synthesis.patients import simulate_case
from ..errors import RecipeError
from ..files import write_json
from ..imaging.case import Case
from .plan import PrepareJob
from .recipe import Dataset, Simulation

DATA_VARIABLE = "SEGEVOLUTION_DATA"


@dataclass(frozen=True)
class SimulatedSource:
    """Patients drawn by `data.synthesis`; patient i comes from the seed `recipe.seed + i` and nothing else."""

    recipe: Simulation
    dataset: str
    name: ClassVar[str] = "simulated"
    summary: ClassVar[str] = "patients of our own making, with exact labels"
    provenance: ClassVar[Provenance] = Provenance("none needed", obtain="Made here.")
    licence: ClassVar[str] = "none: made by this package"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """No folder holds them: they are made."""
        return False

    def index(self) -> Sequence[str]:
        """Names of the cases, which hold the seeds."""
        return [f"{self.dataset}_{self.recipe.seed + number:06d}" for number in range(self.recipe.patients)]

    def read(self, case: str) -> Case:
        """Make one patient."""
        seed = int(case.rsplit("_", 1)[1])
        made = simulate_case(
            seed,
            region=self.recipe.region,
            modality=self.recipe.modality,
            sequence=self.recipe.sequence,
            spacing=self.recipe.spacing,
        )
        return replace(made, name=case, patient=case, dataset=self.dataset)


@dataclass(frozen=True)
class SynthesisedSource:
    """Images made from the label maps of a folder; one patient a map, in turn until `recipe.patients` are made."""

    recipe: Simulation
    dataset: str
    path: Path
    name: ClassVar[str] = "synthesised"
    summary: ClassVar[str] = "images made from label maps"
    provenance: ClassVar[Provenance] = Provenance("that of the label maps", obtain="Made here, from label maps.")
    licence: ClassVar[str] = "that of the label maps"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder of label maps does not say that images are wanted."""
        return False

    def index(self) -> Sequence[str]:
        """Names of the cases: the map and the seed."""
        stems = sorted(images_in(self.path))
        if not stems:
            raise RecipeError(f"{self.dataset}: {self.path} holds no label map.")
        return [f"{stems[n % len(stems)]}_{self.recipe.seed + n:06d}" for n in range(self.recipe.patients)]

    def read(self, case: str) -> Case:
        """Make one case."""
        stem, seed = case.rsplit("_", 1)
        made = synthesise_case(
            images_in(self.path)[stem],
            int(seed),
            names=self.recipe.names,
            modality=self.recipe.modality,
            sequence=self.recipe.sequence,
            spacing=self.recipe.spacing,
        )
        return replace(made, name=case, dataset=self.dataset)


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready.

    Attributes:
        store: with its cases.
        failed: case -> why it was left out.
    """

    store: Store
    failed: Mapping[str, str] = field(default_factory=dict)


def open_dataset(job: PrepareJob, folder: Path, root: Path | None, progress: Progress | None = None) -> Prepared:
    """The store of a dataset, with every case in it.

    Args:
        job: which dataset.
        folder: where the study keeps its stores; one that is prepared already is used where it lies.
        root: the folder that paths of the recipe are relative to; None reads SEGEVOLUTION_DATA.
        progress: told after each case.

    Raises:
        RecipeError: the dataset is not there, or none of its cases can be used.
    """
    dataset = job.dataset
    said = dataset.path or (dataset.simulate and dataset.simulate.labels)
    place = find(dataset.name, said, root) if said else None
    if place is not None and dataset.simulate is None and (place / "store.json").is_file():
        return Prepared(Store.open(place))
    note, path = folder / f"{dataset.name}.json", folder / dataset.name
    made_before = note.is_file() and job.key in note.read_text("utf-8")
    store = Store.ensure(path) if made_before else Store.create(path, force=True)
    if not made_before:
        write_json(note, {"key": job.key, "dataset": dataset.model_dump(mode="json")})
    source = _source(dataset, place)
    if set(source.index()) <= set(store.names):
        return Prepared(store)
    report = prepare(source, store, progress=progress)
    if not len(store):
        reason = next(iter(report.failed.values()), "it holds none")
        raise RecipeError(f"{dataset.name}: no case can be used: {reason}")
    return Prepared(store, report.failed)


def find(name: str, said: str, root: Path | None) -> Path:
    """The folder of a dataset, from what its recipe says.

    Raises:
        RecipeError: it is not there; the sentence says where it was looked for and how to say otherwise.
    """
    path = Path(said).expanduser()
    if path.is_absolute():
        place = path
    else:
        base = root or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
        if base is None:
            raise RecipeError(
                f"{name} is to be read from {path}, but nothing says where data lie; "
                f"give --data FOLDER or set {DATA_VARIABLE}."
            )
        place = base / path
    if not place.is_dir():
        raise RecipeError(f"{name}: {place} is not there; give its parent folder with --data FOLDER.")
    return place


def _source(dataset: Dataset, place: Path | None) -> Source:
    if dataset.simulate is not None and place is not None:
        return SynthesisedSource(dataset.simulate, dataset.name, place)
    if dataset.simulate is not None:
        return SimulatedSource(dataset.simulate, dataset.name)
    assert place is not None
    return open_source(dataset.source or "auto", place, Overrides(dataset=dataset.name, modality=dataset.modality))
