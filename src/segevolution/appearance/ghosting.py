"""Ghosting: breathing and pulsation repeat the patient, faintly, along the phase axis (by TorchIO).

Every n-th line of k-space loses a share of its signal, which makes n - 1 copies of the image, spread evenly over the
field of view; the centre of k-space is kept, so that the brightness stays. Strength is the share that is lost.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torchio import Ghosting as TorchioGhosting

from ..imaging.grid import Grid
from .base import MRI_ONLY, Change, Image, Rng, Scene, Shift, in_plane_axes

_CENTRE = 0.04  # of k-space


@dataclass(frozen=True)
class Ghosting(Change):
    """Weaken every n-th line.

    Attributes:
        share: of the signal that these lines lose.
        every: n.
        axis: array axis along which phase was encoded.
        centre: share of the lines that are kept whole, in the middle.
    """

    share: float
    every: int
    axis: int
    centre: float

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        transform = TorchioGhosting(
            num_ghosts=self.every, axis=self.axis, intensity=self.share, restore=self.centre, copy=False
        )
        ghosted = transform(torch.from_numpy(image.copy())[None])
        return np.asarray(ghosted[0].numpy(), np.float32)


def draw(strength: float, grid: Grid, rng: Rng) -> Ghosting:
    """Every third to sixth line, along one of the axes within a slice."""
    axis = in_plane_axes(grid)[rng.integers(2)]
    # TorchIO keeps an even number of lines, and rounds: below two it would keep none, not even the mean.
    centre = max(_CENTRE, 2 / grid.shape[axis])
    return Ghosting(strength, int(rng.integers(3, 7)), axis, centre)


GHOSTING = Shift(
    name="ghosting",
    unit="share of signal lost in every n-th line of k-space",
    limit=1.0,
    ladder=(0.25, 0.5, 1.0),
    summary="faint copies along the phase axis, as of breathing",
    source="TorchIO (Pérez-García et al. 2021), doi:10.1016/j.cmpb.2021.106236",
    modalities=MRI_ONLY,
    draw=draw,
    change=Ghosting,
)
