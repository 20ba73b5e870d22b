"""DICOM by pydicom: the image series of a folder, or an enhanced multi-frame file (DICOM PS3.3 C.7.6, C.8).

SimpleITK does not read the series: it is silent about missing and duplicated slices, about slopes that change by
slice, and about gantry tilt. It only decompresses pixels, see dicom_pixels.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from ...errors import FormatError, VocabularyError
from ...files import sha256
from ...memory import MemoryBudget
from ...vocabulary import Modality
from ..grid import Array
from ..volume import DicomSource, Origin, Volume
from . import dicom_seg
from .base import Format, ReadOptions, make_volume, scaled
from .dicom_acquisition import check_one_acquisition
from .dicom_file import SUFFIXES, blaming, load, without_warnings
from .dicom_geometry import Plane, plane_of, stack
from .dicom_padding import padding_range, without_padding
from .dicom_pixels import stored_pixels
from .dicom_series import contents_of

LARGEST_FACTOR = 2.0**31  # of a rescale slope or intercept
_SLOPES_OF_THEIR_OWN = "PT"  # the Modality whose slices are scaled each for itself: counts differ by slice


@dataclass(frozen=True, eq=False)
class _Slice:
    plane: Plane
    pixels: Array  # (rows, columns)
    slope: float
    intercept: float
    padding: tuple[int, int] | None  # lowest and highest stored value that means "no signal here"


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one series as (columns, rows, slices), slices ascending along their normal.

    The rescale slope and intercept are applied; where both are whole numbers the signal stays integer (int16, or
    int32 where that is too narrow), else it is float32.

    Args:
        path: a folder, or one enhanced multi-frame file.
        options: its series is needed only where the folder holds several.

    Raises:
        FormatError: no such series, several to choose from, slices of several patients, frames of reference or parts
            of a complex signal, slices that do not form a volume, a slope that changes by slice (except PET's),
            colour, or pixels that are cut or cannot be decompressed.
    """
    if options.time is not None:
        raise FormatError(f"{path} is DICOM, so --time does not apply to it; choose a series with --series.")
    with without_warnings():
        info = contents_of(path, options.memory).chosen(options.series)
        files, copies = _without_copies(info.files)
        slices: list[_Slice] = []
        headers = []
        for file in files:
            with blaming(file):
                data = _with_pixels(file, options.memory)
                slices.extend(_slices(data, file, len(files), options.memory))
                headers.append(_without_pixels(data))
    remarks = list(check_one_acquisition(headers, files, path))
    order, affine = stack([part.plane for part in slices], path)
    slices = [slices[index] for index in order]
    array, padded = _signal(slices, path, info.modality)
    source = DicomSource(tuple(headers), tuple(order), affine)
    volume = make_volume(array, affine, path, Origin(path, "dicom", series=info.uid, source=source))
    if copies:
        remarks.append(f"{path}: {copies} files are byte-identical copies of others; one of each was read")
    if padded:
        remarks.append(f"{path}: {padded} voxels hold DICOM's padding value; they count as the lowest signal")
    return replace(volume, modality=_modality(info.modality), remarks=tuple(remarks))


def _without_copies(files: Sequence[Path]) -> tuple[list[Path], int]:
    """Files without those that equal an earlier one byte for byte, and how many those were."""
    by_size: dict[int, list[Path]] = {}
    for file in files:
        by_size.setdefault(file.stat().st_size, []).append(file)
    copies: set[Path] = set()
    for alike in by_size.values():
        hashes: set[str] = set()
        for file in alike if len(alike) > 1 else ():
            digest = sha256(file)
            if digest in hashes:
                copies.add(file)
            hashes.add(digest)
    return [file for file in files if file not in copies], len(copies)


def _with_pixels(file: Path, memory: MemoryBudget) -> pydicom.Dataset:
    data = load(file, memory, pixels=True)
    if data is None or "PixelData" not in data:
        raise FormatError(f"{file} has no pixels; it is truncated, so copy it again.")
    return data


def _without_pixels(data: pydicom.Dataset) -> pydicom.Dataset:
    """The same data set, which loses its pixels, overlays and private tags; no other tag is decoded."""
    for tag in [tag for tag in data.keys() if tag.is_private or tag.group >= 0x6000]:  # noqa: SIM118
        del data[tag]
    return data


def _slices(data: pydicom.Dataset, file: Path, files: int, memory: MemoryBudget) -> Iterator[_Slice]:
    """The slices of one file, of so many: one, or the frames of an enhanced multi-frame object."""
    if int(data.get("SamplesPerPixel", 1)) != 1 or data.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise FormatError(f"{file} holds colours (RGB); a volume needs one grey value a voxel.")
    if "ModalityLUTSequence" in data:
        raise FormatError(
            f"{file} maps its pixels through a lookup table, which is not supported; convert it to NIfTI."
        )
    frame_count = int(data.get("NumberOfFrames", None) or 1)
    bytes_each = max(1, int(data.BitsAllocated) // 8)
    memory.require(files * frame_count * int(data.Rows) * int(data.Columns) * 2 * bytes_each, str(file.parent))
    pixels = stored_pixels(data, file)
    if pixels.ndim == 2 and "PerFrameFunctionalGroupsSequence" not in data:
        yield _slice(file.name, pixels, file, data, data, data, data, data)
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
        place, turn, measures, rescale = (
            (group.get(name) or shared.get(name) or [pydicom.Dataset()])[0] for name in names
        )
        yield _slice(f"frame {number} of {file.name}", frame, file, place, turn, measures, rescale, data)


def _slice(
    where: str, pixels: Array, file: Path, position: Any, orientation: Any, measures: Any, rescale: Any, padding: Any
) -> _Slice:
    """One slice, from the data sets that hold its place, direction, pixel spacing, rescaling and padding value."""
    rows, columns = pixels.shape
    plane = plane_of(where, file, position, orientation, measures, (columns, rows))
    slope, intercept = rescale.get("RescaleSlope", None), rescale.get("RescaleIntercept", None)
    slope, intercept = 1.0 if slope is None else float(slope), float(intercept or 0)
    if not (0 < abs(slope) < LARGEST_FACTOR and abs(intercept) < LARGEST_FACTOR):
        raise FormatError(f"{file} has a rescale slope of {slope:g} and intercept of {intercept:g}; repair the header.")
    return _Slice(plane, pixels, slope, intercept, padding_range(padding, pixels.dtype))


def _signal(slices: Sequence[_Slice], path: Path, modality: str) -> tuple[Array, int]:
    """(columns, rows, slices) with slope and intercept applied, and how many voxels were padding."""
    first = slices[0]
    alike = all((part.slope, part.intercept) == (first.slope, first.intercept) for part in slices)
    stored = np.stack([part.pixels.T for part in slices], axis=-1)
    if alike:
        array = scaled(stored, first.slope, first.intercept, path, np.float32)
    elif modality == _SLOPES_OF_THEIR_OWN:
        array = np.stack([(part.pixels.T * part.slope + part.intercept).astype(np.float32) for part in slices], axis=-1)
    else:
        part = next(part for part in slices if (part.slope, part.intercept) != (first.slope, first.intercept))
        raise FormatError(
            f"{path} has a rescale slope or intercept that changes by slice ({first.plane.where}: {first.slope:g}, "
            f"{first.intercept:g}; {part.plane.where}: {part.slope:g}, {part.intercept:g}); "
            "rescale it to one unit first, for instance with dcm2niix."
        )
    return without_padding(array, stored, [part.padding for part in slices])


def _modality(tag: str) -> Modality | None:
    try:
        return Modality.parse(tag)
    except VocabularyError:
        return None


DICOM = Format(
    "dicom",
    SUFFIXES,
    lambda start: start[128:132] == b"DICM",
    read,
    dicom_seg.write,
    (dicom_seg.SUFFIX,),
    lambda path, options: contents_of(path, options.memory).chosen(options.series).files,
)
