"""Noise: Rician in MR magnitude, Gaussian elsewhere.

A magnitude image is the length of two channels with Gaussian noise each (Gudbjartsson and Patz 1995), so noise
lifts air above 0. Strength is the deviation of one channel over the signal range, near BrainWeb's "percent of the
brightest tissue" (Collins et al. 1998). The range of CT is 400 HU: 0.1 is 40 HU. Voxels are independent, which the
noise of a real CT kernel is not.
"""

from dataclasses import dataclass

import numpy as np

from ..imaging.grid import Grid
from ..vocabulary import Modality
from .base import ANY, Change, Image, Rng, Scene, Shift


@dataclass(frozen=True)
class Noise(Change):
    """Add noise.

    Attributes:
        deviation: standard deviation over the signal range.
        seed: of the voxels' generator.
    """

    deviation: float
    seed: int

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        rng = np.random.default_rng(self.seed)
        deviation = self.deviation * scene.span
        noisy = gaussian(image, deviation, rng)
        if scene.modality is Modality.MRI and scene.nonnegative:
            return np.hypot(noisy, gaussian(np.zeros_like(image), deviation, rng))
        return noisy


def gaussian(image: Image, deviation: float, rng: Rng) -> Image:
    """The image plus independent Gaussian noise of that standard deviation, in the image's unit."""
    return image + rng.standard_normal(image.shape, np.float32) * np.float32(deviation)


def draw(strength: float, grid: Grid, rng: Rng) -> Noise:
    """The voxels' noise hangs on one more seed."""
    return Noise(strength, int(rng.integers(2**53)))


NOISE = Shift(
    name="noise",
    unit="standard deviation over the signal range (CT: over 400 HU)",
    limit=1.0,
    ladder=(0.02, 0.05, 0.1, 0.2),
    summary="Rician in MRI, Gaussian elsewhere",
    source="Gudbjartsson and Patz 1995, doi:10.1002/mrm.1910340618",
    modalities=ANY,
    draw=draw,
    change=Noise,
)
