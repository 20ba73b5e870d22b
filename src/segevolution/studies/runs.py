"""Runs of a study: their names, and who taught and tested each."""

from collections.abc import Iterable
from typing import Any, Literal

from .jobs import EvaluateJob, TrainJob


def name_run(method: str, cohort: str | None, shots: int | Literal["all"] | None) -> tuple[str, str]:
    """How a run's name begins, and how the tables name its method."""
    tags, words = [method], []
    if cohort is not None:
        tags, words = [*tags, cohort], [cohort]
    if shots is not None:
        tags.append("all" if shots == "all" else f"{shots}shot")
        words.append("all shots" if shots == "all" else f"{shots} shot{'s' if shots > 1 else ''}")
    return "-".join(tags), f"{method} ({', '.join(words)})" if words else method


def describe_runs(trainings: Iterable[TrainJob], evaluations: Iterable[EvaluateJob]) -> dict[str, Any]:
    """Run -> its base, who taught it and who tested it, by case."""
    tested: dict[str, dict[str, None]] = {}
    bases: dict[str, str] = {}
    for job in evaluations:
        tested.setdefault(job.part.run, {})[f"{job.part.dataset}/{job.part.case}"] = None
        bases[job.part.run] = job.base
    taught: dict[str, dict[str, Any]] = {
        job.run: {
            "key": job.key,
            **{
                role: [f"{name.dataset}/{name.case}" for name in getattr(job, role)]
                for role in ("train", "replay", "validation")
            },
        }
        for job in trainings
    }
    return {run: {"base": bases[run], **taught.get(run, {}), "test": list(cases)} for run, cases in tested.items()}
