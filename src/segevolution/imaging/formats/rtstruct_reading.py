"""Read RT structure sets (RTSTRUCT) as structures on a grid (DICOM PS3.3 A.19, C.8.8.6).

A region of interest (ROI) is closed contours, each in the plane of one slice, any number in a slice; which voxels lie
inside, and what holes are, stands in `contour_filling`. Points and open lines enclose nothing and are left out, which
is said. Refused are a contour that leaves its plane or lies between slices, and an ROI that is drawn on every second or
third slice only: the slices between would be empty without a word.
"""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement

from ...errors import FormatError
from ...memory import MemoryBudget
from ..grid import Floats, Grid
from .base import FARTHEST
from .coded_terms import coded_structure
from .contour_filling import voxels_inside
from .dicom_geometry import LPS_TO_RAS
from .dicom_placement import CLOSE
from .structure_set import Places, StructureName, StructureSet, joined, one_line

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_CONTOUR_DATA = 0x30060050
_FEWEST = 3  # corners that enclose an area


def roi_names(data: pydicom.Dataset, file: Path) -> tuple[StructureName, ...]:
    """The ROIs of a structure set, by number.

    Raises:
        FormatError: there is none, or two have one number.
    """
    meanings = {
        int(item.ReferencedROINumber): coded_structure(item.get("RTROIIdentificationCodeSequence"))
        for item in data.get("RTROIObservationsSequence") or ()
        if "ReferencedROINumber" in item
    }
    names = []
    for item in data.get("StructureSetROISequence") or ():
        number = int(item.ROINumber)
        written = one_line(item.get("ROIName"), f"ROI {number}")
        names.append(StructureName(number, written, meanings.get(number)))
    if not names:
        raise FormatError(f"{file} is a structure set without any structure; export it again.")
    if len({name.number for name in names}) < len(names):
        raise FormatError(f"{file} gives one number to two structures; export it again.")
    return tuple(sorted(names, key=lambda name: name.number))


def read_rois(data: pydicom.Dataset, file: Path, grid: Grid, memory: MemoryBudget) -> StructureSet:
    """The ROIs of a structure set as voxels of the grid of the series that they were drawn on.

    Raises:
        FormatError: a contour lies between slices or outside of them, or holds what no contour may.
        OversizeError: the contours need more memory than may be used.
    """
    names = roi_names(data, file)
    names_by_number = {name.number: name.written for name in names}
    parts: dict[int, list[Places]] = {name.number: [] for name in names}
    left_out: dict[str, int] = {}
    for item in data.get("ROIContourSequence") or ():
        number = int(item.ReferencedROINumber)
        if number not in parts:
            raise FormatError(f"{file} holds contours of a structure {number} that it does not name; export it again.")
        where = f'{file}: "{names_by_number[number]}"'
        planes: dict[tuple[int, int], list[Floats]] = defaultdict(list)
        for count, contour in enumerate(item.get("ContourSequence") or (), start=1):
            points = _points(contour, f"{where}, contour {count},")
            if points is None:
                left_out[names_by_number[number]] = left_out.get(names_by_number[number], 0) + 1
                continue
            axis, height, corners = _in_plane(points, grid, f"{where}, contour {count},")
            planes[axis, height].append(corners)
        _check_planes(sorted(planes), grid, where)
        parts[number] += _filled(planes, grid, memory, where)
    remarks = tuple(
        f'"{name}" has {count} contours that enclose nothing (points or lines); they were left out'
        for name, count in left_out.items()
    )
    return StructureSet(grid, names, {number: joined(inside) for number, inside in parts.items()}, remarks)


def _points(contour: pydicom.Dataset, where: str) -> Floats | None:
    """(n, 3) RAS+ millimetres of a closed contour's corners; None of what encloses no area."""
    kind = str(contour.get("ContourGeometricType", ""))
    if kind not in CLOSED:
        return None
    element: Any = contour.get_item(_CONTOUR_DATA)
    if element is None or not element.value:
        return None
    # Numbers are parsed here: pydicom makes an object of each, and contours hold millions.
    if isinstance(element, RawDataElement):
        values: Any = element.value.decode("ascii").rstrip("\0 ").split("\\")
    else:
        values = element.value
    numbers = np.array(values, np.float64)
    if numbers.size % 3 or not np.isfinite(numbers).all() or np.abs(numbers).max() > FARTHEST:
        raise FormatError(f"{where} is no list of places in the patient; export it again.")
    points = numbers.reshape(-1, 3)
    stated = int(contour.get("NumberOfContourPoints") or len(points))
    if stated != len(points):
        raise FormatError(f"{where} announces {stated} points and holds {len(points)}; export it again.")
    return points @ LPS_TO_RAS[:3, :3] if len(points) >= _FEWEST else None


def _in_plane(points: Floats, grid: Grid, where: str) -> tuple[int, int, Floats]:
    """The axis and index of the slice that holds a contour, and its corners (n, 2) along the other two axes."""
    voxels = grid.to_voxel(points)
    spread = np.ptp(voxels, axis=0)
    # Slices lie along the last axis of a DICOM series; an image of another format may have been turned.
    axis = 2 if spread[2] <= CLOSE else int(spread.argmin())
    height = round(float(voxels[:, axis].mean()))
    off = float(np.abs(voxels[:, axis] - height).max())
    if off > CLOSE:
        apart = grid.spacing[axis]
        raise FormatError(
            f"{where} does not lie in a slice of the image: it is up to {off * apart:.2f} mm off, where slices are "
            f"{apart:.4g} mm apart; give the series that it was drawn on."
        )
    if not 0 <= height < grid.shape[axis]:
        raise FormatError(f"{where} lies beyond the image's slices; give the whole series that it was drawn on.")
    return axis, height, np.delete(voxels, axis, axis=1)


def _check_planes(planes: list[tuple[int, int]], grid: Grid, where: str) -> None:
    """Refuse an ROI whose contours lie along several axes, or on every second or third slice only."""
    axes = {axis for axis, _ in planes}
    if len(axes) > 1:
        raise FormatError(f"{where} has contours across one another; draw it in one direction.")
    heights = [height for _, height in planes]
    step = math.gcd(*(int(gap) for gap in np.diff(heights))) if len(heights) > 2 else 1
    if step > 1:
        apart = grid.spacing[axes.pop()]
        raise FormatError(
            f"{where} is drawn every {step * apart:.4g} mm where slices are {apart:.4g} mm apart, so those between "
            "would be empty; let the program that drew it interpolate its contours."
        )


def _filled(planes: dict[tuple[int, int], list[Floats]], grid: Grid, memory: MemoryBudget, where: str) -> list[Places]:
    parts = []
    for (axis, height), contours in sorted(planes.items()):
        first, second = (other for other in range(3) if other != axis)
        inside = voxels_inside(contours, (grid.shape[first], grid.shape[second]), memory, where)
        parts.append(np.ravel_multi_index(tuple(np.insert(inside, axis, height, axis=1).T), grid.shape))
    return parts
