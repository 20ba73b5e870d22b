"""Spikes: stray sparks in k-space, each a pattern of stripes over the whole image (herringbone).

A spike at one place of k-space is a plane wave in the image, so the wave is added as it is, without a Fourier
transform. Strength is the stripes' amplitude over the signal range, shared among one to three spikes.
"""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from .base import MRI_ONLY, Change, Image, Rng, Scene, Shift, in_plane_axes
from .waves import Vector, add_up


@dataclass(frozen=True)
class Spikes(Change):
    """Add stripes.

    Attributes:
        amplitude: of all stripes together, over the signal range.
        frequencies, phases, shares: of the waves, see waves.py; the shares, their amplitudes, sum to 1.
    """

    amplitude: float
    frequencies: tuple[Vector, ...]
    phases: tuple[float, ...]
    shares: tuple[float, ...]

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        stripes = add_up(self.frequencies, self.phases, self.shares, scene.grid)
        stripes *= np.float32(self.amplitude * scene.span)
        stripes += image
        return stripes


def draw(strength: float, grid: Grid, rng: Rng) -> Spikes:
    """Spikes between 0.05 and 0.35 cycles a voxel in the plane of a slice, anywhere across slices."""
    first, second = in_plane_axes(grid)
    shares = tuple(rng.dirichlet(np.full(int(rng.integers(1, 4)), 4.0)).tolist())
    phases = tuple(rng.uniform(0, 2 * np.pi, len(shares)).tolist())
    frequencies = []
    for _ in shares:
        radius, angle = rng.uniform(0.05, 0.35), rng.uniform(0, 2 * np.pi)
        per_voxel = np.full(3, rng.uniform(-0.5, 0.5))
        per_voxel[first], per_voxel[second] = radius * np.cos(angle), radius * np.sin(angle)
        x, y, z = np.linalg.solve(grid.affine[:3, :3].T, per_voxel).tolist()
        frequencies.append((x, y, z))
    return Spikes(strength, tuple(frequencies), phases, shares)


SPIKES = Shift(
    name="spikes",
    unit="amplitude of the stripes over the signal range",
    limit=1.0,
    ladder=(0.05, 0.1, 0.2),
    summary="stripes over the whole image, from sparks in k-space",
    source="Graves and Mitchell 2013, doi:10.1002/jmri.24288; TorchIO, doi:10.1016/j.cmpb.2021.106236",
    modalities=MRI_ONLY,
    draw=draw,
    change=Spikes,
)
