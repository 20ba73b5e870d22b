"""Gamma: mid-grey becomes lighter or darker, black and white stay."""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from .base import ANY, Change, Image, Rng, Scene, Shift


@dataclass(frozen=True)
class Gamma(Change):
    """Raise the signal, relative to its range, to a power; what lies outside the range stays.

    Attributes:
        exponent: above 0; below 1 lightens, above 1 darkens.
    """

    exponent: float

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        relative = scene.relative(image)
        inside = (relative >= 0) & (relative <= 1)
        power = np.float32(scene.low) + np.float32(scene.span) * np.clip(relative, 0, 1) ** np.float32(self.exponent)
        return np.where(inside, power, image)


def draw(strength: float, grid: Grid, rng: Rng) -> Gamma:
    """The generator chooses lighter or darker."""
    return Gamma(float(np.exp(strength * rng.choice([-1.0, 1.0]))))


GAMMA = Shift(
    name="gamma",
    unit="natural logarithm of the exponent, lighter or darker",
    limit=2.0,
    ladder=(0.2, 0.4, 0.8),
    summary="mid-grey lighter or darker, order of tissues kept",
    source="Isensee et al. 2021 (nnU-Net), doi:10.1038/s41592-020-01008-z",
    modalities=ANY,
    draw=draw,
    change=Gamma,
)
