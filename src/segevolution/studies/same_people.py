"""Tell by their scans who stands in a study under several names, as where two datasets are read from one folder.

A store knows a person by (dataset, patient), and a dataset that a study prepares is called as the recipe calls it. So
files that two datasets of a recipe share, and copies of them, are known by what their records say of the image.
"""

from collections.abc import Iterable, Mapping, Sequence

from ..data.record import CaseRecord
from ..data.splits import Person
from ..data.ties import group_leaders
from ..recipes.roles import CaseName
from .jobs import EvaluateJob, TrainJob
from .ready_adapter import image_mark

Records = Mapping[str, Sequence[CaseRecord]]
"""Dataset of the study -> its cases."""

_Place = tuple[str, str | None]  # dataset and site of a record


def records_by_case(records: Records) -> dict[CaseName, CaseRecord]:
    """The record of each case of a study."""
    return {CaseName(dataset, record.name): record for dataset, cases in records.items() for record in cases}


def people_by_scan(records: Records) -> dict[Person, Person]:
    """Person -> the person that stands for all the names under which a study holds the same one."""
    everyone = [record for cases in records.values() for record in cases]
    owners: dict[str, Person] = {}
    ties = [(owners.setdefault(mark, record.person), record.person) for record in everyone for mark in _marks(record)]
    return group_leaders((record.person for record in everyone), ties)


def external_datasets(
    trainings: Iterable[TrainJob], evaluations: Iterable[EvaluateJob], records: Records
) -> tuple[str, ...]:
    """The datasets of a study whose tested cases are of no dataset and site that some run learned from.

    Datasets and sites that hold one person count as one, whatever the study calls them.
    """
    people = people_by_scan(records)
    everyone = [record for cases in records.values() for record in cases]
    first_place: dict[Person, _Place] = {}
    ties = [(first_place.setdefault(people[record.person], _place(record)), _place(record)) for record in everyone]
    places = group_leaders(map(_place, everyone), ties)
    record_of = records_by_case(records)
    taught = {name for job in trainings for name in (*job.train, *job.replay)}
    not_external = {name.dataset for name in taught}
    taught_places = {places[_place(record_of[name])] for name in taught}
    for name in {CaseName(job.part.dataset, job.part.case) for job in evaluations}:
        if places[_place(record_of[name])] in taught_places:
            not_external.add(name.dataset)
    return tuple(name for name in records if name not in not_external)


def _place(record: CaseRecord) -> _Place:
    return record.dataset, record.site


def _marks(record: CaseRecord) -> list[str]:
    """What tells a scan again that came from a file: where it lies, its content, and what was read of it."""
    if not isinstance(record, CaseRecord):  # a case that stands in, see `forecast`
        return []
    image, origin = record.image, record.origin
    marks = [] if image is None else [image.content, *([] if image.is_series else [image.path])]
    if origin is not None:
        marks.append(origin.series or str(origin.path.absolute()))
    return [*marks, f"scan {image_mark(record)}"] if marks else []
