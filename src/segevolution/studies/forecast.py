"""What a study would do, without doing it: its jobs, its patients, the datasets that are missing, and about how long.

Datasets that are prepared are planned as they are. Of others, the patients that their publishers count (`published` in
the recipe) or the cases that lie in the folder stand in, so that the number of jobs is that of the real study unless
cases turn out to be unusable. Nothing is written.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

import numpy as np

from ..data.record import CaseRecord
from ..data.sources import SOURCES
from ..errors import RecipeError, StoreError
from ..imaging.case import Part
from ..imaging.grid import Grid
from ..imaging.prompts import Prompt, PromptKind, kinds_in
from ..imaging.volume import Volume
from ..inference.load import load
from ..inference.session import Session
from ..models.backbone import BackboneModule
from ..recipes.dataset import Dataset
from ..recipes.roles import ROLES
from ..recipes.stores import StoreRef, expected_patients, prepare_job, prepared_store
from ..vocabulary import Modality, canonical
from .facts import BaseFacts, DatasetFacts, read_bases
from .jobs import EvaluateJob, Plan, TrainJob
from .plan import plan
from .recipe import Recipe
from .rivals import RIVALS
from .warm_start import starts_of

State = Literal["prepared", "to be prepared", "to be made", "missing"]

_BACKWARD = 3.0  # a training step costs so many forward passes
_TYPICAL_STRUCTURES = 4  # of a case that nobody has read yet


@dataclass(frozen=True)
class ExpectedCase:
    """A case that nobody has read yet, with what planning asks of a record."""

    name: str
    patient: str
    dataset: str
    modality: Modality | None
    part: Part | None
    structures: Mapping[str, tuple[int, ...]]
    site: str | None = None

    @property
    def person(self) -> tuple[str, str]:
        """(dataset, patient)."""
        return self.dataset, self.patient


@dataclass(frozen=True)
class DatasetForecast:
    """A dataset before the study.

    Attributes:
        name: in the study.
        state: whether its store is there, can be made of what is there, or nothing is there.
        cases, patients: how many: counted where it is prepared, else as published or as files lie there.
        how: where it is missing, how to get it; otherwise empty.
    """

    name: str
    state: State
    cases: int
    patients: int
    how: str = ""


@dataclass(frozen=True)
class Forecast:
    """A study before it is run.

    Attributes:
        datasets: in the recipe's order.
        trainings, evaluations: how many jobs there are.
        trained_patients, tested_patients: of all runs together, each counted once.
        training_hours, measuring_hours: about, on this machine, one job at a time; see `estimate_hours`.
        runs: names of the trainings.
        not_asked: sentences on questions that will not be asked.
    """

    datasets: tuple[DatasetForecast, ...]
    trainings: int
    evaluations: int
    trained_patients: int
    tested_patients: int
    training_hours: float
    measuring_hours: float
    runs: tuple[str, ...]
    not_asked: tuple[str, ...]

    @property
    def missing(self) -> tuple[DatasetForecast, ...]:
        """The datasets that are not there."""
        return tuple(one for one in self.datasets if one.state == "missing")


def forecast(recipe: Recipe, folder: Path, *, root: Path | None = None, device: str = "auto") -> Forecast:
    """Plan a study without preparing, training, measuring or writing anything.

    Args:
        folder: of the study, where an earlier call may have prepared some datasets.
        root: where the recipe's data paths begin; None reads SEGEVOLUTION_DATA.
        device: on which the speed of the base is tried.

    Raises:
        SegevolutionError: the recipe's roles do not fit the patients, or its base cannot be loaded.
    """
    datasets, facts = [], {}
    for dataset in recipe.data:
        about, data = _dataset(dataset, folder, root, recipe.structures)
        datasets.append(about)
        facts[dataset.name] = data
    bases = read_bases(recipe.bases)
    study_plan = plan(recipe, facts, bases, starts_of(recipe, bases))
    people = {(name, record.name): record.person for name, data in facts.items() for record in data.records}
    trained = {people[name.dataset, name.case] for job in study_plan.trainings for name in (*job.train, *job.replay)}
    tested = {people[job.part.dataset, job.part.case] for job in study_plan.evaluations}
    training_hours, measuring_hours = estimate_hours(study_plan, facts, bases, device)
    runs = tuple(job.run for job in study_plan.trainings if job.fit is not None)  # a ready adapter learns nothing
    return Forecast(
        datasets=tuple(datasets),
        trainings=len(runs),
        evaluations=len(study_plan.evaluations),
        trained_patients=len(trained),
        tested_patients=len(tested),
        training_hours=training_hours,
        measuring_hours=measuring_hours,
        runs=runs,
        not_asked=(*study_plan.report.omitted, *_not_known_yet(recipe, facts)),
    )


def _not_known_yet(recipe: Recipe, facts: Mapping[str, DatasetFacts]) -> list[str]:
    """A sentence where the number of evaluations depends on modalities that nobody has read yet."""
    open_ones = [
        name for name, data in facts.items() if data.unread and any(case.modality is None for case in data.records)
    ]
    if not recipe.shifts or not open_ones:
        return []
    names = ", ".join(open_ones)
    return [f"of {names} only the shifts for any modality are counted, until their scans are read and tell theirs."]


def _dataset(
    dataset: Dataset, folder: Path, root: Path | None, structures: Sequence[str]
) -> tuple[DatasetForecast, DatasetFacts]:
    """What is known of a dataset, and records for planning: read, or expected to label what the study measures."""
    job = prepare_job(dataset, root)
    store = prepared_store(job, folder / "data")
    if store is not None:
        facts = DatasetFacts(store.cases, store.fingerprint(), StoreRef(dataset.name, str(store.path)))
        return _told(dataset, "prepared", facts), facts
    state: State = "to be made" if dataset.simulate is not None else "to be prepared"
    how = ""
    names: tuple[str, ...] = ()
    try:
        names = expected_patients(job)
    except (RecipeError, StoreError) as error:
        state, how = "missing", _how(dataset, str(error))
    labelled = {canonical(name): (1,) for name in structures}
    records = [replace(case, structures=labelled) for case in _expected(dataset, names)]
    standing_in = cast(list[CaseRecord], records)  # all that planning asks of a record is in them
    facts = DatasetFacts(standing_in, "expected", StoreRef(dataset.name, f"data/{dataset.name}"), unread=True)
    return _told(dataset, state, facts, how), facts


def _told(dataset: Dataset, state: State, facts: DatasetFacts, how: str = "") -> DatasetForecast:
    people = {record.person for record in facts.records}
    return DatasetForecast(dataset.name, state, len(facts.records), len(people), how)


def _how(dataset: Dataset, why: str) -> str:
    """How to get a dataset that is not there, from its source; else why it cannot be read."""
    source = SOURCES.get(dataset.source or "")
    if source is None or not source.provenance.link:
        return why
    about = source.provenance
    return f"{why} {about.obtain} See {about.link} (licence: {about.licence})."


def _expected(dataset: Dataset, names: Sequence[str]) -> list[ExpectedCase]:
    """Cases that stand in for a dataset's own: as published, else one patient a case that lies there."""
    case_names = [name for role in ROLES if isinstance(value := getattr(dataset, role), list) for name in value]
    if dataset.simulate is not None:
        patients = names or [f"patient {number + 1}" for number in range(dataset.simulate.patients)]
        made_as = dataset.simulate.modality
        return [_case(dataset, number, number, made_as, None, patient) for number, patient in enumerate(patients)]
    if dataset.published:
        cases, number = [], 0
        for group in dataset.published:
            for _ in range(group.patients):
                modality = group.modality or dataset.modality
                person = case_names[number] if number < len(case_names) else None
                cases += [
                    _case(dataset, number, scan, modality, group.part, person, group.site)
                    for scan in range(group.scans)
                ]
                number += 1
        return cases
    people = [*case_names, *(name for name in names if name not in case_names)]
    return [_case(dataset, number, 0, dataset.modality, None, name) for number, name in enumerate(people)]


def _case(
    dataset: Dataset,
    number: int,
    scan: int,
    modality: Modality | None,
    part: Part | None,
    person: str | None = None,
    site: str | None = None,
) -> ExpectedCase:
    person = person or f"patient {number + 1}"
    return ExpectedCase(f"{person} scan {scan + 1}", person, dataset.name, modality, part, {}, site)


def estimate_hours(
    study_plan: Plan, data: Mapping[str, DatasetFacts], bases: Mapping[str, BaseFacts], device: str
) -> tuple[float, float]:
    """About how many hours trainings and evaluations take on this machine, one job at a time.

    The base is timed here and now on one view: t_e seconds to encode, t_d to decode a prompt. A training step counts
    3 (views t_e + views structures prompts t_d); an answer t_d, and with a closer look t_e + 2 t_d. Reading, preparing,
    metrics and whatever a rival does are not in it: expect it to be right within a factor of two or three.

    Returns:
        (training hours, measuring hours).
    """
    speeds = {name: _speed(load(name, device=device)) for name in bases}
    training = sum(_training_seconds(job, speeds) for job in study_plan.trainings)
    structures = {
        (name, record.name): _TYPICAL_STRUCTURES if isinstance(record, ExpectedCase) else len(record.structures)
        for name, facts in data.items()
        for record in facts.records
    }
    measuring = sum(
        _measuring_seconds(job, speeds, bases, structures[job.part.dataset, job.part.case])
        for job in study_plan.evaluations
    )
    return training / 3600, measuring / 3600


def _training_seconds(job: TrainJob, speeds: Mapping[str, tuple[float, float]]) -> float:
    if job.fit is None or job.kind in RIVALS or job.base not in speeds:
        return 0.0
    encode, decode = speeds[job.base]
    sample = job.fit.sample
    views = sample.views * job.fit.accumulate
    step = _BACKWARD * views * (encode + sample.structures * sample.prompts * decode)
    seconds = job.fit.steps * step
    return seconds if job.fit.seconds is None else min(seconds, job.fit.seconds)


def _measuring_seconds(
    job: EvaluateJob, speeds: Mapping[str, tuple[float, float]], bases: Mapping[str, BaseFacts], structures: int
) -> float:
    if job.base not in speeds:
        return 0.0
    encode, decode = speeds[job.base]
    questions = job.questions
    structure_count = min(structures, len(questions.structures)) if questions.structures else structures
    question_count = sum(len(variant.prompts) for variant in questions.variants()) * (1 + questions.clicks)
    seconds = 0.0
    for windows in questions.all_windows:
        closer = (windows or bases[job.base].spec.windows) != "off"
        answer = decode + (encode + decode if closer else 0.0)
        seconds += encode + (structure_count * question_count + len(questions.absent)) * answer
    return seconds * len(questions.contexts)


def _speed(backbone: BackboneModule) -> tuple[float, float]:
    """Seconds to encode a view and to decode a prompt, timed on noise."""
    depth, height, width = backbone.spec.window
    rng = np.random.default_rng(0)
    signal = rng.normal(100, 20, (width, height, depth)).astype(np.float32)
    modality = Modality.CT if backbone.spec.intensity == "window" else Modality.MRI
    volume = Volume(signal, Grid(signal.shape, np.eye(4)), modality, "noise")
    prompt = _some_prompt(backbone, volume)
    session = Session(backbone, volume, windows="off", context="withheld")
    times = []
    for _ in range(3):
        started = time.perf_counter()
        session.segment([prompt])
        times.append(time.perf_counter() - started)
    decode = min(times[1:])
    return max(times[0] - decode, 0.0), decode


def _some_prompt(backbone: BackboneModule, volume: Volume) -> Prompt:
    """A prompt that the network takes, in the middle of a volume."""
    x, y, z = (side // 2 for side in volume.array.shape)
    accepts = backbone.spec.accepts
    if kinds_in("box") <= accepts:
        return Prompt.make(volume.grid, box=(x // 2, y // 2, z // 2, x, y, z))
    if PromptKind.POINT in accepts:
        return Prompt.make(volume.grid, points=[(x, y, z)])
    return Prompt.make(volume.grid, text=next(iter(backbone.spec.structures), "liver"))
