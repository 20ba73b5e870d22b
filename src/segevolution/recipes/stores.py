"""The data of a study: each dataset of its recipe becomes a store, made once and resumed where it was stopped."""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ..data.prepare import Progress, prepare
from ..data.sources import Overrides, Source, open_source
from ..data.store import Store
from ..data.synthesis.sources import SimulatedSource, SynthesisedSource
from ..errors import RecipeError
from ..files import partial_folder
from ..vocabulary import Modality
from .claims import claimed
from .dataset import Dataset
from .keys import digest, noted_key
from .source_files import changed_files, difference, list_files, noted_files, reopened

DATA_VARIABLE = "SEGEVOLUTION_DATA"
CLAIMS = "claims"


@dataclass(frozen=True)
class SimulatedPatients:
    """Patients that are made, not read; see `recipes.dataset.Simulation`."""

    patients: int
    seed: int
    region: Literal["torso", "head"]
    modality: Modality
    sequence: str | None
    labels: str | None
    names: Literal["freesurfer", "json"] | dict[int, str]
    spacing: tuple[float, float, float] | None


@dataclass(frozen=True)
class PrepareJob:
    """Bring a dataset into a store.

    Attributes:
        dataset: its name in the study.
        key: of everything that decides the store.
        path: of a source or a store as the recipe says it; None for simulated patients.
        root: the folder that relative paths begin at; None where nothing said.
        source: the layout; None: to be recognised.
        modality: where the files do not say.
        simulation: None for patients that are read.
    """

    dataset: str
    key: str
    path: str | None
    root: str | None
    source: str | None
    modality: Modality | None
    simulation: SimulatedPatients | None


@dataclass(frozen=True)
class StoreRef:
    """Where the store of a dataset lies.

    Attributes:
        dataset: its name in the study.
        path: from the study's folder, or absolute for one that was prepared elsewhere.
    """

    dataset: str
    path: str

    def open(self, folder: Path) -> Store:
        """The store, seen from a study's folder; StoreError where it is not there."""
        return Store.open(folder / self.path)


@dataclass(frozen=True)
class PreparedStore:
    """A dataset that is ready.

    Attributes:
        path: of its store.
        failed: case -> why it was left out.
    """

    path: Path
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """The store, opened anew."""
        return Store.open(self.path)


def prepare_job(dataset: Dataset, root: Path | None = None) -> PrepareJob:
    """How a dataset is brought into a store; its key does not change when only roles do.

    Args:
        root: the folder that paths of the recipe are relative to; None reads SEGEVOLUTION_DATA.
    """
    made_of = {"name", "simulate", "source", "path", "modality"}
    simulation = dataset.simulate
    base = str(root.resolve()) if root is not None else os.environ.get(DATA_VARIABLE) or None
    return PrepareJob(
        dataset.name,
        digest(dataset.model_dump(include=made_of)),
        dataset.path,
        base,
        dataset.source,
        dataset.modality,
        None if simulation is None else SimulatedPatients(**simulation.model_dump()),
    )


def check_places(datasets: Iterable[str]) -> None:
    """Raise ValueError, in one sentence, where two datasets of a recipe would be kept in one file or folder."""
    owners = {CLAIMS: "the folder of claims"}
    for dataset in datasets:
        for place in (dataset, _note_name(dataset)):
            owner = owners.setdefault(place.casefold(), dataset)
            if owner != dataset:
                raise ValueError(f"data: {dataset} would be kept where {owner} is, in data/{place}; rename it")


def _note_name(dataset: str) -> str:
    """The file that says what the store beside it was made from."""
    return f"{dataset}.json"


def check_dataset(job: PrepareJob) -> None:
    """Refuse, before any case is read, a dataset that is not there or in no known layout.

    Raises:
        RecipeError, StoreError: as `open_dataset`, as far as it shows without reading cases.
    """
    place = _place(job)
    if _named_store(job, place) is None:
        _source(job, place)


def expected_patients(job: PrepareJob) -> tuple[str, ...]:
    """The patient of each case that a dataset will have once it is prepared, as far as that shows without reading one.

    Raises:
        RecipeError, StoreError: as `open_dataset`, as far as it shows without reading or making cases.
    """
    path = job.path or (job.simulation and job.simulation.labels)
    source = _source(job, find(job.dataset, path, job.root) if path else None)
    names = source.index()
    return tuple(name.rsplit("_", 1)[0] for name in names) if isinstance(source, SynthesisedSource) else tuple(names)


def open_dataset(
    job: PrepareJob, folder: Path, progress: Progress | None = None, *, measured: bool = False
) -> PreparedStore:
    """The store of a dataset, with every case in it; of several processes that ask at once, one prepares.

    Where files of the dataset were changed or deleted since its store was made, or other data lie at its path, it is
    made anew.

    Args:
        job: which dataset.
        folder: where the study keeps its stores; one that is prepared already is used where it lies.
        progress: told after each case.
        measured: there are results of the store; then one that would become another is refused.

    Raises:
        RecipeError: the dataset is not there, none of its cases can be used, or it is not what was measured.
    """
    place = _place(job)
    if (named := _named_store(job, place)) is not None:
        return PreparedStore(named.path.resolve())
    with claimed(folder / CLAIMS, job.dataset):
        return _made(job, folder, place, progress, measured)


def prepared_store(job: PrepareJob, folder: Path) -> Store | None:
    """The store of a dataset, where its path names one, or one was made of its files as they are; None: to be made.

    Args:
        job: which dataset; one that is gone counts as it was.
        folder: where the study keeps its stores.
    """
    try:
        place = _place(job)
    except RecipeError:
        place = None
    if (named := _named_store(job, place)) is not None:
        return named
    note, path = folder / _note_name(job.dataset), folder / job.dataset
    if noted_key(note) != job.key or not (path / "store.json").is_file():
        return None
    store = Store.open(path)
    changed = () if place is None else changed_files(noted_files(note), list_files(place, folder.parent), store)
    return store if len(store) and not changed else None


def _place(job: PrepareJob) -> Path | None:
    """Where a dataset, or the label maps that it is made from, lies; None for what needs neither."""
    path = job.path or (job.simulation and job.simulation.labels)
    return find(job.dataset, path, job.root) if path else None


def _named_store(job: PrepareJob, place: Path | None) -> Store | None:
    """The store that a dataset's path itself names, if it does."""
    if place is None or job.simulation is not None or not (place / "store.json").is_file():
        return None
    return Store.open(place)


def _made(
    job: PrepareJob, folder: Path, place: Path | None, progress: Progress | None, measured: bool
) -> PreparedStore:
    """The store that a study makes for itself, or goes on with."""
    note, path = folder / _note_name(job.dataset), folder / job.dataset
    files = {} if place is None else list_files(place, folder.parent)
    source = _source(job, place)
    made_of = {"key": job.key, "dataset": asdict(job)}
    check = partial(_require_same, job, source, progress) if measured else None
    store, _ = reopened(path, made_of, files, note, check)
    if set(source.index()) <= set(store.names):
        return PreparedStore(path)
    report = prepare(source, store, progress=progress)
    if not len(store):
        reason = next(iter(report.failed.values()), "it holds none")
        raise RecipeError(f"{job.dataset}: no case can be used: {reason}")
    return PreparedStore(path, report.failed)


def _require_same(job: PrepareJob, source: Source, progress: Progress | None, store: Store) -> None:
    """Read a dataset once more beside its store; RecipeError where that gives other cases than it holds, if any."""
    if not len(store):
        return
    holder = partial_folder(store.path.parent)
    try:
        again = Store.create(holder / store.path.name)
        prepare(source, again, progress=progress)
        words = difference(store, again)
    finally:
        shutil.rmtree(holder, ignore_errors=True)
    if words:
        where = getattr(source, "path", job.path)
        raise RecipeError(
            f"{job.dataset}: {where} no longer holds what this study was measured on ({words}); choose another folder "
            f"with -o, or delete {store.path} to have it read and measured anew."
        )


def find(name: str, path: str, root: str | None) -> Path:
    """The folder of a dataset, from what its recipe says.

    Raises:
        RecipeError: it is not there; the sentence says where it was looked for and how to say otherwise.
    """
    place = Path(path).expanduser()
    if not place.is_absolute():
        if root is None:
            raise RecipeError(
                f"{name} is to be read from {path}, but nothing says where data lie; "
                f"give --data FOLDER or set {DATA_VARIABLE}."
            )
        place = Path(root) / place
    if not place.is_dir():
        raise RecipeError(f"{name}: {place} is not there; give its parent folder with --data FOLDER.")
    return place


def _source(job: PrepareJob, place: Path | None) -> Source:
    simulation = job.simulation
    if simulation is None:
        assert place is not None
        return open_source(job.source or "auto", place, Overrides(dataset=job.dataset, modality=job.modality))
    shared: dict[str, Any] = {
        "seed": simulation.seed,
        "modality": simulation.modality,
        "sequences": (simulation.sequence,),
        "spacing": simulation.spacing,
    }
    if place is not None:
        return SynthesisedSource(place, simulation.patients, job.dataset, names=simulation.names, **shared)
    return SimulatedSource(simulation.patients, job.dataset, region=simulation.region, **shared)
