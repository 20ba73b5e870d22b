"""The data of a study: each dataset of its recipe becomes a store, made once and resumed where it was stopped."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..data.prepare import Progress, prepare
from ..data.sources import Overrides, Source, open_source
from ..data.store import Store
from ..data.synthesis.sources import SimulatedSource, SynthesisedSource
from ..errors import RecipeError
from ..files import write_json
from .dataset import Dataset
from .keys import digest

DATA_VARIABLE = "SEGEVOLUTION_DATA"


@dataclass(frozen=True)
class PrepareJob:
    """Bring a dataset into a store."""

    dataset: Dataset
    key: str


@dataclass(frozen=True)
class Prepared:
    """A dataset that is ready.

    Attributes:
        store: with its cases.
        failed: case -> why it was left out.
    """

    store: Store
    failed: Mapping[str, str] = field(default_factory=dict)


def prepare_job(dataset: Dataset) -> PrepareJob:
    """How a dataset is brought into a store; its key does not change when only roles do."""
    made_of = {"name", "simulate", "source", "path", "modality"}
    return PrepareJob(dataset, digest(dataset.model_dump(include=made_of)))


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
    made = dataset.simulate
    if made is not None and place is not None:
        return SynthesisedSource(
            place,
            made.patients,
            dataset.name,
            seed=made.seed,
            names=made.names,
            modality=made.modality,
            sequences=(made.sequence,),
            spacing=made.spacing,
        )
    if made is not None:
        return SimulatedSource(
            made.patients,
            dataset.name,
            seed=made.seed,
            region=made.region,
            modality=made.modality,
            sequences=(made.sequence,),
            spacing=made.spacing,
        )
    assert place is not None
    return open_source(dataset.source or "auto", place, Overrides(dataset=dataset.name, modality=dataset.modality))
