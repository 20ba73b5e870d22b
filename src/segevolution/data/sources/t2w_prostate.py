"""The T2-weighted prostate set of Zenodo 7676958: images and zones as multi-page TIFF, 114 men.

    prostate_dataset/T2_IMAGES/P_001.tiff, prostate_dataset/LABELS/P_001_SEG.tiff, and a table (.csv)

Two zones are drawn; which number is which is not said, so both together are `prostate` and the values stay as they are.

TIFF has no patient space. Assumed, and said in each case's remark: axial pages from foot to head, rows from front to
back, columns from the patient's right to left. A case whose crescent-shaped zone (the peripheral one) lies in front
is refused. The spacing is that of `spacing.csv` (columns case, spacing_x, spacing_y, spacing_z in mm; case * for
all), else of the table's columns, else of the TIFF's tags. Where they leave an axis open, the case is refused: a
spacing that nobody measured would make every millimetre wrong.
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import StoreError
from ...imaging.case import Case
from ...imaging.formats.base import make_volume
from ...imaging.grid import Array, Floats
from ...imaging.volume import Origin
from ...vocabulary import Modality
from .base import Overrides, Provenance
from .naming import by_own_name, nested_folders
from .paired import PairedSource
from .pairs import Pair, read_pair
from .tiff_stack import Spacing, read_stack, spacing_of
from .zones import behind_mm, compactness

_IMAGES, _LABELS = "T2_IMAGES", "LABELS"
_TIFF = re.compile(r"(?P<stem>[^.].*)\.tiff?", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", re.IGNORECASE)
# A crescent fills less of its hull than this, the zone that it wraps more (measured, see `zones`).
_CRESCENT = 0.76


class T2WProstateSource(PairedSource):
    """A folder with `T2_IMAGES` and `LABELS`, or one that holds it.

    Raises:
        StoreError: the two folders are not there.
    """

    name: ClassVar[str] = "t2w_prostate"
    summary: ClassVar[str] = "T2-weighted prostates of Zenodo 7676958: T2_IMAGES/P_001.tiff, LABELS/P_001_SEG.tiff"
    provenance: ClassVar[Provenance] = Provenance(
        "as the record states",
        "https://zenodo.org/records/7676958",
        "Download the record's archive and unpack it; where it tells no voxel spacing, add a spacing.csv "
        "(case,spacing_x,spacing_y,spacing_z in mm).",
    )

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None:
        self.path = Path(path)
        self.overrides = overrides or Overrides()
        self._dataset = self.overrides.dataset or "t2w_prostate"
        self._licence = self.provenance.licence
        self._structures = {"prostate": tuple(range(1, 256))}
        home = _home(self.path)
        if home is None:
            raise StoreError(f"{self.path} is not in this layout: it holds no {_IMAGES} and {_LABELS}.")
        self._folder = home

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the two folders lie here or one or two levels below."""
        return _home(Path(path)) is not None

    def read(self, case: str) -> Case:
        """One case.

        Raises:
            StoreError: as for every pair of files; or nothing tells the spacing, there are more than two zones, or
                the zones show that the image is not turned as assumed.
            FormatError, VolumeError: a file cannot be used.
        """
        if case not in self._pairs:
            raise StoreError(f"{self.path} has no case {case}; it has {len(self._pairs)} cases.")
        affine, source = self._affine(case)
        prostate_case = read_pair(
            self._pairs[case],
            self.dataset,
            self._structures,
            self.overrides,
            open_image=lambda path: make_volume(read_stack(path), affine, path, Origin(path, "tiff")),
            open_labels=lambda path: make_volume(_zones(path), affine, path, Origin(path, "tiff")),
        )
        values = tuple(int(value) for value in np.unique(prostate_case.labels) if value)
        _check_rows(prostate_case, values)
        return replace(prostate_case, structures={"prostate": values} if values else {}, remark=_remark(source))

    def _affine(self, case: str) -> tuple[Floats, str]:
        """Voxel index -> RAS+ millimetres, axes as assumed; and where the spacing is from."""
        image = self._pairs[case].image
        tags = spacing_of(image) if image.is_file() else (1.0, 1.0, 1.0)  # read_pair tells that it is missing
        spacings = [(rows[key], name) for name, rows in self._tables for key in (case.lower(), "*") if key in rows]
        steps: list[float] = []
        sources: dict[str, None] = {}
        for axis, letter in enumerate("xyz"):
            stated_spacings = [(spacing[axis], name) for spacing, name in (*spacings, (tags, "the TIFF's tags"))]
            step, source = next(((step, name) for step, name in stated_spacings if step is not None), (None, ""))
            if step is None:
                raise StoreError(
                    f"{case}: neither a table nor {image.name} tells the voxel spacing along {letter}; write it into "
                    f"{self._folder / 'spacing.csv'} with the columns case,spacing_x,spacing_y,spacing_z "
                    "(mm; case * for all)."
                )
            steps.append(step)
            sources[source] = None
        return np.diag([-steps[0], -steps[1], steps[2], 1.0]), " and ".join(sources)

    @cached_property
    def _pairs(self) -> dict[str, Pair]:
        images, labels = (_tiffs(self._folder / name) for name in (_IMAGES, _LABELS))
        masks = by_own_name(
            (stem[: -len("_seg")], path) for stem, path in labels.items() if stem.lower().endswith("_seg")
        )
        pairs = {}
        for stem in images.keys() | masks.keys():
            image = images.get(stem, self._folder / _IMAGES / f"{stem}.tiff")
            label = masks.get(stem, self._folder / _LABELS / f"{stem}_SEG.tiff")
            pairs[stem] = Pair(stem, stem, image, label, Modality.MRI, "T2", patient=stem)
        return pairs

    @cached_property
    def _tables(self) -> list[tuple[str, dict[str, Spacing]]]:
        """Each table's name and its rows, by case in small letters or "*"; `spacing.csv` goes before others."""
        paths = [path for path in self._folder.glob("*.csv") if not path.name.startswith(".")]
        paths.sort(key=lambda path: (path.name.lower() != "spacing.csv", path.name))
        cases = {stem.lower() for stem in self._pairs} | {"*"}
        return [(path.name, dict(_rows(path, cases))) for path in paths]


def _zones(path: Path) -> Array:
    """The label map (X, Y, Z) of at most two zones, values as they are."""
    array = read_stack(path)
    values = np.unique(array)
    if np.setdiff1d(values, 0).size > 2 or not np.isin(values, np.arange(256)).all():
        raise StoreError(
            f"{path} holds {values.size} values up to {values.max():g}; a label map of two zones holds 0 and at most "
            "two whole numbers up to 255."
        )
    return array.astype(np.uint8)


def _remark(source: str) -> str:
    return (
        "TIFF has no patient space: taken as axial pages from foot to head, rows from front to back, columns from the "
        f"patient's right to left, with the spacing of {source}."
    )


def _check_rows(case: Case, values: tuple[int, ...]) -> None:
    """Refuse a case whose zones show that its rows run from back to front."""
    if len(values) != 2:
        return
    masks = [case.labels == value for value in values]
    inner, crescent = sorted(masks, key=compactness, reverse=True)
    if compactness(crescent) > _CRESCENT or compactness(inner) <= _CRESCENT:
        return
    front = -behind_mm(case, crescent, inner)
    if front > 1:
        raise StoreError(
            f"{case.name}: its crescent-shaped zone, which must be the peripheral one, lies {front:.1f} mm in front of "
            "the other, so its rows do not run from front to back; turn image and labels upside down."
        )


def _home(path: Path) -> Path | None:
    """The folder that holds both: this one, or one up to two levels below."""
    return next((f for f in (path, *nested_folders(path)) if (f / _IMAGES).is_dir() and (f / _LABELS).is_dir()), None)


def _tiffs(folder: Path) -> dict[str, Path]:
    matches = ((_TIFF.fullmatch(path.name), path) for path in sorted(folder.iterdir()))
    return by_own_name((match["stem"], path) for match, path in matches if match)


def _rows(path: Path, cases: set[str]) -> list[tuple[str, Spacing]]:
    """The rows of a table that name a case, each with what its columns tell of the spacing.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    semicolons = bool(lines) and lines[0].count(";") > lines[0].count(",")
    size_rows = []
    for row in csv.DictReader(lines, delimiter=";" if semicolons else ","):
        cells = {str(name): str(cell).replace(",", ".") if semicolons else str(cell) for name, cell in row.items()}
        names = (re.sub(r"(_seg)?(\.tiff?)?$", "", cell.strip().lower()) for cell in cells.values())
        case = next((name for name in names if name in cases), None)
        if case is not None:
            size_rows.append((case, _told_by(cells)))
    return size_rows


def _told_by(cells: Mapping[str, str]) -> Spacing:
    """From columns such as spacing_x, "Pixel spacing" (one or two numbers), "Voxel size" (three), "Slice spacing"."""
    steps: dict[str, float] = {}
    for column, cell in cells.items():
        words = set(re.split(r"[^a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", column).lower()))
        numbers = [number for number in map(float, _NUMBER.findall(cell)) if number > 0]
        if not numbers or not words & {"spacing", "size", "distance"}:
            continue
        axes = words & {"x", "y", "z"}
        if len(axes) == 1 and "spacing" in words:
            steps[axes.pop()] = numbers[0]
        elif words & {"slice", "slices"}:
            steps.setdefault("z", numbers[0])
        elif words & {"pixel", "voxel"} and len(numbers) <= 3:
            sides = numbers * 2 if len(numbers) == 1 else numbers
            steps = dict(zip("xyz", sides, strict=False)) | steps
    return steps.get("x"), steps.get("y"), steps.get("z")
