"""M3D-Seg (Bai et al. 2024, arXiv:2404.00578) in its own layout, any of its codes, and what others wrote in it:
SegVol's preparation, AMS's readers, and `segevolution data export`.

The images are normalised already and are kept as they are: they are neither HU nor signal, so they suit the recipe that
normalises by foreground (SegVol's), and no window in HU. The files know no place in the patient: the grid is the
identity at 1 mm, the record's origin says "npy", and no millimetre of such a case means anything. Where an item carries
its affine, as our export writes it, that is used.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import ClassVar

import numpy as np

from ...documents import read_json
from ...errors import StoreError, VolumeError
from ...imaging.case import Case, Part
from ...imaging.grid import Grid, Triple
from ...imaging.volume import WITHOUT_PLACE, Origin, Volume
from ...vocabulary import Modality
from ..m3d_seg import M3DHeader, M3DItem, listed, read_image, read_masks
from .amos import modality_of_id
from .base import Decision, Overrides, Provenance
from .collection import ImagePlace
from .grouping import Grouping
from .masks import labels_of
from .naming import nested_folders, outside_fault, slug
from .patients import group_patients
from .structure_names import StructureNames, structure_names

# What a code means by a word that says less than it should.
CODE_NAMES: dict[str, dict[str, str]] = {
    code: dict.fromkeys(("tumor", "tumour", "cancer"), f"{organ} tumour")
    for organ, codes in {
        "kidney": ("0004", "0005", "0006"),
        "liver": ("0019", "0020"),
        "lung": ("0021",),
        "pancreas": ("0022",),
    }.items()
    for code in codes
}
AMOS = "0002"


@dataclass(frozen=True)
class _DatasetFolder:
    """One dataset of the collection: its folder, what its json says, and its name in the store."""

    code: str
    folder: Path
    header_path: Path
    header: M3DHeader
    dataset: str


@dataclass(frozen=True)
class _ListedItem:
    code: _DatasetFolder
    case: str
    items: tuple[tuple[Part, M3DItem], ...]


class M3DSegSource:
    """One code's folder, or the folder that holds several.

    Raises:
        StoreError: there is no code, a json is damaged, or one name was given to several datasets.
    """

    name: ClassVar[str] = "m3d-seg"
    summary: ClassVar[str] = (
        "M3D-Seg: 0000/0000.json, 0000/CASE/image.npy and mask_(...).npz; one code or all; no geometry"
    )
    provenance: ClassVar[Provenance] = Provenance(
        "Apache 2.0 as published; each of its datasets keeps its own",
        "https://huggingface.co/datasets/GoodBaiBai88/M3D-Seg",
        "Download the code's files from the page, join their parts and unpack them.",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        headers = _headers(self.path)
        if not headers:
            raise StoreError(
                f"{self.path} is not in the layout of M3D-Seg: it has no CODE/CODE.json; check the folder."
            )
        if self.overrides.dataset and len(headers) > 1:
            codes = ", ".join(sorted(path.parent.name for path in headers))
            raise StoreError(f"{self.path} holds several datasets ({codes}); to give one a name, prepare its folder.")
        self._codes = [self._opened(path) for path in headers]

    def _opened(self, path: Path) -> _DatasetFolder:
        code = path.parent.resolve().name
        dataset_name = f"m3d_{code}" if re.fullmatch(r"\d{4}", code) else slug(code)
        header = read_json(path, M3DHeader, error=StoreError)
        return _DatasetFolder(code, path.parent, path, header, self.overrides.dataset or dataset_name)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder, or one in it, has a json that lists `.npy` images."""
        return bool(_headers(Path(path)))

    @property
    def dataset(self) -> str:
        """That of the only code, else "m3d_seg"."""
        return self._codes[0].dataset if len(self._codes) == 1 else "m3d_seg"

    @property
    def datasets(self) -> tuple[str, ...]:
        """The dataset of each code."""
        return tuple(code.dataset for code in self._codes)

    @property
    def licence(self) -> str:
        """As the json says where there is one code, else as the collection was published."""
        header = self._codes[0].header if len(self._codes) == 1 else M3DHeader()
        return header.licence or header.license or self.provenance.licence

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What the labels are called, and who the patients are."""
        name_decisions = [decision for code in self._codes for decision in self._names[code.code].decisions]
        return (*dict.fromkeys(name_decisions), Decision("patients", self.grouping.sentence))

    @cached_property
    def grouping(self) -> Grouping:
        """Which case is of which patient: as the items say, else by the names of all cases."""
        names = [entry.case for entry in self._entries.values()]
        grouped = group_patients(names, self.overrides.patient_pattern)
        if self.overrides.patient_pattern is not None:
            return grouped
        listed = {e.case: str(e.items[0][1].patient) for e in self._entries.values() if e.items[0][1].patient}
        rule = "what the dataset lists" if len(listed) == len(set(names)) else grouped.rule
        return Grouping({**grouped.patients, **listed}, rule, None if listed else grouped.doubt)

    @cached_property
    def _names(self) -> dict[str, StructureNames]:
        return {
            code.code: structure_names(
                code.header.labels, code.header_path, names=CODE_NAMES.get(code.code), title=code.dataset
            )
            for code in self._codes
        }

    def index(self) -> Sequence[str]:
        """Every case that a json lists."""
        return tuple(sorted(self._entries))

    def image_of(self, case: str) -> ImagePlace | None:
        """Where the image of a case lies."""
        entry = self._entries[case]
        try:
            return _found(entry.code, entry.items[0][1].image, self.overrides.allow_outside), None
        except StoreError:  # said where it is read
            return None

    def read(self, case: str) -> Case:
        """One case.

        Raises:
            StoreError: it is not listed, listed in two parts, lacks a file, or its files do not belong together.
            VolumeError: its voxels cannot be used.
        """
        if case not in self._entries:
            raise StoreError(f"{self.path} has no case {case}; it has {len(self._entries)} cases.")
        entry = self._entries[case]
        code = entry.code
        if len({(part, item.image) for part, item in entry.items}) > 1:
            raise StoreError(
                f"{code.header_path} lists {entry.case} more than once ({', '.join(part for part, _ in entry.items)}); "
                "a case is one image in one part."
            )
        part, item = entry.items[0]
        image = _found(code, item.image, self.overrides.allow_outside)
        array = read_image(image)
        volume = Volume(array, _grid(array.shape, item, case), self._modality(entry, item), case, _origin(image, item))
        volume.check_voxels()
        rows = read_masks(_found(code, item.label, self.overrides.allow_outside), volume.grid.shape)
        names = self._names[code.code].values
        numbers = sorted({number for group in names.values() for number in group})
        if len(numbers) != len(rows):
            raise StoreError(
                f"{case} has {len(rows)} masks, but {code.header_path} names {len(numbers)} structures; mend one."
            )
        labels, structures = labels_of(dict(zip(numbers, rows, strict=True)), names, volume.grid.shape)
        return Case(
            name=case,
            patient=self.grouping.patients[entry.case],
            dataset=code.dataset,
            volume=volume,
            labels=labels,
            structures=structures,
            sequence=self.overrides.sequence or item.sequence,
            site=item.site,
            part=part,
        )

    @cached_property
    def _entries(self) -> dict[str, _ListedItem]:
        items_by_case: dict[str, _ListedItem] = {}
        for code in self._codes:
            for part, item in listed(code.header, code.header_path):
                case = PurePosixPath(item.image).parent.name
                stem = re.sub(r"[^A-Za-z0-9._+-]+", "_", case)
                name = stem if stem.startswith(f"{code.dataset}_") else f"{code.dataset}_{stem}"
                before = items_by_case[name].items if name in items_by_case else ()
                items_by_case[name] = _ListedItem(code, case, (*before, (part, item)))
        return items_by_case

    def _modality(self, entry: _ListedItem, item: M3DItem) -> Modality:
        """A person's word, AMOS's ids, the item's, the json's, else CT, as which M3D-Seg was published."""
        if self.overrides.modality is not None:
            return self.overrides.modality
        number = re.search(r"(\d+)$", entry.case)
        if entry.code.code == AMOS and number:
            return modality_of_id(int(number.group(1))) or Modality.CT  # unlabelled ids are not in this collection
        header = "CT" if entry.code.header.modality is None else entry.code.header.modality
        known = {"0": header} if isinstance(header, str) else header
        only = next(iter(known.values()), "") if len(known) < 2 else ""
        text = only if item.modality is None else str(item.modality)
        if not text:
            raise StoreError(
                f"{entry.code.header_path} does not tell the modality of {entry.case}; give --modality CT or MRI."
            )
        return Modality.parse(known.get(text, text))


def _headers(path: Path) -> list[Path]:
    """The json of each code at or below a folder: CODE/CODE.json, or CODE/dataset.json as AMS's readers write it."""
    if path.is_dir() and (header_path := _header(path)):
        return [header_path]
    header_paths: list[Path] = []
    for folder in nested_folders(path):
        inside = any(header.parent in folder.parents for header in header_paths)
        if not inside and (header := _header(folder)):
            header_paths.append(header)
    return header_paths


def _header(folder: Path) -> Path | None:
    for name in (f"{folder.resolve().name}.json", "dataset.json"):
        path = folder / name
        if path.is_file():
            try:
                items = listed(read_json(path, M3DHeader, error=StoreError), path)
            except StoreError:
                continue
            if any(item.image.endswith(".npy") for _, item in items):
                return path
    return None


def _found(code: _DatasetFolder, listed_as: str, allow_outside: bool) -> Path:
    """The file that a json lists: below the parent of the code's folder, else below the folder itself."""
    relative = PurePosixPath(listed_as.replace("\\", "/"))
    last = PurePosixPath(*relative.parts[-2:])  # of a path that was absolute where it was written
    folder = code.folder.resolve()
    places = [] if relative.is_absolute() else [folder.parent / relative, folder / relative]
    fault = outside_fault(code.header_path, folder.parent, places, allow_outside)
    if fault is not None:
        raise StoreError(fault)
    for place in (*places, code.folder / last):
        if place.is_file():
            return place
    raise StoreError(f"{code.header_path} lists {listed_as}, which is missing; unpack the dataset again.")


def _grid(shape: Triple, item: M3DItem, case: str) -> Grid:
    try:
        return Grid(shape, np.asarray(np.eye(4) if item.affine is None else item.affine, np.float64))
    except (TypeError, ValueError) as error:
        raise VolumeError(f"{case}: the affine that its item carries is no 4 x 4 matrix of numbers.") from error


def _origin(image: Path, item: M3DItem) -> Origin:
    """ "npy": voxels of no place, whose millimetres mean nothing; "m3d-seg": the item told the affine."""
    return Origin(image, "m3d-seg" if item.affine is not None else WITHOUT_PLACE)
