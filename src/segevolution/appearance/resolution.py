"""Resolution: the same patient acquired with larger voxels, and brought back to the grid.

Along each coarsened axis: blur by the acquired slice profile (Gaussian, its full width at half maximum the acquired
spacing, less the profile that the voxels have already), pick samples at the acquired spacing, interpolate linearly
back. After Billot et al. 2020, who blur and resample so to simulate partial volume. Strength is the acquired spacing
itself, in millimetres: where the volume is that coarse already, nothing changes, and the record lists no axis.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.grid import Grid
from .base import ANY, Change, Image, Rng, Scene, Shift, slice_axis

_TO_DEVIATION = 1 / np.sqrt(8 * np.log(2))  # from full width at half maximum


@dataclass(frozen=True)
class Resolution(Change):
    """Acquire coarsely along some array axes.

    Attributes:
        spacing: acquired, in millimetres.
        axes: array axes that are coarsened; none where all are that coarse already.
        offsets: of the first sample along all three axes, as a share of the acquired spacing.
    """

    spacing: float
    axes: tuple[int, ...]
    offsets: tuple[float, float, float]

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        for axis in self.axes:
            acquire, back = sampling(image.shape[axis], scene.grid.spacing[axis], self.spacing, self.offsets[axis])
            for matrix in (acquire, back):
                image = np.moveaxis(np.tensordot(matrix, image, (1, axis)), 0, axis)
        return np.ascontiguousarray(image)


def sampling(count: int, spacing: float, acquired: float, offset: float) -> tuple[Image, Image]:
    """What acquiring and interpolating do along one axis.

    Args:
        count: n voxels.
        spacing: of the voxels, mm.
        acquired: spacing of the m samples, mm, no finer than `spacing`.
        offset: how far the first sample lies before the first voxel, as a share of `acquired` that fades out as the
            two spacings meet.

    Returns:
        (m, n) and (n, m), the rows of both sum to 1; with equal spacings both are the identity, but for a last sample.
    """
    voxels = np.arange(count) * spacing
    first = -offset * (acquired - spacing)
    samples = first + acquired * np.arange(int(np.ceil((voxels[-1] - first) / acquired)) + 1)
    deviation = _TO_DEVIATION * np.sqrt(max(acquired**2 - spacing**2, 1e-9 * spacing**2))
    distance: npt.NDArray[np.float64] = ((samples[:, None] - voxels[None]) / deviation) ** 2 / 2
    profile = np.exp(distance.min(1, keepdims=True) - distance)  # safe from underflow beyond the ends
    profile /= profile.sum(1, keepdims=True)
    place = (voxels - first) / acquired
    below = np.minimum(place.astype(np.intp), max(len(samples) - 2, 0))
    back = np.zeros((count, len(samples)))
    rows, share = np.arange(count), place - below
    back[rows, below] = 1 - share
    back[rows, np.minimum(below + 1, len(samples) - 1)] += share
    return profile.astype(np.float32), back.astype(np.float32)


def draw(strength: float, grid: Grid, rng: Rng) -> Resolution:
    """Coarsen all axes that are finer than the strength."""
    return _draw(strength, grid, rng, (0, 1, 2))


def draw_slices(strength: float, grid: Grid, rng: Rng) -> Resolution:
    """Coarsen across slices only, if they are closer than the strength."""
    return _draw(strength, grid, rng, (slice_axis(grid),))


def _draw(strength: float, grid: Grid, rng: Rng, axes: tuple[int, ...]) -> Resolution:
    x, y, z = (float(offset) for offset in rng.random(3))
    finer = tuple(axis for axis in axes if grid.spacing[axis] < strength * (1 - 1e-6) and grid.shape[axis] > 1)
    return Resolution(strength, finer, (x, y, z))


_SOURCE = "Billot et al. 2020, arXiv:2004.10221"

RESOLUTION = Shift(
    name="resolution",
    unit="mm, the acquired voxel's sides",
    limit=50.0,
    ladder=(2.0, 3.0, 4.0, 6.0),
    summary="acquired with larger voxels, interpolated back",
    source=_SOURCE,
    modalities=ANY,
    draw=draw,
    change=Resolution,
)

SLICE_SPACING = Shift(
    name="slice_spacing",
    unit="mm, the acquired slices' distance and thickness",
    limit=50.0,
    ladder=(4.0, 6.0, 8.0, 12.0),
    summary="acquired with thicker slices, interpolated back",
    source=_SOURCE,
    modalities=ANY,
    draw=draw_slices,
    change=Resolution,
)
