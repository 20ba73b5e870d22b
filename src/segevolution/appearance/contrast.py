"""Contrast: every grey value gets another, drawn at random, as if by a sequence that nobody has run.

SynthSeg (Billot et al. 2023) draws a mean for every label. A scan to be changed need not have labels, so here greys
take the labels' place: a random curve through six knots, not monotone, with air kept as it is.
"""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from .base import ANY, Change, Image, Rng, Scene, Shift
from .grey_curves import along_curve

_STEPS = 6
_AIR = 0.03  # of the signal range; the noise of air mostly lies below


@dataclass(frozen=True)
class Contrast(Change):
    """Move the signal towards a curve.

    Attributes:
        share: of the way.
        levels: of the curve, at even steps over the signal range, as shares of it; the last is the range's end.
    """

    share: float
    levels: tuple[float, ...]

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        knots = np.concatenate([[0, _AIR], np.linspace(0, 1, len(self.levels) + 1)[1:]])
        return along_curve(image, scene, knots, np.array([0, _AIR, *self.levels]), self.share)


def draw(strength: float, grid: Grid, rng: Rng) -> Contrast:
    """Levels are drawn evenly over the range."""
    return Contrast(strength, tuple(rng.random(_STEPS).tolist()))


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
