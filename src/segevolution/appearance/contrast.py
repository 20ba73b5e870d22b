"""Contrast: every grey value gets another, drawn at random, as if by a sequence that nobody has run.

SynthSeg (Billot et al. 2023) draws a mean for every label. A scan to be changed need not have labels, so here greys
take the labels' place: a random curve through seven knots, not monotone, with air kept dark.
"""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from .base import ANY, Change, Image, Rng, Scene, Shift
from .curves import along_curve

_STEPS = 6


@dataclass(frozen=True)
class Contrast(Change):
    """Move the signal towards a curve.

    Attributes:
        share: of the way.
        levels: of the curve, at even steps over the signal range, as shares of it; the first is 0, air.
    """

    share: float
    levels: tuple[float, ...]

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        return along_curve(image, scene, np.linspace(0, 1, len(self.levels)), np.array(self.levels), self.share)


def draw(strength: float, grid: Grid, rng: Rng) -> Contrast:
    """Levels are drawn evenly over the range."""
    return Contrast(strength, (0.0, *(float(level) for level in rng.random(_STEPS))))


CONTRAST = Shift(
    name="contrast",
    unit="share of the way to a random curve of greys",
    limit=1.0,
    ladder=(0.25, 0.5, 0.75, 1.0),
    summary="other grey values, their order changed; air stays dark",
    source="after Billot et al. 2023 (SynthSeg), doi:10.1016/j.media.2023.102789",
    modalities=ANY,
    draw=draw,
    change=Contrast,
)
