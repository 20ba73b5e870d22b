"""Another voxel size for an array, and the way back.

The outer corner of the first voxel keeps its place, so voxel i of the new array lies at (i + 0.5) * step - 0.5 of the
old one. Signal and logits change trilinearly, labels by the nearest voxel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import Array, Floats, Triple

Image = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Resampling:
    """From an array to one of other voxels.

    Attributes:
        source: (D, H, W) of the old array.
        target: (D, H, W) of the new one.
        step: old voxels a new voxel, along (D, H, W).
    """

    source: Triple
    target: Triple
    step: Floats

    @classmethod
    def to_spacing(cls, shape: Triple, spacing: Sequence[float], wanted: Sequence[float]) -> "Resampling":
        """From voxels of one size in millimetres to another; the new array is as long as the old, to half a voxel."""
        step = np.asarray(wanted, np.float64) / np.asarray(spacing, np.float64)
        d, h, w = (max(1, round(side / pace)) for side, pace in zip(shape, step.tolist(), strict=True))
        return cls(shape, (d, h, w), step)

    def forth(self, indices: Floats) -> Floats:
        """Old voxel indices (N, 3) -> new ones, not rounded."""
        return np.asarray((indices + 0.5) / self.step - 0.5)

    def back(self, indices: Floats) -> Floats:
        """New voxel indices (N, 3) -> old ones, not rounded."""
        return np.asarray((indices + 0.5) * self.step - 0.5)

    def block(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """A box of old voxels (d, h, w), both corners included -> first and one-past-last new voxel by its faces.

        The new voxels are those nearest to the faces, at least one along each axis, all of them in the new array.
        """
        last = np.asarray(self.target, np.float64)
        first = np.clip(np.floor(low / self.step + 0.5), 0, last - 1)
        return first, np.clip(np.floor((high + 1) / self.step + 0.5), first + 1, last)

    def image(self, array: Image) -> Image:
        """Signal or logits (D, H, W) on the new voxels."""
        return _interpolated(array, _places(self.target, self.step))

    def image_back(self, array: Image) -> Image:
        """Signal or logits (D, H, W) on the old voxels."""
        return _interpolated(array, _places(self.source, 1 / self.step))

    def labels(self, array: Array) -> Array:
        """Labels (D, H, W) on the new voxels."""
        picks = [
            np.clip(np.rint(where), 0, length - 1).astype(np.intp)
            for where, length in zip(_places(self.target, self.step), self.source, strict=True)
        ]
        return np.asarray(array[np.ix_(*picks)])


def _places(shape: Triple, step: Floats) -> list[Floats]:
    """Where the voxels of an array of `shape` lie in another one, along each axis."""
    return [(np.arange(side) + 0.5) * pace - 0.5 for side, pace in zip(shape, step, strict=True)]


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
