"""A voxel grid in patient space: shape and affine, and the way to canonical (RAS+) order and back.

Voxel indices are (x, y, z) in array order, voxel centres at whole numbers. Millimetres are RAS+ (nibabel's
convention: x to the patient's Right, y to Anterior, z to Superior).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from ..errors import VolumeError

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Triple = tuple[int, int, int]

BODY_AXIS = {"L": 0, "R": 0, "P": 1, "A": 1, "I": 2, "S": 2}
CANONICAL = "RAS"  # the orientation of every array that is called canonical


def triple(values: Iterable[Any]) -> Triple:
    """Three values as whole numbers."""
    first, second, third = (int(value) for value in values)
    return first, second, third


@dataclass(frozen=True)
class Turn:
    """A change of axis order and direction between two arrays of one volume; nothing is resampled.

    Attributes:
        axes: axis i of the turned array is axis `axes[i]` of the source array.
        flips: whether axis i of the turned array runs against its source axis.
        shape: of the source array.
    """

    axes: Triple
    flips: tuple[bool, bool, bool]
    shape: Triple

    def apply(self, array: Array) -> Array:
        """Source order (X, Y, Z) -> turned order; a view."""
        turned = np.transpose(array, self.axes)
        return _flip(turned, self.flips)

    def undo(self, array: Array) -> Array:
        """Turned order -> source order; a view."""
        return np.transpose(_flip(array, self.flips), np.argsort(self.axes))

    def apply_indices(self, indices: npt.ArrayLike) -> Floats:
        """Source voxel indices (N, 3) -> turned voxel indices (N, 3)."""
        turned = np.asarray(indices, np.float64).reshape(-1, 3)[:, list(self.axes)]
        return np.where(self.flips, self._last - turned, turned)

    def undo_indices(self, indices: npt.ArrayLike) -> Floats:
        """Turned voxel indices (N, 3) -> source voxel indices (N, 3)."""
        turned = np.asarray(indices, np.float64).reshape(-1, 3)
        return np.where(self.flips, self._last - turned, turned)[:, np.argsort(self.axes)]

    @property
    def _last(self) -> Floats:
        return np.asarray(self.shape, np.float64)[list(self.axes)] - 1


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of an array lie in the patient.

    Attributes:
        shape: (X, Y, Z) in array order.
        affine: (4, 4), voxel index -> RAS+ millimetres.

    Raises:
        VolumeError: the affine is not (4, 4), not finite, or singular (a zero spacing).
    """

    shape: Triple
    affine: Floats

    def __post_init__(self) -> None:
        affine = np.array(self.affine, np.float64)
        if affine.shape != (4, 4):
            raise VolumeError(f"an affine must be 4 x 4, this one is {' x '.join(map(str, affine.shape))}.")
        if not np.isfinite(affine).all():
            raise VolumeError("the affine holds NaN or infinity, so the voxels have no place; repair the header.")
        if (np.linalg.norm(affine[:3, :3], axis=0) == 0).any() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise VolumeError("the voxel spacing is zero along an axis; repair the header.")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(side) for side in self.shape))

    def __reduce__(self) -> tuple[type["Grid"], tuple[Triple, Floats]]:
        return Grid, (self.shape, self.affine)  # made anew, so that a copy's affine cannot be written to either

    @classmethod
    def oriented(cls, shape: Triple, spacing: Sequence[float], orientation: str) -> "Grid":
        """A grid along the body's axes, its middle at the origin.

        Args:
            shape: (X, Y, Z).
            spacing: millimetres between voxels along each array axis.
            orientation: where each array axis points, such as "LAS"; see `axis_codes`.

        Raises:
            VolumeError: the orientation is none, or the spacing is not three numbers above zero.
        """
        if len(spacing) != 3 or not all(np.isfinite(step) and step > 0 for step in spacing):
            steps = " x ".join(f"{step:g}" for step in spacing)
            raise VolumeError(
                f"a voxel spacing of {steps} is impossible; give three numbers of millimetres above zero."
            )
        affine = np.eye(4)
        affine[:3, :3] = 0
        for axis, (body_axis, sign) in enumerate(nib.orientations.axcodes2ornt(axis_codes(orientation))):
            affine[int(body_axis), axis] = sign * spacing[axis]
        affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
        return cls(shape, affine)

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along each array axis, in millimetres."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel in cubic millimetres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])))

    @property
    def orientation(self) -> str:
        """Axis codes, such as "RAS" or "LPS": where each array axis points, to the nearest body axis."""
        return "".join(nib.aff2axcodes(self.affine))

    def to_mm(self, indices: npt.ArrayLike) -> Floats:
        """Voxel indices (N, 3) -> RAS+ millimetres (N, 3)."""
        points = np.asarray(indices, np.float64).reshape(-1, 3)
        return np.asarray(nib.affines.apply_affine(self.affine, points), np.float64)

    def to_voxel(self, millimetres: npt.ArrayLike) -> Floats:
        """RAS+ millimetres (N, 3) -> voxel indices (N, 3), not rounded."""
        points = np.asarray(millimetres, np.float64).reshape(-1, 3)
        return np.asarray(nib.affines.apply_affine(np.linalg.inv(self.affine), points), np.float64)

    def contains(self, indices: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Which voxel indices (N, 3) lie in a voxel of this grid, its outer faces included."""
        places = np.asarray(indices, np.float64).reshape(-1, 3)
        close = 0.5 + 1e-6  # arithmetic in millimetres may move a face a little
        return np.asarray(((places >= -close) & (places <= np.asarray(self.shape) - 1 + close)).all(axis=1))

    def canonical(self, order: str = CANONICAL) -> tuple["Grid", Turn]:
        """The same voxels in the axis order nearest to `order`, axis codes as of `orientation`, and the turn there."""
        orientation = nib.io_orientation(self.affine)
        if np.isnan(orientation).any():
            raise VolumeError("the affine maps two axes onto one body axis; repair the header.")
        orientation = nib.orientations.ornt_transform(orientation, nib.orientations.axcodes2ornt(tuple(order)))
        axes = np.argsort(orientation[:, 0])
        flips = orientation[axes, 1] < 0
        turn = Turn(
            (int(axes[0]), int(axes[1]), int(axes[2])), (bool(flips[0]), bool(flips[1]), bool(flips[2])), self.shape
        )
        affine = self.affine @ nib.orientations.inv_ornt_aff(orientation, self.shape)
        x, y, z = (self.shape[axis] for axis in axes)
        return Grid((x, y, z), affine), turn

    def close_to(self, other: "Grid", tolerance: float = 1e-3) -> bool:
        """Same shape, and no corner of the grid further apart than `tolerance` millimetres."""
        if self.shape != other.shape:
            return False
        corners = np.stack(np.meshgrid(*[(0, side - 1) for side in self.shape], indexing="ij"), -1).reshape(-1, 3)
        return bool(np.abs(self.to_mm(corners) - other.to_mm(corners)).max() <= tolerance)


def axis_codes(text: str) -> str:
    """Read "las", "L-A-S" or "LAS" as where three array axes point.

    Raises:
        VolumeError: it does not name each body axis once by L or R, A or P, S or I.
    """
    codes = "".join(letter for letter in text.upper() if letter not in " -,")
    if len(codes) != 3 or {BODY_AXIS.get(letter) for letter in codes} != {0, 1, 2}:
        raise VolumeError(
            f'"{text}" is no orientation; name where the three axes of the array point, L or R, A or P, S or I, '
            "each body axis once, such as LAS."
        )
    return codes


def _flip(array: Array, flips: tuple[bool, bool, bool]) -> Array:
    return array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
