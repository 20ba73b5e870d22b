"""An axis-aligned box on a grid: which voxels it holds, and what becomes of it at the image's border."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import PromptError
from .grid import Floats, Grid, Triple

Point = tuple[float, float, float]

_CLOSE = 1e-6  # of a voxel: what arithmetic in millimetres may add or lose
_SAID = 1e-3  # of a voxel: a cut that a person should know of


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in voxel indices (x, y, z) of some grid, both corners included.

    A corner means the voxel that it lies in; see `voxels` for one that lies between two.
    """

    low: Point
    high: Point

    def __post_init__(self) -> None:
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise PromptError(
                f"the box is inverted: its low corner {self.low} lies beyond its high corner {self.high}."
            )

    @property
    def voxels(self) -> tuple[Triple, Triple]:
        """First and last voxel along each axis, both included.

        A face on the boundary between two voxels belongs to the voxel inside the box, for the low and the high face
        alike. A box so flat that both faces lie on one boundary holds the voxels on both of its sides.
        """
        low, high = np.asarray(self.low), np.asarray(self.high)
        first, last = np.floor(low + 0.5 + _CLOSE), np.ceil(high - 0.5 - _CLOSE)
        flat = first > last
        first, last = np.where(flat, last, first), np.where(flat, first, last)
        return _whole(first), _whole(last)


def corners(box: Box) -> Floats:
    """(8, 3), in the box's own coordinates."""
    return np.stack(np.meshgrid(*zip(box.low, box.high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)


def box_from_numbers(numbers: Sequence[float]) -> Box:
    """From (x0, y0, z0, x1, y1, z1); raises PromptError where these are no six finite numbers."""
    if len(numbers) != 6:
        raise PromptError(f"a box needs six numbers x0,y0,z0,x1,y1,z1; this one has {len(numbers)}.")
    return Box(point(numbers[:3]), point(numbers[3:]))


def box_from_mm(grid: Grid, box: Box) -> tuple[Box, tuple[str, ...]]:
    """A box of RAS+ millimetres as the tight voxel box round its eight corners, inside the image; and what was cut.

    Raises:
        PromptError: it lies outside the image altogether.
    """
    try:
        return clipped(grid, grid.to_voxel(corners(box)), "mm")
    except PromptError:
        sides = ", ".join(f"{axis} {low:g}..{high:g}" for axis, low, high in zip("xyz", box.low, box.high, strict=True))
        raise PromptError(f"the box {sides} mm lies outside the image, which spans {span_mm(grid)}.") from None


def clipped(grid: Grid, places: Floats, unit: str) -> tuple[Box, tuple[str, ...]]:
    """The tight box round voxel positions (N, 3) without what lies beyond the image; and a note where that is any.

    In voxels the image ends with the centres of its outermost voxels, in millimetres with their outer faces.

    Raises:
        PromptError: nothing of it lies inside.
    """
    low, high, shape = places.min(axis=0), places.max(axis=0), np.asarray(grid.shape)
    if (high < -0.5 - _CLOSE).any() or (low > shape - 0.5 + _CLOSE).any():
        raise PromptError(f"the box lies outside the image altogether; its voxels run over {voxel_ranges(grid)}.")
    beyond = np.maximum(-0.5 - low, high - (shape - 0.5))
    if unit == "voxel":
        outside_low, outside_high = low < -0.5, high > shape - 0.5
        low, high = np.where(outside_low, 0, low), np.where(outside_high, shape - 1, high)
    else:
        low, high = np.clip(low, -0.5, shape - 0.5), np.clip(high, -0.5, shape - 0.5)
    box = Box(point(low), point(high))
    if beyond.max() <= _SAID:
        return box, ()
    far = f"{(beyond * grid.spacing).max():.3g} mm" if unit == "mm" else f"{np.ceil(beyond.max()):.0f} voxels"
    first, last = box.voxels
    ranges = ", ".join(f"{axis} {start}..{end}" for axis, start, end in zip("xyz", first, last, strict=True))
    return box, (f"the box reached up to {far} beyond the image and was cut at its border, to voxels {ranges}",)


def voxel_ranges(grid: Grid) -> str:
    """The voxels of a grid, for a sentence."""
    return ", ".join(f"{axis} 0..{side - 1}" for axis, side in zip("xyz", grid.shape, strict=True))


def span_mm(grid: Grid) -> str:
    """The millimetres that the voxels of a grid span along the body's axes, for a sentence."""
    whole = Box((-0.5, -0.5, -0.5), point(np.asarray(grid.shape) - 0.5))
    ends = grid.to_mm(corners(whole))
    lows, highs = ends.min(axis=0), ends.max(axis=0)
    return (
        ", ".join(f"{axis} {low:.4g}..{high:.4g}" for axis, low, high in zip("xyz", lows, highs, strict=True)) + " mm"
    )


def point(values: npt.ArrayLike) -> Point:
    """Three finite numbers; raises PromptError for anything else."""
    try:
        numbers = np.asarray(values, np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise PromptError(f"a point needs three finite numbers x,y,z; this one is {values!r}.") from None
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise PromptError(f"a point needs three finite numbers x,y,z; this one is {numbers.tolist()}.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])


def points_from_numbers(places: Iterable[npt.ArrayLike]) -> list[Point]:
    """Any number of points; raises PromptError where one is not three finite numbers."""
    if not isinstance(places, Iterable):
        raise PromptError(f"points are a list of positions x,y,z, not {places!r}.")
    return [point(place) for place in places]


def _whole(values: Floats) -> Triple:
    return int(values[0]), int(values[1]), int(values[2])
