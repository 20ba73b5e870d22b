"""AMOS22 (Ji et al. 2022, NeurIPS Datasets and Benchmarks): 15 abdominal organs in CT and MRI, as NIfTI.

amos22/{imagesTr,labelsTr,imagesVa,labelsVa,imagesTs,labelsTs}/amos_0001.nii.gz, amos22/dataset.json
labeled_data_meta_0000_0599.csv, beside that folder, in it, or one level up

dataset.json calls every case CT. What a case is says the scanner's model in the table; where the table is missing, or
lacks the case, or names a scanner that is not known, the published ranges of ids decide (CT up to 410, MRI from 507 to
600), and an id between or beyond them is refused. A case about which table and range disagree is refused too.

Several ids are one patient: same birth date, sex and acquisition date. Only the table tells, so without it every case
is taken for a patient of its own.
"""

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Case, Part
from ...vocabulary import Modality
from .base import Overrides, Provenance
from .headers import DatasetHeader, read_dataset_header
from .naming import images_in
from .paired import PairedSource
from .pairs import Pair
from .structure_names import structure_names

TABLE = "labeled_data_meta_0000_0599.csv"

# In the order of the values 1 to 15, as dataset.json spells them.
LABELS = (
    "spleen",
    "right kidney",
    "left kidney",
    "gall bladder",
    "esophagus",
    "liver",
    "stomach",
    "arota",
    "postcava",
    "pancreas",
    "right adrenal gland",
    "left adrenal gland",
    "duodenum",
    "bladder",
    "prostate/uterus",
)

SCANNERS: dict[str, Modality] = {
    "Ingenia": Modality.MRI,
    "SIGNA HDe": Modality.MRI,
    "Achieva": Modality.MRI,
    "Prisma": Modality.MRI,
    "Optima CT660": Modality.CT,
    "Optima CT540": Modality.CT,
    "Brilliance16": Modality.CT,
    "SOMATOM Force": Modality.CT,
    "Aquilion ONE": Modality.CT,
}

_PARTS: tuple[tuple[str, Part], ...] = (("Tr", "train"), ("Va", "validation"), ("Ts", "test"))
_BLANK = {"", "nan", "none", "null", "na", "n/a", "unknown"}


@dataclass(frozen=True)
class MetadataRow:
    """What the table says of a case; None where it says nothing.

    Attributes:
        model: of the scanner.
        person: birth date, sex and acquisition date, where all three are there.
    """

    model: str | None
    person: tuple[str, str, str] | None
    site: str | None


class AMOSSource(PairedSource):
    """The folder `amos22`, or the one that holds it.

    Raises:
        StoreError: there is no image or label of AMOS in it, or its table cannot be used.
    """

    name: ClassVar[str] = "amos"
    summary: ClassVar[str] = "AMOS22: 15 abdominal organs in CT and MRI, told apart by the metadata table"
    provenance: ClassVar[Provenance] = Provenance(
        "CC BY 4.0",
        "https://zenodo.org/records/7262581",
        f"Download amos22.zip (24 GB) and {TABLE} into one folder, unpack the zip there, and give that folder.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        if not self.recognises(self.path):
            raise StoreError(
                f"{self.path} is not in AMOS22's layout: neither it nor its amos22 holds imagesTr or imagesVa with "
                "files such as amos_0001.nii.gz; check the folder."
            )
        self._root = _root(self.path)
        facts = self._root / "dataset.json"
        header = read_dataset_header(facts) if facts.is_file() else DatasetHeader()
        self._licence = header.licence or header.license or self.provenance.licence
        labels = header.labels or {str(value): name for value, name in enumerate(LABELS, start=1)}
        names = structure_names(labels, facts, title="amos")
        self._structures, self._decisions = names.values, names.decisions
        self._dataset = self.overrides.dataset or "amos"
        self._table = read_table(self._root, self.path.resolve().parent)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a file named as AMOS names them lies in imagesTr or imagesVa."""
        folders = [_root(Path(path)) / f"images{end}" for end in ("Tr", "Va")]
        return any(_number(stem) is not None for folder in folders for stem in images_in(folder))

    def read(self, case: str) -> Case:
        """One case, as `PairedSource.read`.

        Raises:
            StoreError: also where nothing tells CT from MRI, or two facts contradict each other.
        """
        if case in self._faults:
            raise StoreError(self._faults[case])
        return super().read(case)

    @property
    def _pairs(self) -> Mapping[str, Pair]:
        return self._found[0]

    @property
    def _faults(self) -> Mapping[str, str]:
        return self._found[1]

    @property
    def _folders(self) -> Iterable[Path]:
        return [self._root / f"{kind}{end}" for end, _ in _PARTS for kind in ("images", "labels")]

    @cached_property
    def _found(self) -> tuple[dict[str, Pair], dict[str, str]]:
        """The pairs, and the reasons why some of them cannot be used."""
        pairs: dict[str, Pair] = {}
        faults: dict[str, str] = {}
        people = first_of_each_person(self._table)
        for end, part in _PARTS:
            folders = self._root / f"images{end}", self._root / f"labels{end}"
            images, labels = (self._files[folder].by_stem for folder in folders)
            # Test images were published without labels.
            for stem in labels if part == "test" else images.keys() | labels.keys():
                if stem in pairs:
                    faults[stem] = f"{stem} is in two parts, {pairs[stem].part} and {part}; keep one of them."
                    continue
                number, modality = _number(stem), None
                try:
                    modality = self.overrides.modality or modality_of(number, stem, self._table)
                except StoreError as error:
                    faults[stem] = str(error)
                row = self._table.get(number or 0, MetadataRow(None, None, None))
                pairs[stem] = Pair(
                    name=stem,
                    stem=stem,
                    image=images.get(stem, folders[0] / f"{stem}.nii.gz"),
                    label=labels.get(stem, folders[1] / f"{stem}.nii.gz"),
                    modality=modality,
                    patient=people.get(number or 0, stem),
                    site=row.site,
                    part=part,
                )
        return pairs, faults


def modality_of(number: int | None, stem: str, table: Mapping[int, MetadataRow]) -> Modality:
    """CT or MRI, by the scanner in the table, else by the range that the id lies in.

    Args:
        number: the id; None where the file name carries none.
        stem: for messages.

    Raises:
        StoreError: the two disagree, or neither tells.
    """
    row = table.get(number or 0)
    model = None if row is None else row.model
    by_model, by_id = modality_of_scanner(model or ""), modality_of_id(number)
    if by_model and by_id and by_model is not by_id:
        raise StoreError(
            f"{stem} was made by the {by_model} scanner {model}, says {TABLE}, but ids as its own are {by_id}; "
            "look at the image, and correct the table or leave the case out."
        )
    modality = by_model or by_id
    if modality is None:
        says = f"its scanner {model!r} is not known" if model else f"{TABLE} says nothing of it or is missing"
        raise StoreError(
            f"{stem} may be CT or MRI: {says}, and its id is in no known range (CT up to 410, MRI 507 to 600); "
            "name its scanner in the table."
        )
    return modality


def modality_of_id(number: int | None) -> Modality | None:
    """By the published ranges of ids of labelled cases: CT up to 410, MRI from 507 to 600; None beyond them."""
    if number is None or not (1 <= number <= 410 or 507 <= number <= 600):
        return None
    return Modality.CT if number <= 410 else Modality.MRI


def modality_of_scanner(model: str) -> Modality | None:
    """By the scanner's model, whatever its case and spaces and with or without its maker's name.

    "Philips INGENIA 3.0T" -> MRI; None for a model that is none of SCANNERS.
    """
    modalities = {
        modality for scanner, modality in SCANNERS.items() if _letters_and_digits(scanner) in _letters_and_digits(model)
    }
    return modalities.pop() if len(modalities) == 1 else None


def first_of_each_person(table: Mapping[int, MetadataRow]) -> dict[int, str]:
    """Case number -> the first case of the same person, such as "amos_0001".

    Two rows are one person if their identifying fields agree. A row that lacks one of these fields is left out.
    """
    first: dict[tuple[str, str, str], int] = {}
    for number in sorted(table):
        person = table[number].person
        if person is not None:
            first.setdefault(person, number)
    lowest = {number: first[row.person] if row.person else number for number, row in table.items()}
    return {number: f"amos_{lowest[number]:04d}" for number in table}


def read_table(*folders: Path) -> dict[int, MetadataRow]:
    """Id -> row of the metadata table, from the first of the folders, or of those above them, that has it.

    Raises:
        StoreError: it lacks the ids or the models, an id is no number, or two rows of one id differ.
    """
    places = [place / TABLE for folder in folders for place in (folder, folder.parent)]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        return {}
    rows: dict[int, MetadataRow] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = {_letters_and_digits(name): name for name in reader.fieldnames or () if name}
            if not {"amosid", "manufacturersmodelname"} <= columns.keys():
                raise StoreError(
                    f"{path} has no column amos_id or Manufacturer's Model Name; get the table of AMOS22 again."
                )
            for line in reader:
                cells = {plain: (line.get(name) or "").strip() for plain, name in columns.items()}
                number = re.fullmatch(r"(?:amos_)?(\d+)(?:\.0)?", cells["amosid"].lower())
                if number is None:
                    raise StoreError(f"{path}: {cells['amosid']!r} is no id of AMOS; get the table again.")
                row = _row(cells)
                if rows.setdefault(int(number[1]), row) != row:
                    raise StoreError(f"{path} has two rows of the id {number[1]} that differ; keep the right one.")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read as a table: {error}; get the table of AMOS22 again.") from error
    return rows


def _row(cells: Mapping[str, str]) -> MetadataRow:
    def said(column: str) -> str | None:
        text = cells.get(column, "")
        return None if text.lower() in _BLANK else text

    facts = [said(column) for column in ("patientsbirthdate", "patientssex", "acquisitiondate")]
    born, sex, scanned = (re.sub(r"[^0-9a-z]", "", re.sub(r"\.0$", "", fact.lower())) if fact else "" for fact in facts)
    person = (born, sex[:1], scanned) if born and sex and scanned else None
    return MetadataRow(said("manufacturersmodelname"), person, said("site"))


def _root(path: Path) -> Path:
    path = path.resolve()
    return path / "amos22" if (path / "amos22").is_dir() else path


def _number(stem: str) -> int | None:
    """1 of "amos_0001"; None for another name."""
    match = re.fullmatch(r"amos_(\d+)", stem)
    return int(match[1]) if match else None


def _letters_and_digits(text: str) -> str:
    """Letters and digits alone, in lower case."""
    return re.sub(r"[^a-z0-9]", "", text.lower())
