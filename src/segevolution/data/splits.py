"""Splits by patient: no person is ever in two parts, and chance comes from a seed alone.

The order of the records does not matter. A person is (dataset, patient), with all of their sequences, frames and
visits.

Where a dataset's authors said which cases are for training, validation and testing, `original` keeps their parts.
"""

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ..errors import StoreError
from ..files import write_json
from ..imaging.case import Part
from ..vocabulary import Modality
from .split_files import FromFile, identifiers, read_parts

Person = tuple[str, str]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class HasPerson(Protocol):
    """The part of a `CaseRecord` that a split looks at."""

    @property
    def name(self) -> str:
        """Of the case."""
        ...

    @property
    def person(self) -> Person:
        """(dataset, patient)."""
        ...

    @property
    def modality(self) -> Modality | None:
        """None when not known."""
        ...


class HasPart(HasPerson, Protocol):
    """The part of a `CaseRecord` that an original split looks at."""

    @property
    def part(self) -> Part | None:
        """Where the dataset's authors put the case; None where they did not say."""
        ...


@dataclass(frozen=True)
class Split:
    """Names of cases, each sorted, no name in two parts.

    Raises:
        StoreError: a name is in two parts.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in PARTS:
            object.__setattr__(self, part, tuple(sorted(getattr(self, part))))
        names = [*self.train, *self.validation, *self.test]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise StoreError(f"the split has {', '.join(twice[:5])} more than once; each case belongs to one part.")

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read what `save` wrote, a person's own file of that form, or nnU-Net's `splits_final.json`.

        Raises:
            StoreError: it is none of these; see `split_files`.
        """
        parts = read_parts(path)
        return cls(parts["train"], parts["validation"], parts["test"])

    def matched(self, records: Iterable[FromFile]) -> "Split":
        """The same split in names of cases: a file's name, as other programs have it, stands for all cases of the file.

        Names that no record has stay as they are.
        """
        records = list(records)
        names, of_file = {record.name for record in records}, identifiers(records)

        def cases(part: Sequence[str]) -> tuple[str, ...]:
            return tuple(case for name in part for case in ((name,) if name in names else of_file.get(name, (name,))))

        return Split(cases(self.train), cases(self.validation), cases(self.test))


def split_patients(
    records: Iterable[HasPart],
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    *,
    counts: tuple[int, int, int] | None = None,
    original: bool = False,
) -> Split:
    """Train, validation and test by patient, each with its share of every dataset and modality.

    Args:
        fractions: of patients, train, validation and test; they sum to one.
        counts: numbers of patients instead; where they sum to fewer than there are, the rest is in no part.
        original: keep the parts of datasets whose authors made some, and deal the other datasets by `fractions`. A
            part that the authors left empty is taken from their training patients by lot, validation and test alike,
            never from another part: a dataset with training and test gives up the share
            validation / (train + validation) of its training patients, and its test part stays as it is. Patients
            whom the authors put nowhere count as training patients of theirs.

    Raises:
        StoreError: the fractions do not sum to one, the counts exceed the patients or are given beside `original`, or
            the authors put two cases of a patient into different parts.
    """
    if counts is not None and original:
        raise StoreError("original parts have the sizes that their authors gave them; leave the counts out.")
    if min(fractions) < 0 or not math.isclose(sum(fractions), 1):
        raise StoreError(f"the fractions of a split must sum to 1; {fractions} sum to {sum(fractions):g}.")
    if original:
        return _original(list(records), fractions, seed)
    strata = _strata(records, seed)
    shares = list(fractions)
    if counts is not None:
        people = sum(len(stratum) for stratum in strata)
        if min(counts) < 0 or sum(counts) > people:
            raise StoreError(f"{sum(counts)} patients were asked for ({counts}), but there are {people}.")
        shares = [count / max(people, 1) for count in (*counts, people - sum(counts))]
    return _split(_deal(strata, shares)[:3])


def folds(records: Iterable[HasPerson], k: int, seed: int = 0, *, validation: int = 0) -> tuple[Split, ...]:
    """Cross-validation by patient: every patient is in the test part of exactly one of `k` splits.

    Args:
        validation: patients a fold that are taken from its training part, never from its test part.

    Raises:
        StoreError: fewer patients than folds, or none would be left to train on.
    """
    strata = _strata(records, seed)
    people = sum(len(stratum) for stratum in strata)
    if not 2 <= k <= people:
        raise StoreError(f"{k} folds need 2 or more, and as many patients; there are {people}.")
    parts = _deal(strata, [1 / k] * k)
    fold_splits = []
    for number, test in enumerate(parts):
        # The fold after this one gives validation patients first, so that they differ from fold to fold.
        rest = [cases for other in range(1, k) for cases in parts[(number + other) % k]]
        if validation >= len(rest):
            raise StoreError(f"{validation} validation patients leave none of {len(rest)} to train on.")
        held, train = rest[:validation], rest[validation:]
        fold_splits.append(_split((train, held, test)))
    return tuple(fold_splits)


def few_shot(records: Iterable[HasPerson], shots: int, seed: int = 0) -> tuple[str, ...]:
    """Names of the cases of `shots` patients from each dataset and modality; all of them where there are fewer.

    The subset of fewer shots lies in that of more, so that a curve over shots adds patients and swaps none.

    Raises:
        StoreError: fewer than one shot.
    """
    if shots < 1:
        raise StoreError(f"{shots} shots leave nothing to learn from; ask for 1 or more.")
    return tuple(sorted(name for stratum in _strata(records, seed) for cases in stratum[:shots] for name in cases))


def torn_patients(records: Iterable[HasPerson], split: Split) -> Mapping[Person, tuple[str, ...]]:
    """(dataset, patient) -> the parts it is in, for each who is in more than one; also for a split made by hand."""
    part_of = {name: part for part, names in asdict(split).items() for name in names}
    parts: dict[Person, set[str]] = defaultdict(set)
    for record in records:
        if record.name in part_of:
            parts[record.person].add(part_of[record.name])
    return {
        person: tuple(sorted(person_parts)) for person, person_parts in sorted(parts.items()) if len(person_parts) > 1
    }


@dataclass(frozen=True)
class PartSize:
    """How much of a dataset and modality ("?" where it is not known) is in a part."""

    part: Part
    dataset: str
    modality: str
    patients: int
    cases: int


def part_sizes(records: Iterable[HasPerson], split: Split) -> tuple[PartSize, ...]:
    """Part x dataset x modality, in this order; what is empty is left out."""
    part_of = {name: part for part in PARTS for name in getattr(split, part)}
    groups: dict[tuple[int, str, str], list[Person]] = defaultdict(list)
    for record in records:
        if record.name in part_of:
            place = PARTS.index(part_of[record.name])
            groups[place, record.person[0], str(record.modality or "?")].append(record.person)
    return tuple(
        PartSize(PARTS[place], dataset, modality, len(set(people)), len(people))
        for (place, dataset, modality), people in sorted(groups.items())
    )


def original_parts(records: Iterable[HasPart]) -> dict[Person, Part]:
    """(dataset, patient) -> the part where the authors put their cases, for those whom they put anywhere.

    Raises:
        StoreError: they put cases of one patient into different parts.
    """
    part_by_person: dict[Person, Part] = {}
    for record in records:
        if record.part is not None and part_by_person.setdefault(record.person, record.part) != record.part:
            dataset, patient = record.person
            part_names = " and ".join(sorted({part_by_person[record.person], record.part}))
            raise StoreError(
                f"{dataset}: its authors put cases of patient {patient} into both {part_names}; "
                "split it by lot instead."
            )
    return part_by_person


def lot(seed: int, *names: str) -> bytes:
    """A place in a random order that depends on the seed and these names only: a new name moves no other."""
    return hashlib.sha256("\n".join((str(seed), *names)).encode()).digest()


def _original(records: Sequence[HasPart], fractions: Sequence[float], seed: int) -> Split:
    """Authors' parts where there are some; what they left empty from their training patients."""
    placed = original_parts(records)
    parts_of_person: dict[str, set[Part]] = defaultdict(set)
    for (dataset, _), part in placed.items():
        parts_of_person[dataset].add(part)
    original_records = [[record for record in records if placed.get(record.person) == part] for part in PARTS[1:]]
    parts: list[list[list[str]]] = [[], *(_people(cases, seed) for cases in original_records)]
    pools: dict[tuple[float, ...], list[HasPart]] = defaultdict(list)
    for record in records:
        if placed.get(record.person, "train") == "train":
            pools[_shares(fractions, parts_of_person[record.person[0]])].append(record)
    for shares, pool in sorted(pools.items()):
        for people, more in zip(parts, _deal(_strata(pool, seed), shares), strict=True):
            people += more
    return _split(parts)


def _shares(fractions: Sequence[float], stated_parts: Collection[Part]) -> tuple[float, ...]:
    """Fractions of training patients that each part gets: none for those that the authors filled."""
    open_ = [
        fraction if part == "train" or part not in stated_parts else 0.0
        for part, fraction in zip(PARTS, fractions, strict=True)
    ]
    total = sum(open_)
    return tuple(fraction / total for fraction in open_) if total else (1.0, 0.0, 0.0)


def _people(records: Iterable[HasPerson], seed: int) -> list[list[str]]:
    """Patients, each the names of their cases."""
    return [cases for stratum in _strata(records, seed) for cases in stratum]


def _split(parts: Iterable[Iterable[Iterable[str]]]) -> Split:
    return Split(*(tuple(name for cases in part for name in cases) for part in parts))


def _strata(records: Iterable[HasPerson], seed: int) -> list[list[list[str]]]:
    """Strata of patients of cases: by dataset and the patient's modalities, patients in seeded order.

    A patient's place depends on the seed and their own name only: a new patient moves nobody else past another.
    """
    cases: dict[Person, list[str]] = defaultdict(list)
    modalities: dict[Person, set[str]] = defaultdict(set)
    for record in records:
        cases[record.person].append(record.name)
        modalities[record.person].add(str(record.modality))
    strata: dict[tuple[str, tuple[str, ...]], list[Person]] = defaultdict(list)
    for person in cases:
        strata[person[0], tuple(sorted(modalities[person]))].append(person)
    return [
        [sorted(cases[person]) for person in sorted(people, key=lambda person: lot(seed, *person))]
        for _, people in sorted(strata.items())
    ]


def _deal(strata: Sequence[Sequence[list[str]]], shares: Sequence[float]) -> list[list[list[str]]]:
    """Give each patient in turn to the part that lacks most of its share: exact in sum, even in every stratum."""
    parts: list[list[list[str]]] = [[] for _ in shares]
    for number, cases in enumerate((cases for stratum in strata for cases in stratum), start=1):
        lacks = [round(share * number - len(part), 9) for share, part in zip(shares, parts, strict=True)]
        parts[lacks.index(max(lacks))].append(cases)
    return parts
