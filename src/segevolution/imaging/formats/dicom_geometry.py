"""Place the slices of a DICOM series, and check that together they form a volume (DICOM PS3.3 C.7.6.2).

A volume needs parallel slices at even distances along their common normal. What breaks that is refused in a sentence,
since an affine cannot say it and other readers pass over it in silence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ..grid import Floats
from .base import check_spacing

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_UNEVEN = 0.1  # of the slice distance: scanners round positions, a missing slice is ten times that
_SHEAR = 0.01  # sideways shift against the length of the stack: about half a degree


@dataclass(frozen=True, eq=False)
class Plane:
    """Where one slice lies.

    Attributes:
        where: its file, for messages.
        position: (3,) LPS+ millimetres of the centre of its first pixel.
        across, down: (3,) unit vectors along increasing column and row index.
        spacing: millimetres between columns, between rows.
        size: columns, rows.
    """

    where: str
    position: Floats
    across: Floats
    down: Floats
    spacing: tuple[float, float]
    size: tuple[int, int]

    @property
    def normal(self) -> Floats:
        """Unit vector along which slices are stacked."""
        return np.cross(self.across, self.down)


def plane_of(where: str, file: Path, position: Any, orientation: Any, measures: Any, size: tuple[int, int]) -> Plane:
    """A plane from the data sets that hold its place, its direction and its pixel spacing.

    Args:
        where: for messages on the stack; `file` for those on its header.
        size: columns, rows.

    Raises:
        FormatError: one of them is missing or impossible.
    """
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
    return Plane(where, corner, cosines[0], cosines[1], (between_columns, between_rows), size)


def stack(planes: Sequence[Plane], path: Path) -> tuple[list[int], Floats]:
    """Order slices along their normal.

    Returns:
        The order, and the affine (4, 4) from (column, row, slice) to RAS+ millimetres.

    Raises:
        FormatError: fewer than two slices, slices that are not parallel or not of one size, a missing slice,
            duplicated slices, or slices shifted sideways (gantry tilt).
    """
    if len(planes) < 2:
        raise FormatError(
            f"{path} has one slice of {planes[0].size[0]} x {planes[0].size[1]} pixels; a volume needs 3 dimensions, "
            "so give the folder with the whole series."
        )
    first = planes[0]
    for plane in planes:
        _check_alike(first, plane, path)
    heights = np.array([plane.position @ first.normal for plane in planes])
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    _check_distances([planes[index] for index in order], heights[order], path)
    _check_upright([planes[index] for index in order], first.normal, path)
    positions = np.stack([planes[index].position for index in order])
    affine = np.eye(4)
    affine[:3, 0] = first.across * first.spacing[0]
    affine[:3, 1] = first.down * first.spacing[1]
    affine[:3, 2] = (positions[-1] - positions[0]) / (len(order) - 1)
    affine[:3, 3] = positions[0]
    return order, LPS_TO_RAS @ affine


def _check_alike(first: Plane, plane: Plane, path: Path) -> None:
    turned = max(np.abs(first.across - plane.across).max(), np.abs(first.down - plane.down).max())
    if turned > 1e-3:
        raise FormatError(
            f"{path} holds slices that are not parallel ({first.where} and {plane.where}), such as a localizer; "
            "remove those that do not belong to the stack."
        )
    if plane.size != first.size or not np.allclose(plane.spacing, first.spacing, rtol=1e-3):
        raise FormatError(
            f"{path} holds slices of different size or pixel spacing ({first.where} and {plane.where}); "
            "remove those that do not belong to the stack."
        )


def _check_distances(planes: Sequence[Plane], heights: Floats, path: Path) -> None:
    gaps = np.diff(heights)
    step = float(np.median(gaps[gaps > 1e-3])) if (gaps > 1e-3).any() else 0.0
    same = np.flatnonzero(gaps <= max(1e-3, 0.01 * step))
    if same.size:
        position = int(same[0])
        raise FormatError(
            f"{path} has duplicated slices: {planes[position].where} and {planes[position + 1].where} lie at one "
            "place; keep one copy, or one echo or time point, of each."
        )
    shortest = float(gaps.min())
    wide = np.flatnonzero(gaps > 1.5 * shortest)
    if wide.size and np.allclose(gaps / shortest, np.rint(gaps / shortest), atol=_UNEVEN * np.rint(gaps / shortest)):
        position = int(wide[0])
        count = int((np.rint(gaps / shortest) - 1).sum())
        raise FormatError(
            f"{path} misses {count} slice{'s' if count > 1 else ''}: between {planes[position].where} and "
            f"{planes[position + 1].where} lie {gaps[position]:.2f} mm, elsewhere {shortest:.2f} mm; "
            "export the series again."
        )
    even = heights[0] + np.arange(len(heights)) * (heights[-1] - heights[0]) / (len(heights) - 1)
    if np.abs(gaps - step).max() > _UNEVEN * step or np.abs(heights - even).max() > _UNEVEN * step:
        raise FormatError(
            f"{path} has slices at uneven distances, from {shortest:.2f} to {float(gaps.max()):.2f} mm; "
            "resample it to even slices first."
        )


def _check_upright(planes: Sequence[Plane], normal: Floats, path: Path) -> None:
    along = planes[-1].position - planes[0].position
    allowed = max(_SHEAR * float(along @ normal), 0.25 * min(planes[0].spacing))
    for plane in planes:
        offset = plane.position - planes[0].position
        sideways = float(np.linalg.norm(offset - (offset @ normal) * normal))
        if sideways > allowed:
            raise FormatError(
                f"{path} is sheared: {plane.where} is shifted {sideways:.1f} mm sideways against {planes[0].where} "
                "(gantry tilt); correct the tilt first, for instance with dcm2niix."
            )
