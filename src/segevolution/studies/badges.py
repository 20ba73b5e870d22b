"""What a report says beside its numbers: whether the unadapted base's answers are zero-shot, which runs were tested on
whom they learned from, and which training from scratch each method is to be compared with.

These are the cheap checks of `data.audit`: by names. Near-duplicates under other names are found by "data check".
"""

from collections.abc import Mapping, Sequence

from ..data.audit.overlaps import base_of, seen_by
from ..data.record import CaseRecord
from ..data.splits import Person
from ..recipes.roles import CaseName
from .plan import Plan
from .recipe import SCRATCH

ZERO_SHOT = "zero-shot"


def badges(made: Plan, records: Mapping[str, Sequence[CaseRecord]], base: str) -> dict[str, str]:
    """Dataset -> "zero-shot", or why the base's answers on it are not.

    The badge needs that the base's training data are known and hold none of the tested cases.

    Args:
        records: dataset name -> its cases.
        base: as the recipe names it.
    """
    by_name = _by_name(records)
    tested: dict[str, dict[str, CaseRecord]] = {}
    for job in made.evaluations:
        name = CaseName(job.part.dataset, job.part.case)
        tested.setdefault(name.dataset, {})[name.case] = by_name[name]
    known = base_of(base)
    if known is None:
        return dict.fromkeys(tested, f"not zero-shot: what {base} was trained on is not known")
    found = {}
    for dataset, cases in tested.items():
        seen = [what for record in cases.values() if (what := seen_by(known, dataset, record))]
        parts = " and ".join(dict.fromkeys(seen))
        found[dataset] = (
            f"not zero-shot: {len(seen)} of {len(cases)} cases seen in training ({parts})" if seen else ZERO_SHOT
        )
    return found


def torn(made: Plan, records: Mapping[str, Sequence[CaseRecord]]) -> list[str]:
    """A sentence for each run that is tested on a patient that it learned from, through another dataset."""
    by_name = _by_name(records)
    people: dict[str, set[Person]] = {}
    for training in made.trainings:
        names = (*training.train, *training.replay, *training.validation)
        people[training.run] = {by_name[name].person for name in names}
    found: dict[str, set[str]] = {}
    for job in made.evaluations:
        person = by_name[CaseName(job.part.dataset, job.part.case)].person
        if person in people.get(job.part.run, ()):
            found.setdefault(job.part.run, set()).add("/".join(person))
    return [
        f"{run} is tested on patients that it learned from: {', '.join(sorted(who))}; its results on them are too good."
        for run, who in found.items()
    ]


def _by_name(records: Mapping[str, Sequence[CaseRecord]]) -> dict[CaseName, CaseRecord]:
    return {CaseName(dataset, record.name): record for dataset, cases in records.items() for record in cases}


def rivals(made: Plan) -> dict[str, list[str]]:
    """Training from scratch -> what else was trained, on as many patients: each is to be compared with it, too."""
    labels: dict[str, dict[str, str]] = {}  # how many patients, in words -> label -> kind
    for job in made.evaluations:
        if job.needs is not None:
            method = job.needs.method
            labels.setdefault(job.method.removeprefix(method.name), {})[job.method] = method.trained_as
    found: dict[str, list[str]] = {}
    for kinds in labels.values():
        others = [label for label, kind in kinds.items() if kind != SCRATCH]
        found |= {label: others for label, kind in kinds.items() if kind == SCRATCH and others}
    return found
