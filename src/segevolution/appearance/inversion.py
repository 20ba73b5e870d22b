"""Inversion: what was bright becomes dark, as between T1 and T2, while air stays dark."""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from .base import ANY, Change, Image, Rng, Scene, Shift
from .grey_curves import along_curve


@dataclass(frozen=True)
class Inversion(Change):
    """Move the signal towards its inverse.

    Attributes:
        share: of the way; at 1/2 soft tissue has hardly any contrast, beyond it the contrast is inverted.
        knee: share of the signal range from which signal is inverted; half of it and less is air, which stays.
        floor: what the brightest signal becomes, as a share of the range.
    """

    share: float
    knee: float
    floor: float

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        air = self.knee / 2
        knots, levels = np.array([0, air, self.knee, 1]), np.array([0, air, 1, self.floor])
        return along_curve(image, scene, knots, levels, self.share)


def draw(strength: float, grid: Grid, rng: Rng) -> Inversion:
    """The generator chooses where air ends and how dark the brightest becomes."""
    return Inversion(strength, float(rng.uniform(0.03, 0.06)), float(rng.uniform(0.0, 0.2)))


INVERSION = Shift(
    name="inversion",
    unit="share of the way to the inverse; 0.5 is nearly no contrast",
    limit=1.0,
    ladder=(0.25, 0.75, 1.0),
    summary="bright tissue dark and dark tissue bright; air stays dark",
    source="Zhou et al. 2021 (Models Genesis, inverted curves), doi:10.1016/j.media.2020.101840",
    modalities=ANY,
    draw=draw,
    change=Inversion,
)
