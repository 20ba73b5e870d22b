"""M3D-Seg (Bai et al. 2024, arXiv:2404.00578) in its own layout, any of its codes, and what others wrote in it:
SegVol's preparation, AMS's readers, and `segevolution data export`.

The images are normalised already and are kept as they are: they are neither HU nor signal, so they suit the recipe that
normalises by foreground (SegVol's), and no window in HU. The files know no place in the patient: the grid is the
identity at 1 mm, the record's origin says "npy", and no millimetre of such a case means anything. Where an item carries
its affine, as our export writes it, that is used.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from ...errors import StoreError, VolumeError
from ...imaging.case import Case, Part
from ...imaging.grid import Grid, Triple
from ...imaging.volume import WITHOUT_PLACE, Origin, Volume
from ...vocabulary import Modality
from ..m3d_seg import listed, read_image, read_masks
from ..record import read_object
from .amos import modality_of_id
from .base import Overrides, Provenance
from .masks import labels_of
from .naming import nested_folders, parse_labels, patient_of, slug

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
class _Code:
    """One dataset of the collection: its folder, what its json says, and its name in the store."""

    code: str
    folder: Path
    header_path: Path
    header: Mapping[str, Any]
    dataset: str


@dataclass(frozen=True)
class _Entry:
    code: _Code
    case: str
    items: tuple[tuple[Part, Mapping[str, Any]], ...]


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

    def _opened(self, path: Path) -> _Code:
        code = path.parent.resolve().name
        named = f"m3d_{code}" if re.fullmatch(r"\d{4}", code) else slug(code)
        return _Code(code, path.parent, path, read_object(path), self.overrides.dataset or named)

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
        said = self._codes[0].header if len(self._codes) == 1 else {}
        return str(said.get("licence") or said.get("license") or self.provenance.licence)

    def index(self) -> Sequence[str]:
        """Every case that a json lists."""
        return tuple(sorted(self._entries))

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
        if len({(part, str(item["image"])) for part, item in entry.items}) > 1:
            raise StoreError(
                f"{code.header_path} lists {entry.case} more than once ({', '.join(part for part, _ in entry.items)}); "
                "a case is one image in one part."
            )
        part, item = entry.items[0]
        image = _found(code, str(item["image"]))
        array = read_image(image)
        volume = Volume(array, _grid(array.shape, item, case), self._modality(entry, item), case, _origin(image, item))
        volume.check_voxels()
        rows = read_masks(_found(code, str(item["label"])), volume.grid.shape)
        names = parse_labels(code.header.get("labels"), code.header_path, CODE_NAMES.get(code.code))
        numbers = sorted({number for group in names.values() for number in group})
        if len(numbers) != len(rows):
            raise StoreError(
                f"{case} has {len(rows)} masks, but {code.header_path} names {len(numbers)} structures; mend one."
            )
        labels, structures = labels_of(dict(zip(numbers, rows, strict=True)), names, volume.grid.shape)
        return Case(
            name=case,
            patient=self._patient(entry, item),
            dataset=code.dataset,
            volume=volume,
            labels=labels,
            structures=structures,
            sequence=self.overrides.sequence or item.get("sequence"),
            site=item.get("site"),
            part=part,
        )

    @cached_property
    def _entries(self) -> dict[str, _Entry]:
        found: dict[str, _Entry] = {}
        for code in self._codes:
            for part, item in listed(code.header, code.header_path):
                case = PurePosixPath(str(item["image"])).parent.name
                stem = re.sub(r"[^A-Za-z0-9._+-]+", "_", case)
                name = stem if stem.startswith(f"{code.dataset}_") else f"{code.dataset}_{stem}"
                before = found[name].items if name in found else ()
                found[name] = _Entry(code, case, (*before, (part, item)))
        return found

    def _patient(self, entry: _Entry, item: Mapping[str, Any]) -> str:
        if "patient" in item and self.overrides.patient_pattern is None:
            return str(item["patient"])
        return patient_of(entry.case, self.overrides.patient_pattern)

    def _modality(self, entry: _Entry, item: Mapping[str, Any]) -> Modality:
        """A person's word, AMOS's ids, the item's, the json's, else CT, as which M3D-Seg was published."""
        if self.overrides.modality is not None:
            return self.overrides.modality
        number = re.search(r"(\d+)$", entry.case)
        if entry.code.code == AMOS and number:
            return modality_of_id(int(number.group(1))) or Modality.CT  # unlabelled ids are not in this collection
        said = entry.code.header.get("modality", "CT")
        known = {str(key): str(text) for key, text in said.items()} if isinstance(said, Mapping) else {"0": str(said)}
        text = str(item["modality"]) if "modality" in item else next(iter(known.values()), "") if len(known) < 2 else ""
        if not text:
            raise StoreError(
                f"{entry.code.header_path} does not tell the modality of {entry.case}; give --modality CT or MRI."
            )
        return Modality.parse(known.get(text, text))


def _headers(path: Path) -> list[Path]:
    """The json of each code at or below a folder: CODE/CODE.json, or CODE/dataset.json as AMS's readers write it."""
    if path.is_dir() and (own := _header(path)):
        return [own]
    found: list[Path] = []
    for folder in nested_folders(path):
        inside = any(header.parent in folder.parents for header in found)
        if not inside and (header := _header(folder)):
            found.append(header)
    return found


def _header(folder: Path) -> Path | None:
    for name in (f"{folder.resolve().name}.json", "dataset.json"):
        path = folder / name
        if path.is_file():
            try:
                items = listed(read_object(path), path)
            except StoreError:
                continue
            if any(str(item["image"]).endswith(".npy") for _, item in items):
                return path
    return None


def _found(code: _Code, listed_as: str) -> Path:
    """The file that a json lists: below the parent of the code's folder, else below the folder itself."""
    relative = PurePosixPath(listed_as.replace("\\", "/"))
    last = PurePosixPath(*relative.parts[-2:])  # of a path that was absolute where it was written
    places = [] if relative.is_absolute() else [code.folder.resolve().parent / relative, code.folder / relative]
    for place in (*places, code.folder / last):
        if place.is_file():
            return place
    raise StoreError(f"{code.header_path} lists {listed_as}, which is missing; unpack the dataset again.")


def _grid(shape: Triple, item: Mapping[str, Any], case: str) -> Grid:
    try:
        return Grid(shape, np.asarray(item.get("affine", np.eye(4)), np.float64))
    except (TypeError, ValueError) as error:
        raise VolumeError(f"{case}: the affine that its item carries is no 4 x 4 matrix of numbers.") from error


def _origin(image: Path, item: Mapping[str, Any]) -> Origin:
    """ "npy": voxels of no place, whose millimetres mean nothing; "m3d-seg": the item told the affine."""
    return Origin(image, "m3d-seg" if "affine" in item else WITHOUT_PLACE)
