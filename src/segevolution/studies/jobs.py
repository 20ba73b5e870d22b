"""The jobs of a study, as plain data: each holds all that it takes to do it, given the study's folder.

    train      one run: a method, a seed, a fold            models/<run>/adapter
    evaluate   one run on one case at one shift             parts/<run>/<dataset>/<case>.parquet
    report     the table, the report and the manifest       results.parquet, report.html, manifest.json

and `recipes.stores.PrepareJob`, one dataset. A job has a key: a digest of everything that decides its result, by which
what is done is known. Jobs can be pickled and written as JSON, so that they may be done in any process of any machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..evaluation.analysis import PrimaryQuestion, RetentionQuestion
from ..evaluation.questions import Questions
from ..evaluation.results import PartName
from ..recipes.roles import CaseName
from ..recipes.stores import PrepareJob, StoreRef
from ..training.settings import FitSettings

SCRATCH = "scratch"
"""The kind of training that begins from the network's initialisation, not from its weights."""


@dataclass(frozen=True)
class TrainJob:
    """Train one run, or take a ready adapter as it is.

    Attributes:
        run: its name, such as "lora-s0", "lora-s0-f1" or, with so many shots, "lora-5shot-s0"; the method's alone
            where a ready adapter is measured as it is.
        key: of everything that decides the weights.
        study: whose run it is, for the adapter's card.
        base: the model's name or folder.
        method: its name in the recipe.
        kind: "scratch", a registered adapter, or a rival.
        settings: the adapter's own, or the rival's, plain values.
        fit: how it is trained; None: `start` is taken as it is.
        replay_weight: of the cases of `replay` beside those of `train`.
        seed: of the training.
        train, replay, validation: cases; none of them is ever tested by this run.
        stores: of the datasets of these cases.
        structures: that are taught, beside all that the cases carry.
        start: the ready adapter that training goes on from, a folder or the name of one that ships.
    """

    run: str
    key: str
    study: str
    base: str
    method: str
    kind: str
    settings: dict[str, Any]
    fit: FitSettings | None
    replay_weight: float
    seed: int
    train: tuple[CaseName, ...]
    replay: tuple[CaseName, ...]
    validation: tuple[CaseName, ...]
    stores: tuple[StoreRef, ...]
    structures: tuple[str, ...]
    start: str | None


@dataclass(frozen=True)
class EvaluateJob:
    """Measure one run on one case, unchanged or at one strength of one shift.

    Attributes:
        part: where its rows go, with the key.
        method: as the tables name it, with cohort and shots, as in "lora (mri, 5 shots)".
        seed: of the run's training.
        base: the model's name or folder; empty for a rival.
        needs: key of the training that leaves models/<run>/adapter; None: the base as it is.
        store: of the case's dataset.
        labels: where these come from, for the table.
        questions: what is asked.
        family: the method alone, as the recipe names it.
        cohort: the training set's name; empty where the study has only one.
        trained_on: how many patients the run learned from.
        patient: whose case it is, by a name that no other person of the dataset has; empty: as the case says.
        rival: the kind of a method that adapts no network.
        settings: the rival's.
    """

    part: PartName
    method: str
    seed: int
    base: str
    needs: str | None
    store: StoreRef
    labels: str
    questions: Questions
    family: str = ""
    cohort: str = ""
    trained_on: int = 0
    patient: str = ""
    rival: str | None = None
    settings: dict[str, Any] = field(default_factory=dict, hash=False)

    @property
    def plain(self) -> bool:
        """Whether the scan is asked as it is, without a shift."""
        return self.part.shift == PartName.shift

    def columns(self) -> dict[str, Any]:
        """What the plan says of its rows, see `Results.rows`."""
        jitter = float(self.questions.box_jitter)
        return {
            "method": self.method,
            "seed": self.seed,
            "labels": self.labels,
            "base": self.base,
            "prompt_seed": self.questions.seed,
            "jitter": jitter,
            "jitter_unit": self.questions.box_jitter_unit if jitter else "",
            "family": self.family or self.method,
            "cohort": self.cohort,
            "trained_on": self.trained_on,
        }


@dataclass(frozen=True)
class ReportJob:
    """Join the rows of a study and tell of them.

    Attributes:
        study, reference: names.
        drawn: the prompt whose masks are drawn.
        evaluations, trainings: all of the study.
        badges: dataset -> whether its answers of the unadapted base are zero-shot.
        warnings: sentences on what contradicts the results.
        rivals: method -> others that are compared with it, too.
        external: datasets that nobody trained on, under this name or another; see `same_people`.
        omitted: sentences on questions that a base cannot be asked.
        primary: the question that the study asks first.
        retention: what is to be kept.
        manifest: what manifest.json says beside versions and calls, plain values.
    """

    study: str
    reference: str
    drawn: str
    evaluations: tuple[EvaluateJob, ...]
    trainings: tuple[TrainJob, ...]
    badges: dict[str, str]
    warnings: tuple[str, ...]
    rivals: dict[str, list[str]]
    external: tuple[str, ...]
    omitted: tuple[str, ...]
    primary: PrimaryQuestion | None
    retention: RetentionQuestion | None
    manifest: dict[str, Any]

    @property
    def parts(self) -> list[PartName]:
        """The parts whose join is the table of results."""
        return [job.part for job in self.evaluations]


Job = PrepareJob | TrainJob | EvaluateJob | ReportJob


@dataclass(frozen=True)
class Plan:
    """All jobs of a study once its data are there; a training comes before the evaluations that need it."""

    trainings: tuple[TrainJob, ...]
    evaluations: tuple[EvaluateJob, ...]
    report: ReportJob

    @cached_property
    def training_of(self) -> dict[str, TrainJob]:
        """Run -> its training, for each run that needs one."""
        return {job.run: job for job in self.trainings}

    @cached_property
    def runs(self) -> dict[str, Sequence[EvaluateJob]]:
        """Run -> its evaluations, in the order of the plan."""
        runs: dict[str, list[EvaluateJob]] = {}
        for job in self.evaluations:
            runs.setdefault(job.part.run, []).append(job)
        return dict(runs)
