"""The patients of a laboratory that adapts: its dataset becomes a store, and each patient learns, chooses or tests."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..data.prepare import Progress, prepare, require_cases
from ..data.record import CaseRecord
from ..data.sources import Overrides, Source, open_source
from ..data.sources.collection import in_lines
from ..data.splits import PARTS, Person, Split, few_shot, split_patients, torn_patients
from ..data.store import Store
from ..errors import RecipeError, StoreError
from ..evaluation.intervals import FEWEST
from ..recipes.keys import digest
from ..recipes.source_files import list_files, reopened, some
from ..vocabulary import Modality, canonical, did_you_mean

Share = int | float

MANY = 2 * FEWEST  # from so many patients on, FEWEST are held out; with fewer, all are tested by cross-validation
FOLDS = 3
MANY_MORE = 20
TESTED, CHOOSING = 0.2, 0.1  # shares of many patients
TESTED_OF_FEW = 0.3


@dataclass(frozen=True)
class PatientCounts:
    """Who learns and who tests.

    Attributes:
        validation, test: numbers of patients, or shares of them; None lets `sizes` choose.
        split: a file that `data split` wrote, or one's own of that form; then the sizes have no part.
        folds: cross-validate in so many; 1 holds some out; None lets `folds_of` choose.
        shots: learn from so many patients of each modality only.
        seed: of the lot.
    """

    validation: Share | None = None
    test: Share | None = None
    split: Path | None = None
    folds: int | None = None
    shots: int | None = None
    seed: int = 0

    @property
    def open(self) -> bool:
        """Whether nobody said who learns and who tests."""
        return self.validation is None and self.test is None and self.split is None and self.shots is None


@dataclass(frozen=True)
class Shares:
    """Who learns, who chooses and who tests.

    Attributes:
        split: cases. With several folds all of them learn: each is tested by a training that did not, and the adapter
            then learns from all.
        folds: of cross-validation; 1 without.
        how: in words.
        counts: part -> how many patients.
    """

    split: Split
    folds: int
    how: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class PreparedDataset:
    """A dataset in a store.

    Attributes:
        name: of the dataset, for tables.
        failed: case -> why it cannot be used.
        remarks: case -> what is odd about it.
        decisions: what was taken for granted, a line a kind: who is the patient, names of labels, files left out.
    """

    store: Store
    name: str
    failed: dict[str, str] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    decisions: tuple[str, ...] = ()


def check_dataset(
    folder: Path, source: str = "auto", overrides: Overrides | None = None, wishes: PatientCounts | None = None
) -> None:
    """Refuse, before any case is read, a dataset, options or a split that `bring` and `share_out` would refuse later.

    Raises:
        StoreError, RecipeError: the layout is not known, nothing lies there, or the split file cannot be read.
    """
    opened = _open(folder, source, overrides or Overrides())
    if not isinstance(opened, Store):
        require_cases(opened)
    if wishes is not None and wishes.split is not None:
        Split.load(wishes.split.expanduser())


def _open(folder: Path, source: str, overrides: Overrides) -> Store | Source:
    """The store that a folder is, or the source that it holds."""
    if (folder / "store.json").is_file():
        if overrides != Overrides() or source != "auto":
            raise RecipeError(f"{folder} is a store, which says itself what its cases are; leave the options out.")
        return Store.open(folder)
    return open_source(source, folder, overrides)


def bring(
    folder: Path, work: Path, source: str = "auto", overrides: Overrides | None = None, progress: Progress | None = None
) -> PreparedDataset:
    """A dataset's store: the folder itself where it is one, else made in `work`, or gone on with.

    Raises:
        StoreError, RecipeError: it cannot be read, or no case of it can be used.
    """
    overrides = overrides or Overrides()
    source_data = _open(folder, source, overrides)
    if isinstance(source_data, Store):
        skipped = {case: why for cases in source_data.skipped.values() for case, why in cases.items()}
        return PreparedDataset(source_data, name_of(source_data, folder), skipped)
    made_of: dict[str, Any] = {
        "folder": str(folder.resolve()),
        "source": source_data.name,
        "overrides": [str(value) for value in vars(overrides).values()],
    }
    note, path = work / "dataset.json", work / "dataset"
    key = digest(made_of)
    store, changed = reopened(path, {"key": key, **made_of}, list_files(folder, work), note)
    report = prepare(source_data, store, progress=progress)
    if not len(store):
        reason = next(iter(report.failed.values()), "it holds none")
        raise RecipeError(f"{folder}: no case can be used: {reason}")
    again = [f"read again, since files were changed or deleted: {some(changed)}"] if changed else []
    return PreparedDataset(
        store, name_of(store, folder), dict(report.failed), dict(report.notes), (*again, *in_lines(report.decisions))
    )


def name_of(store: Store, folder: Path) -> str:
    """The name of the store's dataset; the folder's name if the store holds several.

    The list of what each base was trained on uses the same names.
    """
    names = {record.dataset for record in store.cases}
    return names.pop() if len(names) == 1 else folder.resolve().name


def structures_in(brought: PreparedDataset, wanted: Sequence[str]) -> tuple[str, ...]:
    """What is learned: `wanted`, or all that the dataset labels, in the order of first appearance.

    Raises:
        RecipeError: nothing is labelled, or one that is wanted is not.
    """
    labelled = tuple(dict.fromkeys(name for record in brought.store.cases for name in record.structures))
    if not labelled:
        raise RecipeError(
            f"{brought.name}: no case is labelled, and adapting needs labels; see --source and labels.json."
        )
    for name in map(canonical, wanted):
        if name not in labelled:
            hint = did_you_mean(name, labelled, f"it labels {', '.join(labelled)}.")
            raise RecipeError(f'{brought.name} does not label "{name}"; {hint}')
    return tuple(dict.fromkeys(map(canonical, wanted))) or labelled


def share_out(brought: PreparedDataset, structures: Collection[str], wishes: PatientCounts) -> Shares:
    """Who learns, who chooses and who tests, by patient, and in words how that came about.

    Only cases that carry one of the structures take part. Below MANY patients all are tested, by cross-validation,
    unless somebody said otherwise, or the dataset's authors.

    Raises:
        RecipeError: nobody would be left to learn from, or the split file does not fit.
    """
    records = [record for record in brought.store.cases if set(structures) & set(record.structures)]
    if not records:
        raise RecipeError(f"{brought.name}: no case carries {' or '.join(structures)}, so there is nothing to learn.")
    folds = folds_of(brought, records, wishes)
    if folds > 1:
        patients = len({record.person for record in records})
        cases = Split(tuple(record.name for record in records), (), ())
        how = f"cross-validated in {folds} folds, seed {wishes.seed}; the adapter then learned from all"
        return Shares(cases, folds, how, {"train": patients, "validation": 0, "test": patients})
    split, how = _split(brought, records, wishes)
    if wishes.shots is not None:
        split = _fewer(brought, records, split, wishes)
        how += f", learning from {wishes.shots} patients of each modality"
    if not split.train:
        raise RecipeError(f"{brought.name}: nobody is left to learn from; at least one patient must not be held out.")
    counts = {part: people(records, names) for part, names in asdict(split).items()}
    return Shares(split, 1, how, counts)


def folds_of(brought: PreparedDataset, records: Sequence[CaseRecord], wishes: PatientCounts) -> int:
    """How many folds: as wished, else FOLDS below MANY patients where nothing else was said, else 1.

    Raises:
        RecipeError: the folds do not fit the patients, or the other wishes.
    """
    patients = {record.person for record in records}
    if wishes.folds is not None and wishes.folds > 1:
        if not wishes.open:
            raise RecipeError(
                "cross-validation tests every patient; leave --test, --validation, --split and --shots out."
            )
        if wishes.folds > len(patients):
            raise RecipeError(f"{brought.name} has {len(patients)} patients, too few for {wishes.folds} folds.")
        return wishes.folds
    parted = any(record.part in ("validation", "test") for record in records)
    usable = {record.name for record in records}
    mixed = any(record.person in patients and record.name not in usable for record in brought.store.cases)
    if wishes.folds == 1 or not wishes.open or parted or mixed or not 2 <= len(patients) < MANY:
        return 1
    return min(FOLDS, len(patients))


def people(records: Sequence[CaseRecord], names: Collection[str]) -> int:
    """How many patients some cases are of."""
    return len({record.person for record in records if record.name in names})


def sizes(patients: int, validation: Share | None = None, test: Share | None = None) -> tuple[int, int, int]:
    """Numbers of patients to learn from, to choose by and to test on.

    By default 30 % of few patients test, and from MANY on a fifth, but never fewer than a verdict needs. From
    MANY_MORE on a tenth chooses the weights; with fewer, one or two patients would choose by chance, and learn instead.

    Raises:
        RecipeError: none is left to learn from.
    """
    tested = _number(test, patients)
    if tested is None:
        least = FEWEST if patients >= MANY else 1
        share = TESTED if patients >= MANY else TESTED_OF_FEW
        tested = 0 if patients < 2 else max(least, round(share * patients))
    choosing = _number(validation, patients)
    if choosing is None:
        choosing = min(round(CHOOSING * patients) if patients >= MANY_MORE else 0, max(0, patients - tested - 1))
    learning = patients - tested - choosing
    if learning < 1:
        raise RecipeError(
            f"{patients} patients are too few to test {tested} and validate with {choosing}: at least "
            f"{tested + choosing + 1} are needed, so that one is left to learn from; lower --test or --validation."
        )
    return learning, choosing, tested


def _number(wish: Share | None, patients: int) -> int | None:
    return round(wish * patients) if isinstance(wish, float) else wish


def _split(brought: PreparedDataset, records: Sequence[CaseRecord], wishes: PatientCounts) -> tuple[Split, str]:
    if wishes.split is not None:
        return _read(brought, records, wishes.split), f"by {wishes.split}"
    patients = len({record.person for record in records})
    counts = sizes(patients, wishes.validation, wishes.test)
    try:
        if any(record.part in ("validation", "test") for record in records):
            shares = (counts[0] / patients, counts[1] / patients, counts[2] / patients)
            shares = (1 - shares[1] - shares[2], *shares[1:])
            return split_patients(records, shares, wishes.seed, original=True), "as the dataset's authors split it"
        return split_patients(records, seed=wishes.seed, counts=counts), f"by lot, seed {wishes.seed}"
    except StoreError as error:
        raise RecipeError(str(error)) from error


def _read(brought: PreparedDataset, records: Sequence[CaseRecord], path: Path) -> Split:
    """A split file, without the cases that carry none of the structures."""
    read = Split.load(path.expanduser())
    stored_names, usable = set(brought.store.names), {record.name for record in records}
    for name in (name for part in PARTS for name in getattr(read, part)):
        if name not in stored_names and name not in brought.failed:
            hint = did_you_mean(name, stored_names, "see data show.")
            raise RecipeError(f'{path} names the case "{name}", which {brought.name} does not have; {hint}')
    split = Split(*(tuple(name for name in getattr(read, part) if name in usable) for part in PARTS))
    torn = torn_patients(records, split)
    if torn:
        (_, patient), parts = next(iter(torn.items()))
        raise RecipeError(f"{path} has patient {patient} in {' and '.join(parts)}; choose one.")
    return split


def _fewer(brought: PreparedDataset, records: Sequence[CaseRecord], split: Split, wishes: PatientCounts) -> Split:
    learning = [record for record in records if record.name in split.train]
    by_modality: dict[Modality | None, set[Person]] = {}
    for record in learning:
        by_modality.setdefault(record.modality, set()).add(record.person)
    fewest = min((len(patients) for patients in by_modality.values()), default=0)
    shots = wishes.shots or 0
    if not 1 <= shots <= fewest:
        raise RecipeError(
            f"{brought.name}: --shots asks for {shots} patients, but there are {fewest} to learn from beside those "
            "held out; ask for 1 to that many, or hold fewer out."
        )
    return Split(few_shot(learning, shots, wishes.seed), split.validation, split.test)
