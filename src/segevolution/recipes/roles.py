"""Assign a role to each patient of a dataset: trained on, replayed, validated on, or tested."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..data.record import CaseRecord
from ..data.splits import PARTS, Person, split_patients, torn_patients
from ..data.splits import Split as PartSplit
from ..errors import RecipeError, StoreError
from ..imaging.case import Part
from ..vocabulary import Modality, did_you_mean
from .dataset import LOT, ORIGINAL, Dataset, Role
from .keys import digest

ROLES = ("train", "replay", "validation", "test")
PART_OF: Mapping[str, Part] = {"train": "train", "replay": "train", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class CaseName:
    """A case of a dataset of the study."""

    dataset: str
    case: str


Roles = Mapping[str, frozenset[str]]
"""Role -> its patients."""


@dataclass(frozen=True)
class RoleSplit:
    """Which patients of one dataset do what in one fold, and which cases of theirs; see `patient_names`."""

    patients: Roles = field(default_factory=dict)
    cases: Roles = field(default_factory=dict)

    def of(self, role: str, records: Iterable[CaseRecord]) -> list[str]:
        """Names of the cases that have a role, in the order of the records."""
        return [record.name for record in records if record.name in self.cases[role]]


@dataclass(frozen=True)
class CaseMember:
    """A case as `data.splits` and `data.balance` look at it, within the study's dataset of that name."""

    name: str
    person: Person
    modality: Modality | None
    part: Part | None


def assign(dataset: Dataset, records: Sequence[CaseRecord]) -> tuple[RoleSplit, ...]:
    """Patients to roles, one split a fold; a patient, with all its cases, has one role in a fold.

    Named patients are taken first; the others are ordered by a lot that depends on the seed and their own name
    only, and dealt in the order test, train, replay, validation, so that a larger `train` never changes who is
    tested. With a `split`, each role is dealt from its own part.

    Raises:
        RecipeError: a patient is named that is not there or in two roles, there are too few, or the split is unusable.
    """
    names = patient_names(records)
    if dataset.sites is not None:
        records = [record for record in records if record.site in dataset.sites]
        if not records:
            raise RecipeError(f"{dataset.name} has no patient of the sites {', '.join(dataset.sites)}.")
    patient_of = {record.name: names[record.person] for record in records}
    return tuple(
        RoleSplit(
            roles,
            {
                role: frozenset(case for case, patient in patient_of.items() if patient in patients)
                for role, patients in roles.items()
            },
        )
        for roles in _deal_folds(dataset, records, patient_of)
    )


def of_fold(splits: Sequence[RoleSplit], fold: int, role: str, records: Sequence[CaseRecord]) -> list[str]:
    """The cases that have a role in a fold."""
    return splits[fold if len(splits) > 1 else 0].of(role, records)


def of_all(splits: Sequence[RoleSplit], fold: int, role: str, records: Sequence[CaseRecord]) -> list[str]:
    """The cases of all folds' patients, who all learn; the fold does not matter."""
    if role != "train":
        return []
    learning = set().union(*(split.cases[part] for split in splits for part in ("train", "test")))
    return [record.name for record in records if record.name in learning]


def _deal_folds(dataset: Dataset, records: Sequence[CaseRecord], patient_of: Mapping[str, str]) -> list[Roles]:
    """The roles of each fold; `patient_of`: case -> its patient, of those that take part."""
    patients = sorted(set(patient_of.values()))
    if dataset.patients is not None:
        _require(dataset, dataset.patients, patients)
        patients = sorted(set(dataset.patients))
    wishes: dict[str, Role] = {role: getattr(dataset, role) for role in ROLES}
    listed_names: dict[str, list[str]] = {role: wish for role, wish in wishes.items() if isinstance(wish, list)}
    for role, names in listed_names.items():
        _require(dataset, names, patients)
        for other, others in listed_names.items():
            twice = sorted(set(names) & set(others)) if other != role else []
            if twice:
                raise RecipeError(f"{dataset.name}: {twice[0]} is in both {role} and {other}; choose one.")
    if dataset.split != LOT:
        chosen = set(patients)
        records_with_role = [record for record in records if patient_of[record.name] in chosen]
        return [_deal_parts(dataset, wishes, pools(dataset, records_with_role, patient_of))]
    assigned_names = {name for names in listed_names.values() for name in names}
    free = _shuffled(dataset, set(patients) - assigned_names)
    if dataset.folds == 1:
        return [_deal(dataset, wishes, free, len(patients))]
    if dataset.folds > len(free):
        raise RecipeError(f"{dataset.name} has {len(free)} patients, too few for {dataset.folds} folds.")
    splits = []
    for fold in range(dataset.folds):
        tested = free[fold :: dataset.folds]
        rest = [name for name in free if name not in tested]
        splits.append(_deal(dataset, {**wishes, "test": tested}, rest, len(patients)))
    return splits


def _deal(dataset: Dataset, wishes: Mapping[str, Role], free: Sequence[str], total: int) -> Roles:
    undealt, dealt = list(free), {}
    for role in ("test", "train", "replay", "validation"):
        wish = wishes[role]
        if isinstance(wish, list):
            dealt[role] = frozenset(wish)
        elif wish != "rest":
            count = round(wish * total) if isinstance(wish, float) else int(wish)
            if count > len(undealt):
                raise RecipeError(f"{dataset.name}: {role} wants {count} patients, but only {len(undealt)} are left.")
            dealt[role], undealt = frozenset(undealt[:count]), undealt[count:]
    for role in ROLES:
        if wishes[role] == "rest":
            dealt[role] = frozenset(undealt)
    return {
        role: frozenset(_shuffled(dataset, patients)[: dataset.cap[role]]) if role in dataset.cap else patients
        for role, patients in dealt.items()
    }


def _deal_parts(dataset: Dataset, wishes: Mapping[str, Role], parts: Mapping[Part, Sequence[str]]) -> Roles:
    """Each role from the patients of its part; fractions are of these."""
    dealt: dict[str, frozenset[str]] = {}
    for part, pool in parts.items():
        inside = {role: wish for role, wish in wishes.items() if PART_OF[role] == part}
        listed_names = [name for wish in inside.values() if isinstance(wish, list) for name in wish]
        _require(dataset, listed_names, pool, f"'s {part} part")
        split = _deal(
            dataset, dict.fromkeys(ROLES, 0) | inside, _shuffled(dataset, set(pool) - set(listed_names)), len(pool)
        )
        dealt |= {role: split[role] for role in inside}
    return dealt


def _shuffled(dataset: Dataset, patients: Iterable[str]) -> list[str]:
    return sorted(patients, key=lambda name: digest([dataset.seed, dataset.name, name]))


def _require(dataset: Dataset, names: Sequence[str], there: Sequence[str], where: str = "") -> None:
    others = f"there are {len(there)} others."
    for name in names:
        if name not in there:
            namesakes = [other for other in there if other.endswith(f"/{name}")]
            hint = f"say {' or '.join(namesakes)}." if namesakes else did_you_mean(name, there, others)
            raise RecipeError(f'{dataset.name}{where} has no patient "{name}"; {hint}')


def pools(dataset: Dataset, records: Sequence[CaseRecord], patient_of: Mapping[str, str]) -> dict[Part, list[str]]:
    """Part -> its patients, sorted, as the dataset's `split` says: the authors' parts, or those of a file.

    Args:
        dataset: whose split is read.
        records: of the cases that take part.
        patient_of: case -> its patient, see `patient_names`.

    Raises:
        RecipeError: the split tears a patient, or its file cannot be read or is of other data.
    """
    case_members = [_member(dataset.name, record, patient_of[record.name]) for record in records]
    try:
        split = (
            split_patients(case_members, seed=dataset.seed, original=True)
            if dataset.split == ORIGINAL
            else _read(dataset)
        )
    except StoreError as error:
        raise RecipeError(f"{dataset.name}: {error}") from error
    torn = torn_patients(case_members, split)
    if torn:
        (_, patient), parts = next(iter(torn.items()))
        raise RecipeError(
            f"{dataset.name}: {dataset.split} has patient {patient} in {' and '.join(parts)}; choose one."
        )
    by_key = {member.name: member.person[1] for member in case_members}
    pool_by_part = {part: sorted({by_key[name] for name in getattr(split, part) if name in by_key}) for part in PARTS}
    if not any(pool_by_part.values()):
        raise RecipeError(
            f"{dataset.name}: {dataset.split} names none of its {len(case_members)} cases; is it another store's?"
        )
    return pool_by_part


def members(dataset: str, records: Sequence[CaseRecord]) -> list[CaseMember]:
    """The cases of a dataset of a recipe, by names that no case of another dataset has."""
    names = patient_names(records)
    return [_member(dataset, record, names[record.person]) for record in records]


def _member(dataset: str, record: CaseRecord, patient: str) -> CaseMember:
    return CaseMember(case_key(dataset, record.name), (dataset, patient), record.modality, record.part)


def patient_names(records: Iterable[CaseRecord]) -> dict[Person, str]:
    """Person -> a name that no other person of a store has.

    It is the patient's own, or "dataset/patient" where the store holds several datasets that use it.
    """
    people = {record.person for record in records}
    used = Counter(patient for _, patient in people)
    return {person: "/".join(person) if used[person[1]] > 1 else person[1] for person in people}


def case_key(dataset: str, case: str) -> str:
    """A name that no case of another dataset has."""
    return f"{dataset}/{case}"


def _read(dataset: Dataset) -> PartSplit:
    """A split file, its cases named as `members` names them."""
    split = PartSplit.load(Path(dataset.split).expanduser())
    return PartSplit(*(tuple(case_key(dataset.name, name) for name in getattr(split, part)) for part in PARTS))
