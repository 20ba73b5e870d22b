"""Read DICOM segmentations (SEG) as structures on a grid (DICOM PS3.3 A.51, C.8.20).

A frame is a picture of one segment (BINARY, FRACTIONAL) or of all of them (LABELMAP) and says itself where it lies.
Frames come in any order, empty ones may be left out, and segments may overlap. A fraction counts as inside from one
half on. Nothing is resampled: each pixel must be a voxel of the grid, to a quarter of a voxel, or the file is refused.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom

from ...errors import FormatError
from ...memory import MemoryBudget
from ..grid import Array, Grid
from .base import FARTHEST, check_spacing, sides
from .coded_terms import coded_structure
from .dicom_geometry import LPS_TO_RAS, Plane, plane_of
from .dicom_pixels import stored_frames
from .dicom_placement import FramePlacement, place
from .structure_set import Places, StructureName, StructureSet, joined, one_line

HALF = 0.5  # the fraction of a FRACTIONAL segmentation from which on a voxel is inside
_BYTES_A_VOXEL = 24  # of a segment: its index, and what joins the indices of frames
_UNEVEN = 0.1  # of the distance of slices


@dataclass(frozen=True, eq=False)
class _Frame:
    plane: Plane
    segment: int | None  # None: the frame's values are the segments
    distance: float | None  # of slices, as the file states it


def segment_names(data: pydicom.Dataset, file: Path) -> tuple[StructureName, ...]:
    """The segments of a segmentation, by number; that of number 0, a LABELMAP's background, is none.

    Raises:
        FormatError: there is none, or two have one number.
    """
    names = []
    for item in data.get("SegmentSequence") or ():
        number = int(item.SegmentNumber)
        if number > 0:
            coded = coded_structure(item.get("SegmentedPropertyTypeCodeSequence"), item.get("AnatomicRegionSequence"))
            names.append(StructureName(number, one_line(item.get("SegmentLabel"), f"segment {number}"), coded))
    if not names:
        raise FormatError(f"{file} is a segmentation without any segment; export it again.")
    if len({name.number for name in names}) < len(names):
        raise FormatError(f"{file} gives one number to two segments; export it again.")
    return tuple(sorted(names, key=lambda name: name.number))


def read_segments(data: pydicom.Dataset, file: Path, grid: Grid | None, memory: MemoryBudget) -> StructureSet:
    """The segments of a segmentation, with its pixels, on a grid; None takes the grid of its own frames.

    Raises:
        FormatError: it does not lie on the grid, or holds what no segmentation may.
    """
    names = segment_names(data, file)
    frames = list(_frames(data, file))
    if not frames:
        raise FormatError(f"{file} is a segmentation without any frame; export it again.")
    if grid is None:
        grid = _own_grid(frames, file, memory)
    placements = _placements(frames, grid, file)
    numbers = {name.number for name in names}
    parts: dict[int, list[Places]] = {number: [] for number in sorted(numbers)}
    outside = count = 0
    pixels = stored_frames(data, file, memory)
    inside_from = _inside_from(data, file)
    for number, (frame, placement, picture) in enumerate(zip(frames, placements, pixels, strict=True), start=1):
        for segment, mask in _masks(frame, picture, inside_from, data):
            if segment not in numbers:
                raise FormatError(
                    f"{file} names no segment {segment}, but its frame {number} is of it; export it again."
                )
            inside, beyond = placement.places(mask, grid)
            outside, count = outside + beyond, count + inside.size
            memory.require(count * _BYTES_A_VOXEL, str(file))
            parts[segment].append(inside)
    if outside:
        raise FormatError(
            f"{file} has {outside} voxels outside the image of {sides(grid.shape)} voxels; give the whole series that "
            "it was drawn on."
        )
    places = {number: joined(found) for number, found in parts.items()}
    if data.get("SegmentationType") != "FRACTIONAL":
        return StructureSet(grid, names, places)
    return StructureSet(grid, names, places, (f"{file.name} holds fractions; voxels count as inside from {HALF:g} on",))


def _frames(data: pydicom.Dataset, file: Path) -> Iterator[_Frame]:
    """What each frame says of itself, in the order of the pixels."""
    kind = data.get("SegmentationType")
    if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
        raise FormatError(
            f"{file} is a segmentation of an unknown type ({one_line(kind, 'not said')}); export it again."
        )
    count = int(data.get("NumberOfFrames", None) or 1)
    groups = data.get("PerFrameFunctionalGroupsSequence") or ()
    if len(groups) != count:
        raise FormatError(f"{file} holds {count} frames, but says of {len(groups)} where they lie; export it again.")
    shared = (data.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()])[0]
    size = int(data.Columns), int(data.Rows)
    for number, group in enumerate(groups, start=1):
        position, orientation, measures, segment = (
            (group.get(name) or shared.get(name) or [pydicom.Dataset()])[0]
            for name in (
                "PlanePositionSequence",
                "PlaneOrientationSequence",
                "PixelMeasuresSequence",
                "SegmentIdentificationSequence",
            )
        )
        plane = plane_of(f"frame {number}", file, position, orientation, measures, size)
        distance = measures.get("SpacingBetweenSlices")
        segment_number = None if kind == "LABELMAP" else int(segment.ReferencedSegmentNumber)
        yield _Frame(plane, segment_number, float(distance) if distance else None)


def _inside_from(data: pydicom.Dataset, file: Path) -> float:
    """The lowest stored value that lies inside a segment."""
    if data.SegmentationType != "FRACTIONAL":
        return 1
    largest = int(data.get("MaximumFractionalValue") or 0)
    if not 0 < largest < 2 ** int(data.BitsAllocated):
        raise FormatError(f"{file} holds fractions of {largest}, which is impossible; export it again.")
    return HALF * largest


def _masks(frame: _Frame, picture: Array, inside_from: float, data: pydicom.Dataset) -> Iterator[tuple[int, Array]]:
    """Segment and mask (rows, columns) of each that a frame pictures."""
    if frame.segment is not None:
        yield frame.segment, picture >= inside_from
        return
    background = {0, int(data.get("PixelPaddingValue") or 0)}
    for value in np.unique(picture).tolist():
        if value not in background:
            yield value, picture == value


def _placements(frames: list[_Frame], grid: Grid, file: Path) -> list[FramePlacement]:
    """Where each frame lies on the grid.

    Raises:
        FormatError: one does not lie on it, or they are the slices of a coarser grid.
    """
    placements: list[FramePlacement] = []
    for frame in frames:
        placement = place(frame.plane, grid)
        if placement is None or (placements and placement.axis != placements[0].axis):
            raise FormatError(
                f"{file} lies on another grid than the image ({frame.plane.where}: pixels of "
                f"{frame.plane.spacing[0]:.4g} x {frame.plane.spacing[1]:.4g} mm); nothing is resampled, so export it "
                "on the image's own grid, for instance with 3D Slicer."
            )
        placements.append(placement)
    heights = sorted({placement.height for placement in placements})
    step = math.gcd(*(int(gap) for gap in np.diff(heights))) if len(heights) > 1 else 1
    apart = grid.spacing[placements[0].axis]
    stated = frames[0].distance
    is_sparse = stated is not None and abs(stated - apart) <= _UNEVEN * apart
    if step > 1 and not is_sparse and (stated is not None or len(heights) > 2):
        raise FormatError(
            f"{file} has slices {step * apart:.4g} mm apart where the image has {apart:.4g} mm, so slices between them "
            "would be empty; nothing is resampled, so export it on the image's own grid."
        )
    return placements


def _own_grid(frames: list[_Frame], file: Path, memory: MemoryBudget) -> Grid:
    """The grid (columns, rows, slices) that the frames span, slices ascending along their normal.

    Raises:
        FormatError: nothing tells how far slices lie apart, or they lie at uneven distances.
    """
    first = frames[0].plane
    heights = np.array([frame.plane.position @ first.normal for frame in frames])
    low, extent = int(heights.argmin()), float(np.ptp(heights))
    gaps = np.diff(np.unique(np.round(heights, 3)))
    step = frames[0].distance or (float(gaps.min()) if gaps.size else None)
    if step is None:
        raise FormatError(f"{file} has one slice and does not say how thick it is; give it with its series.")
    check_spacing([step], file)
    if not extent < FARTHEST or np.abs(gaps / step - np.rint(gaps / step)).max(initial=0) > _UNEVEN:
        raise FormatError(f"{file} has slices at uneven distances; give it with its series.")
    count = round(extent / step) + 1
    memory.require(4 * first.size[0] * first.size[1] * count, str(file))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.across * first.spacing[0], first.down * first.spacing[1]
    affine[:3, 2], affine[:3, 3] = first.normal * step, frames[low].plane.position
    return Grid((first.size[0], first.size[1], count), LPS_TO_RAS @ affine)
