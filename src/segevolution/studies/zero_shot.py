"""Check by names whether a study's answers are zero-shot, and whether a run was tested on patients it learned from.

Patients are known by their scans too, see `same_people`. A report shows the results as badges and warnings. It also
names the training from scratch that each method is compared with. Near-duplicates under other names are found by "data
check" (`data.audit`).
"""

from collections.abc import Iterable, Mapping, Sequence

from ..data.audit.overlaps import BASES, base_of, seen_by
from ..data.record import CaseRecord
from ..recipes.roles import CaseName
from .jobs import SCRATCH, EvaluateJob, TrainJob
from .same_people import people_by_scan, records_by_case

ZERO_SHOT = "zero-shot"


def badges(evaluations: Iterable[EvaluateJob], records: Mapping[str, Sequence[CaseRecord]]) -> dict[str, str]:
    """Dataset -> "zero-shot", or why the base's answers on it are not; of several bases, what holds of each.

    The badge needs that the base's training data are known, all of them, and hold none of the tested cases.

    Args:
        records: dataset name -> its cases.
    """
    tested: dict[str, dict[str, dict[CaseName, None]]] = {}
    for job in evaluations:
        if job.rival is not None:
            continue
        cases = tested.setdefault(job.part.dataset, {}).setdefault(job.base, {})
        cases[CaseName(job.part.dataset, job.part.case)] = None
    by_name = records_by_case(records)
    badge_by_dataset = {}
    for dataset, bases in tested.items():
        marks = {base: _badge(base, dataset, [by_name[name] for name in cases]) for base, cases in bases.items()}
        alike = len(set(marks.values())) == 1
        badge_by_dataset[dataset] = (
            next(iter(marks.values())) if alike else "; ".join(f"{base}: {mark}" for base, mark in marks.items())
        )
    return badge_by_dataset


def _badge(base: str, dataset: str, cases: Sequence[CaseRecord]) -> str:
    base_facts = base_of(base)
    if base_facts is None:
        return f"not zero-shot: what {base} was trained on is not known"
    seen_data = [data_name for record in cases if (data_name := seen_by(base_facts, dataset, record))]
    if seen_data:
        parts = " and ".join(dict.fromkeys(seen_data))
        return f"not zero-shot: {len(seen_data)} of {len(cases)} cases seen in training ({parts})"
    unlisted = BASES[base_facts].unlisted
    return f"not zero-shot: {unlisted}" if unlisted else ZERO_SHOT


def torn(
    trainings: Iterable[TrainJob], evaluations: Iterable[EvaluateJob], records: Mapping[str, Sequence[CaseRecord]]
) -> list[str]:
    """A sentence for each run that is tested on a patient that it learned from, through another dataset or its copy."""
    by_name = records_by_case(records)
    people = people_by_scan(records)
    taught = {
        job.run: {people[by_name[name].person] for name in (*job.train, *job.replay, *job.validation)}
        for job in trainings
    }
    people_by_run: dict[str, set[str]] = {}
    for job in evaluations:
        person = by_name[CaseName(job.part.dataset, job.part.case)].person
        if people[person] in taught.get(job.part.run, ()):
            people_by_run.setdefault(job.part.run, set()).add("/".join(person))
    return [
        f"{run} is tested on patients that it learned from: {', '.join(sorted(who))}; its results on them are too good."
        for run, who in people_by_run.items()
    ]


def rivals(trainings: Iterable[TrainJob], evaluations: Iterable[EvaluateJob]) -> dict[str, list[str]]:
    """Training from scratch -> what else was trained of the same base on as many patients: each is compared with it."""
    training_of = {job.run: job for job in trainings}
    labels: dict[tuple[str, str], dict[str, str]] = {}  # (base, how many patients, in words) -> label -> kind
    for job in evaluations:
        training = training_of.get(job.part.run)
        if training is not None:
            shots = job.method.removeprefix(training.method)
            labels.setdefault((job.base, shots), {})[job.method] = training.kind
    rivals_by_run: dict[str, list[str]] = {}
    for kinds in labels.values():
        others = [label for label, kind in kinds.items() if kind != SCRATCH]
        rivals_by_run |= {label: others for label, kind in kinds.items() if kind == SCRATCH and others}
    return rivals_by_run
