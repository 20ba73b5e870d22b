"""Volumes on coarse grids, for what is seen there as well and costs much less."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...imaging.grid import Array

Singles = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]


def coarsened(signal: Array, spacing: Spacing, coarse: float) -> Singles:
    """(X, Y, Z) at `coarse` millimetres, aligned with the corner of the volume, without aliasing."""
    factors = [
        min(side, max(1, int(coarse / 2 / step + 1e-6))) for side, step in zip(signal.shape, spacing, strict=True)
    ]
    steps = np.array(spacing) * factors
    array = block_means(signal, factors)
    shape = tuple(max(1, round(side * step / coarse)) for side, step in zip(array.shape, steps, strict=True))
    array = ndimage.gaussian_filter(array, 0.6 * coarse / steps, mode="nearest")
    offset = 0.5 * coarse / steps - 0.5
    coarse_array = ndimage.affine_transform(array, coarse / steps, offset, output_shape=shape, order=1, mode="nearest")
    return np.asarray(coarse_array, np.float32)


def block_means(signal: Array, factors: Sequence[int]) -> Singles:
    """Every `factors` voxels as one, their mean; what is over at the far ends is left out."""
    shape = [side // factor * factor for side, factor in zip(signal.shape, factors, strict=True)]
    array = signal[: shape[0], : shape[1], : shape[2]]
    for axis, factor in enumerate(factors):
        if factor > 1:
            parts = (*array.shape[:axis], array.shape[axis] // factor, factor, *array.shape[axis + 1 :])
            array = array.reshape(parts).mean(axis + 1, dtype=np.float32)
    return np.asarray(array, np.float32)
