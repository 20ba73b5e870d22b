"""DICOM by pydicom: the image series of a folder, or an enhanced multi-frame file (DICOM PS3.3 C.7.6, C.8).

SimpleITK does not read the series: it is silent about missing and duplicated slices, about slopes that change by
slice, and about gantry tilt. It only decompresses pixels, see dicom_pixels.py.
"""

import contextlib
import struct
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from ...errors import FormatError, VocabularyError
from ...vocabulary import Modality
from ..grid import Array
from ..volume import Origin, Volume
from .base import Format, ReadOptions, check_spacing, make_volume, scaled_whole
from .dicom_geometry import Plane, stack
from .dicom_pixels import stored_pixels

_DICOM_SUFFIXES = (".dcm", ".ima", ".dicom")
_DAMAGED = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError, RuntimeError, struct.error)


@dataclass(frozen=True)
class SeriesInfo:
    """One image series in a DICOM folder: its SeriesInstanceUID, and what a person knows it by."""

    uid: str
    description: str
    modality: str
    slices: int

    def __str__(self) -> str:
        return f'{self.uid} ({self.modality}, "{self.description}", {self.slices} slices)'


@dataclass(frozen=True, eq=False)
class _Slice:
    plane: Plane
    pixels: Array  # (rows, columns)
    slope: float
    intercept: float


def list_series(folder: Path) -> list[SeriesInfo]:
    """The image series of a folder and its subfolders, the largest first; other files are passed over.

    Raises:
        FormatError: the folder is missing, empty, holds no DICOM images, or a file named .dcm that is none.
    """
    with _without_warnings():
        return [info for info, _ in _series(Path(folder)).values()]


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one series as (columns, rows, slices), slices ascending along their normal.

    The rescale slope and intercept are applied; where both are whole numbers the signal stays integer (int16, or
    int32 where that is too narrow), else it is float32.

    Args:
        path: a folder, or one enhanced multi-frame file.
        options: its series is needed only where the folder holds several.

    Raises:
        FormatError: no such series, several to choose from, slices that do not form a volume, a slope that changes
            by slice, colour, or pixels that are cut or cannot be decompressed.
    """
    with _without_warnings():
        found = _series(path)
        info, files = found[_chosen(found, options.series, path)]
        slices: list[_Slice] = []
        for file in files:
            with _blaming(file):
                slices.extend(_slices(file))
    order, affine = stack([part.plane for part in slices], path)
    slices = [slices[index] for index in order]
    array = _signal(slices, path)
    volume = make_volume(array, affine, path, Origin(path, "dicom", series=info.uid))
    return replace(volume, modality=_modality(info.modality))


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """pydicom warns of every value that bends the standard; what matters to a volume is checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """pydicom decodes a tag when it is asked for, so damage may show at any access."""
    try:
        yield
    except _DAMAGED as error:
        raise FormatError(f"{file} is truncated or damaged, so it cannot be read; copy it again.") from error


def _series(path: Path) -> dict[str, tuple[SeriesInfo, list[Path]]]:
    """SeriesInstanceUID -> what it is and its files, the largest series first."""
    files = [path] if path.is_file() else _files(path)
    if not files:
        raise FormatError(f"{path} is an empty folder; give the folder that holds the DICOM files.")
    found: dict[str, tuple[SeriesInfo, list[Path]]] = {}
    for file in files:
        with _blaming(file):
            header = _load(file, pixels=False)
            if header is None or not _is_image(header, file):
                continue
            uid, frames = str(header.get("SeriesInstanceUID", "unknown")), int(header.get("NumberOfFrames", None) or 1)
            new = SeriesInfo(uid, str(header.get("SeriesDescription", "")), str(header.get("Modality", "")), 0)
        info, members = found.get(uid, (new, []))
        found[uid] = replace(info, slices=info.slices + frames), [*members, file]
    if not found:
        raise FormatError(f"{path} holds no DICOM image; give the folder that holds the DICOM files.")
    return dict(sorted(found.items(), key=lambda item: (-item[1][0].slices, item[0])))


def _files(path: Path) -> list[Path]:
    """Those of a folder and its subfolders; what macOS leaves in archives ("._x", __MACOSX) is none of them."""
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not file.name.startswith("._") and "__MACOSX" not in file.relative_to(path).parts
    )


def _is_image(header: pydicom.Dataset, file: Path) -> bool:
    if "Rows" in header:
        return True
    if "Image Storage" in getattr(header.file_meta.get("MediaStorageSOPClassUID", ""), "name", ""):
        raise FormatError(f"{file} is truncated: it claims to be an image, but its header stops early; copy it again.")
    return False


def _load(file: Path, *, pixels: bool) -> pydicom.Dataset | None:
    """A file's data set; None for a file that is not DICOM and does not claim to be."""
    try:
        return pydicom.dcmread(file, stop_before_pixels=not pixels)
    except InvalidDicomError as error:
        if file.suffix.lower() in _DICOM_SUFFIXES:
            raise FormatError(f"{file} is not a DICOM file; remove it from the folder, or copy it again.") from error
        return None


def _chosen(found: dict[str, tuple[SeriesInfo, list[Path]]], series: str | None, path: Path) -> str:
    listing = "; ".join(str(info) for info, _ in found.values())
    if series is not None:
        if series not in found:
            raise FormatError(f"{path} holds no series {series}; it holds {listing}.")
        return series
    if len(found) > 1:
        raise FormatError(f"{path} holds {len(found)} series; choose one with --series: {listing}.")
    return next(iter(found))


def _slices(file: Path) -> Iterator[_Slice]:
    """The slices of one file: one, or the frames of an enhanced multi-frame object."""
    data = _load(file, pixels=True)
    if data is None or "PixelData" not in data:
        raise FormatError(f"{file} has no pixels; it is truncated, so copy it again.")
    if int(data.get("SamplesPerPixel", 1)) != 1 or data.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise FormatError(f"{file} holds colours (RGB); a volume needs one grey value a voxel.")
    if "ModalityLUTSequence" in data:
        raise FormatError(
            f"{file} maps its pixels through a lookup table, which is not supported; convert it to NIfTI."
        )
    pixels = stored_pixels(data, file)
    if pixels.ndim == 2 and "PerFrameFunctionalGroupsSequence" not in data:
        yield _slice(file.name, pixels, file, data, data, data, data)
        return
    frames = pixels if pixels.ndim == 3 else pixels[np.newaxis]
    groups = data.get("PerFrameFunctionalGroupsSequence", ())
    if len(groups) != len(frames):
        raise FormatError(
            f"{file} holds {len(frames)} frames without a place in the patient for each, so they are no volume; "
            "export it as single slices or as NIfTI."
        )
    shared = (data.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
    )
    for number, (frame, group) in enumerate(zip(frames, groups, strict=True), start=1):
        parts = [(group.get(name) or shared.get(name) or [pydicom.Dataset()])[0] for name in names]
        yield _slice(f"frame {number} of {file.name}", frame, file, *parts)


def _slice(
    where: str, pixels: Array, file: Path, position: Any, orientation: Any, measures: Any, rescale: Any
) -> _Slice:
    """One slice, from the data sets that hold its place, direction, pixel spacing and rescaling."""
    try:
        corner = np.asarray(position.ImagePositionPatient, np.float64)
        cosines = np.asarray(orientation.ImageOrientationPatient, np.float64).reshape(2, 3)
        between_rows, between_columns = (float(value) for value in measures.PixelSpacing)
    except (AttributeError, TypeError, ValueError) as error:
        raise FormatError(
            f"{file} does not say where its pixels lie in the patient (position, orientation or pixel spacing is "
            "missing), so it cannot be part of a volume."
        ) from error
    check_spacing([between_columns, between_rows], file)
    if (
        corner.shape != (3,)
        or not np.isfinite(corner).all()
        or not np.allclose(cosines @ cosines.T, np.eye(2), atol=1e-2)
    ):
        raise FormatError(f"{file} has an impossible position or orientation in the patient; repair the header.")
    rows, columns = pixels.shape
    slope, intercept = rescale.get("RescaleSlope", None), rescale.get("RescaleIntercept", None)
    plane = Plane(where, corner, cosines[0], cosines[1], (between_columns, between_rows), (columns, rows))
    return _Slice(plane, pixels, 1.0 if slope is None else float(slope), float(intercept or 0))


def _signal(slices: Sequence[_Slice], path: Path) -> Array:
    """(columns, rows, slices) with slope and intercept applied."""
    first = slices[0]
    for part in slices:
        if (part.slope, part.intercept) != (first.slope, first.intercept):
            raise FormatError(
                f"{path} has a rescale slope or intercept that changes by slice ({first.plane.where}: {first.slope:g}, "
                f"{first.intercept:g}; {part.plane.where}: {part.slope:g}, {part.intercept:g}); "
                "rescale it to one unit first, for instance with dcm2niix."
            )
    stored = np.stack([part.pixels.T for part in slices], axis=-1)
    if not (first.slope.is_integer() and first.intercept.is_integer() and np.issubdtype(stored.dtype, np.integer)):
        return (stored * first.slope + first.intercept).astype(np.float32)
    return scaled_whole(stored, int(first.slope), int(first.intercept))


def _modality(tag: str) -> Modality | None:
    try:
        return Modality.parse(tag)
    except VocabularyError:
        return None


DICOM = Format("dicom", _DICOM_SUFFIXES, lambda start: start[128:132] == b"DICM", read)
