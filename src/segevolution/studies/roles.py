"""Which patients of a dataset may have which role, and which of the training cases a run learns from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..data.balance import round_robin
from ..data.record import CaseRecord
from ..data.splits import PARTS, Person, Split, few_shot, split_patients, torn_patients
from ..errors import RecipeError, StoreError
from ..imaging.case import Part
from ..vocabulary import Modality
from .recipe import ORIGINAL, Dataset, Recipe

PART_OF: Mapping[str, Part] = {"train": "train", "replay": "train", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class CaseName:
    """A case of a dataset of the study."""

    dataset: str
    case: str


@dataclass(frozen=True)
class _Member:
    """A case as `data.splits` and `data.balance` look at it, within the study's dataset of that name."""

    name: str
    person: Person
    modality: Modality | None
    part: Part | None


def pools(dataset: Dataset, records: Sequence[CaseRecord]) -> dict[Part, list[str]]:
    """Part -> its patients, sorted, as the dataset's `split` says: the authors' parts, or those of a file.

    Raises:
        RecipeError: the split tears a patient, or its file cannot be read or is of other data.
    """
    there = _members(dataset.name, records)
    try:
        split = split_patients(there, seed=dataset.seed, original=True) if dataset.split == ORIGINAL else _read(dataset)
    except StoreError as error:
        raise RecipeError(f"{dataset.name}: {error}") from error
    torn = torn_patients(there, split)
    if torn:
        (_, patient), parts = next(iter(torn.items()))
        raise RecipeError(
            f"{dataset.name}: {dataset.split} has patient {patient} in {' and '.join(parts)}; choose one."
        )
    patient_of = {member.name: member.person[1] for member in there}
    found = {part: sorted({patient_of[name] for name in getattr(split, part) if name in patient_of}) for part in PARTS}
    if not any(found.values()):
        raise RecipeError(
            f"{dataset.name}: {dataset.split} names none of its {len(there)} cases; is it another store's?"
        )
    return found


def learned(
    recipe: Recipe,
    train: tuple[CaseName, ...],
    records: Mapping[str, Iterable[CaseRecord]],
    seed: int,
    shots: int | None = None,
) -> tuple[CaseName, ...]:
    """Those training cases that a run learns from, chosen by its seed as the recipe's shots or sampler say.

    Args:
        train: all that it may learn from, in the order that is kept.
        records: dataset name -> its cases.
        shots: patients of each dataset and modality; None = as many as there are.

    Raises:
        RecipeError: there are fewer than is asked for.
    """
    if shots is None and recipe.count is None:
        return train
    allowed = {_key(name.dataset, name.case) for name in train}
    there = [member for name, cases in records.items() for member in _members(name, cases) if member.name in allowed]
    if shots is not None:
        _require_patients(recipe, there, shots)
        chosen = set(few_shot(there, shots, seed))
    else:
        try:
            chosen = set(round_robin(there, recipe.count or 0, seed))
        except StoreError as error:
            raise RecipeError(f"{recipe.name}: count: {error}") from error
    return tuple(name for name in train if _key(name.dataset, name.case) in chosen)


def _require_patients(recipe: Recipe, there: Iterable[_Member], shots: int) -> None:
    patients: dict[str, set[str]] = {}
    for member in there:
        patients.setdefault(member.person[0], set()).add(member.person[1])
    for dataset, found in patients.items():
        if len(found) < shots:
            raise RecipeError(
                f"{recipe.name}: shots holds {shots}, but {dataset} has only {len(found)} patients to train on; "
                f"give its train more, or leave {shots} out."
            )


def _members(dataset: str, records: Iterable[CaseRecord]) -> list[_Member]:
    return [
        _Member(_key(dataset, record.name), (dataset, record.patient), record.modality, record.part)
        for record in records
    ]


def _key(dataset: str, case: str) -> str:
    """A name that no case of another dataset has."""
    return f"{dataset}/{case}"


def _read(dataset: Dataset) -> Split:
    """A split file, its cases named as `_members` names them."""
    read = Split.load(Path(dataset.split).expanduser())
    return Split(*(tuple(_key(dataset.name, name) for name in getattr(read, part)) for part in PARTS))
