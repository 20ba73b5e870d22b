"""Another voxel size for an array, and the way back.

The middle of the array keeps its place, as in TorchIO, so that nothing hangs on the direction of an axis: voxel i of
the new array lies at (i + 0.5) * step - 0.5 + start of the old one, where start is half of what the new one leaves
over. Signal and logits change trilinearly, labels by the nearest voxel.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import Array, Floats, Triple

Image = npt.NDArray[np.float32]

_ARRAYS = 5  # of the new size while one axis changes: both neighbours, their difference, its share, the result
_CLOSE = 1e-6  # of a voxel: what arithmetic in millimetres may add or lose


@dataclass(frozen=True, eq=False)
class Resampling:
    """From an array to one of other voxels.

    Attributes:
        source: (D, H, W) of the old array.
        target: (D, H, W) of the new one.
        step: old voxels a new voxel, along (D, H, W).
        start: old voxels before the new array begins, along (D, H, W).
        against: along which of (D, H, W) the array runs against its file: a label from the middle between two voxels is
            that of the later one in the file, whatever the array's direction.
    """

    source: Triple
    target: Triple
    step: Floats
    start: Floats
    against: Sequence[bool] = (False, False, False)

    @classmethod
    def to_spacing(
        cls,
        shape: Triple,
        spacing: Sequence[float],
        wanted: Sequence[float],
        against: Sequence[bool] = (False, False, False),
    ) -> "Resampling":
        """From voxels of one size in millimetres to another; the new array is as long as the old, to half a voxel."""
        step = np.asarray(wanted, np.float64) / np.asarray(spacing, np.float64)
        d, h, w = (max(1, round(side / pace)) for side, pace in zip(shape, step.tolist(), strict=True))
        remainder = np.asarray(shape) - np.asarray((d, h, w)) * step
        return cls(shape, (d, h, w), step, remainder / 2, tuple(against))

    @property
    def bytes_needed(self) -> int:
        """Memory that `image` takes at its peak: the axes change one after another, each with neighbours beside it."""
        shapes = [(*self.target[:axis], *self.source[axis:]) for axis in range(4)]
        return max(4 * (math.prod(before) + _ARRAYS * math.prod(after)) for before, after in itertools.pairwise(shapes))

    def forth(self, indices: Floats) -> Floats:
        """Old voxel indices (N, 3) -> new ones, not rounded."""
        return np.asarray((indices + 0.5 - self.start) / self.step - 0.5)

    def back(self, indices: Floats) -> Floats:
        """New voxel indices (N, 3) -> old ones, not rounded."""
        return np.asarray((indices + 0.5) * self.step - 0.5 + self.start)

    def block(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """A box of old voxels (d, h, w), both corners included -> first and one-past-last new voxel by its faces.

        The new voxels are those nearest to the faces, at least one along each axis, all of them in the new array.
        """
        last = np.asarray(self.target, np.float64)
        first = np.clip(np.floor((low - self.start) / self.step + 0.5), 0, last - 1)
        return first, np.clip(np.floor((high + 1 - self.start) / self.step + 0.5), first + 1, last)

    def image(self, array: Image) -> Image:
        """Signal or logits (D, H, W) on the new voxels."""
        return _interpolated(array, self._seen())

    def image_back(self, array: Image) -> Image:
        """Signal or logits (D, H, W) on the old voxels."""
        return _interpolated(array, self._spread())

    def labels(self, array: Array) -> Array:
        """Labels (D, H, W) on the new voxels."""
        picks = [
            np.clip(np.ceil(where - 0.5 - _CLOSE) if back else np.floor(where + 0.5 + _CLOSE), 0, length - 1).astype(
                int
            )
            for where, length, back in zip(self._seen(), self.source, self.against, strict=True)
        ]
        return np.asarray(array[np.ix_(*picks)])

    def _seen(self) -> list[Floats]:
        """Where the new voxels lie in the old array, along each axis."""
        parts = zip(self.target, self.step, self.start, strict=True)
        return [(np.arange(side) + 0.5) * pace - 0.5 + start for side, pace, start in parts]

    def _spread(self) -> list[Floats]:
        """Where the old voxels lie in the new array, along each axis."""
        parts = zip(self.source, self.step, self.start, strict=True)
        return [(np.arange(side) + 0.5 - start) / pace - 0.5 for side, pace, start in parts]


def _interpolated(array: Image, places: Sequence[Floats]) -> Image:
    """Values at voxel positions along each axis; beyond the outermost centres the border's own value."""
    for axis, where in enumerate(places):
        length = array.shape[axis]
        inside = np.clip(where, 0, length - 1)
        low = np.minimum(inside.astype(np.intp), max(length - 2, 0))
        share = (inside - low).astype(np.float32).reshape([-1 if other == axis else 1 for other in range(3)])
        below, above = array.take(low, axis), array.take(np.minimum(low + 1, length - 1), axis)
        array = below + share * (above - below)
    return array
