"""Sums of plane waves in patient space: slow ones make a bias field, fast ones the stripes of k-space spikes."""

from collections.abc import Sequence

import numpy as np

from ..imaging.grid import Grid
from .base import Image

Vector = tuple[float, float, float]


def add_up(frequencies: Sequence[Vector], phases: Sequence[float], amplitudes: Sequence[float], grid: Grid) -> Image:
    """amplitude * cos(2 pi frequency . (place - middle of the grid) + phase), summed over N waves.

    A phase is a sum over the three axes, so cosine and sine of the first two and of the third are multiplied as
    matrices: no trigonometry per voxel.

    Args:
        frequencies: N vectors, cycles per millimetre along R, A, S.
        phases: N, in radians.
        amplitudes: N, of the cosines.
        grid: where to evaluate.

    Returns:
        float32 of the grid's shape.
    """
    per_voxel = 2 * np.pi * np.asarray(frequencies) @ grid.affine[:3, :3]  # (N, 3): radians a step of each array axis
    x, y, z = (
        per_voxel[:, axis] * (np.arange(side)[:, None] - (side - 1) / 2) for axis, side in enumerate(grid.shape)
    )  # each (side, N)
    plane = (x[:, None] + y[None] + np.asarray(phases)).reshape(-1, len(phases))
    amplitude = np.asarray(amplitudes)
    left = np.concatenate([amplitude * np.cos(plane), -amplitude * np.sin(plane)], 1).astype(np.float32)
    right = np.concatenate([np.cos(z), np.sin(z)], 1).astype(np.float32)
    return np.asarray((left @ right.T).reshape(grid.shape), np.float32)
