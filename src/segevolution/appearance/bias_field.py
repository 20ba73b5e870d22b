"""Bias field: a coil hears one part of the patient louder than another, smoothly.

The logarithm of the gain is a sum of six plane waves of 200 to 600 mm, so smoothness is in millimetres and the same
on every grid; in the body the field of a 3 T scanner has wavelengths from about 260 mm. Strength is the logarithm of
the loudest over the quietest gain in the volume. For small fields that is how BrainWeb counts non-uniformity
(Collins et al. 1998): its 20 % and 40 %, gains of 0.9 to 1.1 and 0.8 to 1.2, are 0.2 and 0.4.
"""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from .base import MRI_ONLY, Change, Image, Rng, Scene, Shift
from .waves import Vector, add_up

_WAVES = 6
_LENGTHS = (200.0, 600.0)  # mm


@dataclass(frozen=True)
class BiasField(Change):
    """Multiply by exp(log_range * (waves - middle)).

    Attributes:
        log_range: logarithm of the loudest over the quietest gain.
        middle: of the waves' sum, which goes about from middle - 1/2 to middle + 1/2.
        frequencies, phases, amplitudes: of the waves, see waves.py.
    """

    log_range: float
    middle: float
    frequencies: tuple[Vector, ...]
    phases: tuple[float, ...]
    amplitudes: tuple[float, ...]

    def gain(self, grid: Grid) -> Image:
        """The factor at every voxel, float32 of the grid's shape."""
        field = add_up(self.frequencies, self.phases, self.amplitudes, grid)
        field -= np.float32(self.middle)
        field *= np.float32(self.log_range)
        return np.asarray(np.exp(field, out=field))

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        return image * self.gain(scene.grid)


def draw(strength: float, grid: Grid, rng: Rng) -> BiasField:
    """Waves of even directions; the sum is scaled to the range that it has on the grid."""
    directions = rng.standard_normal((_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    shortest, longest = np.log(_LENGTHS)
    rows = directions / np.exp(rng.uniform(shortest, longest, (_WAVES, 1)))
    frequencies = tuple((float(x), float(y), float(z)) for x, y, z in rows)
    phases = tuple(rng.uniform(0, 2 * np.pi, _WAVES).tolist())
    amplitudes = rng.uniform(0.3, 1.0, _WAVES)
    field = add_up(frequencies, phases, amplitudes.tolist(), _coarse(grid))
    low, high = float(field.min()), float(field.max())
    width = max(high - low, 1e-6)
    return BiasField(strength, (high + low) / 2 / width, frequencies, phases, tuple((amplitudes / width).tolist()))


def _coarse(grid: Grid) -> Grid:
    """At most 12 voxels a side over the same extent: waves this slow have their extremes there, too."""
    x, y, z = (min(side, 12) for side in grid.shape)
    steps = [(side - 1) / max(few - 1, 1) or 1.0 for side, few in zip(grid.shape, (x, y, z), strict=True)]
    return Grid((x, y, z), grid.affine @ np.diag([*steps, 1.0]))


BIAS_FIELD = Shift(
    name="bias_field",
    unit="natural logarithm of the loudest over the quietest gain",
    limit=3.0,
    ladder=(0.2, 0.4, 0.8, 1.6),
    summary="a coil's smooth gain, waves of 200 to 600 mm",
    source="Collins et al. 1998 (BrainWeb), doi:10.1109/42.712135",
    modalities=MRI_ONLY,
    draw=draw,
    change=BiasField,
)
