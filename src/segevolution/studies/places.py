"""Check that no two jobs of a plan leave their work in the same place, where one would overwrite the other."""

from collections.abc import Iterable

from ..errors import RecipeError
from .jobs import EvaluateJob, TrainJob


def check_runs(study: str, trainings: Iterable[TrainJob], evaluations: Iterable[EvaluateJob]) -> None:
    """Refuse a plan in which two runs share a folder, or two evaluations a file.

    Names that differ in small and capital letters only share a folder on some systems, and are refused on all.

    Raises:
        RecipeError: some do; the sentence names both.
    """
    owners: dict[str, tuple[str, str]] = {}
    trained: set[str] = set()
    for training in trainings:
        _claim(study, owners, training.run, training.method)
        if training.run in trained:
            raise RecipeError(f"{study}: two trainings of {training.method} are both called {training.run}; {_RENAME}")
        trained.add(training.run)
    measured: set[tuple[str, str, str, str, float]] = set()
    for job in evaluations:
        part = job.part
        _claim(study, owners, part.run, job.family or job.method)
        name = part.run, part.dataset, part.case, part.shift, part.strength
        if name in measured:
            raise RecipeError(f"{study}: {part.run} is measured twice on {part.dataset}/{part.case}; {_RENAME}")
        measured.add(name)


_RENAME = "give a method or a cohort another name."


def _claim(study: str, owners: dict[str, tuple[str, str]], run: str, method: str) -> None:
    """Note whose run it is; RecipeError where its folder is another's."""
    owner, first = owners.setdefault(run.casefold(), (method, run))
    if (owner, first) != (method, run):
        raise RecipeError(f"{study}: {first} of {owner} and {run} of {method} would be one run; {_RENAME}")
