"""Splits by patient: no person is ever in two parts, and chance comes from a seed alone.

The order of the records does not matter. A person is (dataset, patient), with all of their sequences, frames and
visits.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from ..errors import StoreError
from ..files import write_json
from ..vocabulary import Modality
from .record import read_object

Person = tuple[str, str]


class Grouped(Protocol):
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
        for part in ("train", "validation", "test"):
            object.__setattr__(self, part, tuple(sorted(getattr(self, part))))
        names = [*self.train, *self.validation, *self.test]
        twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if twice:
            raise StoreError(f"the split has {', '.join(twice[:5])} more than once; each case belongs to one part.")

    def save(self, path: Path) -> None:
        """Write as JSON, whole or not at all."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Split":
        """Read what `save` wrote, or a person's own file of that form; StoreError if it is neither."""
        value = read_object(path)
        parts = {"train", "validation", "test"}
        sound = all(
            isinstance(names, list) and all(isinstance(name, str) for name in names) for names in value.values()
        )
        if not sound or not value.keys() <= parts or "train" not in value:
            raise StoreError(f'{path} must map "train", "validation" and "test" to lists of case names.')
        return cls(**{part: tuple(names) for part, names in value.items()})


def split_patients(
    records: Iterable[Grouped],
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    *,
    counts: tuple[int, int, int] | None = None,
) -> Split:
    """Train, validation and test by patient, each with its share of every dataset and modality.

    Args:
        fractions: of patients, train, validation and test; they sum to one.
        counts: numbers of patients instead; where they sum to fewer than there are, the rest is in no part.

    Raises:
        StoreError: the fractions do not sum to one, or the counts exceed the patients.
    """
    strata = _strata(records, seed)
    people = sum(len(stratum) for stratum in strata)
    if counts is not None:
        if min(counts) < 0 or sum(counts) > people:
            raise StoreError(f"{sum(counts)} patients were asked for ({counts}), but there are {people}.")
        shares = [count / max(people, 1) for count in (*counts, people - sum(counts))]
    else:
        if min(fractions) < 0 or not math.isclose(sum(fractions), 1):
            raise StoreError(f"the fractions of a split must sum to 1; {fractions} sum to {sum(fractions):g}.")
        shares = list(fractions)
    parts = _deal(strata, shares)
    return Split(*(tuple(name for cases in part for name in cases) for part in parts[:3]))


def folds(records: Iterable[Grouped], k: int, seed: int = 0, *, validation: int = 0) -> tuple[Split, ...]:
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
    made = []
    for number, test in enumerate(parts):
        # The fold after this one gives validation patients first, so that they differ from fold to fold.
        rest = [cases for other in range(1, k) for cases in parts[(number + other) % k]]
        if validation >= len(rest):
            raise StoreError(f"{validation} validation patients leave none of {len(rest)} to train on.")
        held, train = rest[:validation], rest[validation:]
        made.append(Split(*(tuple(name for cases in part for name in cases) for part in (train, held, test))))
    return tuple(made)


def few_shot(records: Iterable[Grouped], shots: int, seed: int = 0) -> tuple[str, ...]:
    """Names of the cases of `shots` patients from each dataset and modality; all of them where there are fewer.

    The subset of fewer shots lies in that of more, so that a curve over shots adds patients and swaps none.

    Raises:
        StoreError: fewer than one shot.
    """
    if shots < 1:
        raise StoreError(f"{shots} shots leave nothing to learn from; ask for 1 or more.")
    return tuple(sorted(name for stratum in _strata(records, seed) for cases in stratum[:shots] for name in cases))


def torn_patients(records: Iterable[Grouped], split: Split) -> Mapping[Person, tuple[str, ...]]:
    """(dataset, patient) -> the parts it is in, for each who is in more than one; also for a split made by hand."""
    part_of = {name: part for part, names in asdict(split).items() for name in names}
    parts: dict[Person, set[str]] = defaultdict(set)
    for record in records:
        if record.name in part_of:
            parts[record.person].add(part_of[record.name])
    return {person: tuple(sorted(found)) for person, found in sorted(parts.items()) if len(found) > 1}


def _strata(records: Iterable[Grouped], seed: int) -> list[list[list[str]]]:
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
        [sorted(cases[person]) for person in sorted(people, key=lambda person: _lot(person, seed))]
        for _, people in sorted(strata.items())
    ]


def _lot(person: Person, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\n{person[0]}\n{person[1]}".encode()).digest()


def _deal(strata: Sequence[Sequence[list[str]]], shares: Sequence[float]) -> list[list[list[str]]]:
    """Give each patient in turn to the part that lacks most of its share: exact in sum, even in every stratum."""
    parts: list[list[list[str]]] = [[] for _ in shares]
    for number, cases in enumerate((cases for stratum in strata for cases in stratum), start=1):
        lacks = [round(share * number - len(part), 9) for share, part in zip(shares, parts, strict=True)]
        parts[lacks.index(max(lacks))].append(cases)
    return parts
