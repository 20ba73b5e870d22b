"""Do the jobs of a plan in this process: all that are missing, or one part of n.

Of several processes that share a folder, each takes its part of the evaluations, and a training that several need is
done by one of them, which holds a claim; the others do something else meanwhile, or wait. A job leaves its result
whole or not at all, so all can be killed at any moment; the same calls go on.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from ..errors import RecipeError
from ..recipes.claims import POLL_SECONDS, claimed
from ..recipes.stores import PreparedStore, PrepareJob
from .execute import execute, prepare
from .jobs import EvaluateJob, Plan, TrainJob
from .progress import bar
from .shared_trainings import take_over
from .training_notes import is_noted
from .workspace import Workspace

One = TypeVar("One")


@dataclass(frozen=True)
class StudyPart:
    """Part `number` of `count`, from 1 on."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "StudyPart":
        """Read "2/4"; raises RecipeError for anything else."""
        number, slash, count = text.partition("/")
        plain = number.isascii() and number.isdigit() and count.isascii() and count.isdigit() and len(text) < 20
        if not slash or not plain or not 1 <= int(number) <= int(count):
            raise RecipeError(f'part "{text}" is none; give i/n with i from 1 to n, such as 2/4.')
        return cls(int(number), int(count))

    def of(self, jobs: Sequence[EvaluateJob]) -> list[EvaluateJob]:
        """This part of the jobs, in their order: dealt in turn by their keys, so that parts are equally large."""
        ranked = sorted(jobs, key=lambda job: (job.part.key, job.part.run, job.part.dataset, job.part.case))
        own_keys = set(ranked[self.number - 1 :: self.count])
        return [job for job in jobs if job in own_keys]


WHOLE = StudyPart(1, 1)


@dataclass(frozen=True)
class WorkSummary:
    """What an executor did.

    Attributes:
        trained: runs.
        measured: number of evaluations.
        missing: evaluations of the plan whose results are still missing.
    """

    trained: tuple[str, ...]
    measured: int
    missing: int


class Executor(Protocol):
    """Something that does jobs: this process, or a cluster."""

    def prepare(self, jobs: Sequence[PrepareJob], workspace: Workspace) -> Mapping[str, PreparedStore]:
        """Dataset -> what is ready of it."""
        ...

    def run(self, plan: Plan, workspace: Workspace) -> WorkSummary:
        """Train and measure what is missing of a plan."""
        ...


@dataclass(frozen=True)
class LocalExecutor:
    """This process.

    Attributes:
        share: the evaluations that it does.
    """

    share: StudyPart = WHOLE

    def prepare(self, jobs: Sequence[PrepareJob], workspace: Workspace) -> Mapping[str, PreparedStore]:
        """Bring each dataset into its store, one after another."""
        return {job.dataset: prepare(job, workspace) for job in jobs}

    def run(self, plan: Plan, workspace: Workspace) -> WorkSummary:
        """Run by run, train and measure what is missing of this part."""
        own_parts = {job.part for job in self.share.of(plan.evaluations)}
        waiting = [
            [job for job in jobs if job.part in own_parts and not workspace.results.has(job.part)]
            for jobs in plan.runs.values()
        ]
        waiting = _rotated([jobs for jobs in waiting if jobs], self.share)
        trained: list[str] = []
        measured = 0
        while waiting:
            later = []
            for jobs in waiting:
                training = plan.training_of.get(jobs[0].part.run)
                outcome = "ready" if training is None else _ensure_trained(training, workspace)
                if outcome == "elsewhere":
                    later.append(jobs)
                    continue
                trained += [jobs[0].part.run] if outcome == "trained" else []
                measured += _measure(jobs, workspace)
            if len(later) == len(waiting):
                time.sleep(POLL_SECONDS)
            waiting = later
        for training in untested(plan) if self.share.number == 1 else ():
            while (outcome := _ensure_trained(training, workspace)) == "elsewhere":
                time.sleep(POLL_SECONDS)
            trained += [training.run] if outcome == "trained" else []
        missing = sum(not workspace.results.has(job.part) for job in plan.evaluations)
        return WorkSummary(tuple(trained), measured, missing)


def untested(plan: Plan) -> list[TrainJob]:
    """Trainings that no evaluation needs: on all patients of the folds, where there are no other data to test."""
    return [training for training in plan.trainings if training.run not in plan.runs]


def _rotated(runs: list[One], share: StudyPart) -> list[One]:
    """The runs, for each part beginning at another, so that parts do not all wait for the first training."""
    start = (share.number - 1) * len(runs) // share.count
    return [*runs[start:], *runs[:start]]


def _ensure_trained(job: TrainJob, workspace: Workspace) -> str:
    """ "ready" where the adapter is there, "trained" where this call made it, "elsewhere" where another one does."""
    if workspace.trained(job.run, job.key) is not None:
        return "ready"
    with claimed(workspace.folder / "claims", job.run, wait=False) as ours:
        if not ours:
            return "elsewhere"
        if workspace.trained(job.run, job.key) is not None:  # another process finished it before we looked
            return "ready"
        source = take_over(job, workspace)
        if source is not None:
            workspace.console.print(f"{job.run} was trained as {source}, beside this study, and is taken from there")
            return "ready"
        if is_noted(workspace.run_folder(job.run), job.key):
            workspace.console.print(f"{job.run} was trained, but its files are damaged or gone: it is trained again")
        how = f"training {job.run}: {len(job.train)} cases, {len(job.replay)} replayed"
        workspace.console.print(how if job.fit is not None else f"{job.run} is {job.start}")
        execute(job, workspace)
    return "trained" if job.fit is not None else "ready"


def _measure(jobs: Sequence[EvaluateJob], workspace: Workspace) -> int:
    """Measure one run on its missing cases; each case's rows are written before the next begins."""
    measured = 0
    with bar(workspace.console, f"measuring {jobs[0].part.run}") as tell:
        for number, job in enumerate(jobs, start=1):
            if not workspace.results.has(job.part):  # another process may have been here
                execute(job, workspace)
                measured += 1
            tell(number, len(jobs), job.part.case)
    return measured
