"""Another grain for a view: shallow random convolutions, and what goes wrong in k-space."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..appearance.base import Scene
from ..appearance.registry import SHIFTS
from ..imaging.grid import Grid
from ..vocabulary import Modality

Rng = np.random.Generator
Image = npt.NDArray[np.float32]

FIELD_OF_VIEW = 350.0  # mm; each side of a view, for waves and movements

_CHANNELS = (2, 2, 1)  # of each layer
_SLOPE = np.float32(0.2)  # of a leaky rectifier, below 0
# Name of a shift -> largest strength. What moves a patient further than a voxel of a view would move its labels.
_ARTEFACTS = {"spikes": 0.15, "ghosting": 0.7, "motion": 2.0}


def random_convolution(image: Image, tissue: npt.NDArray[np.bool_], rng: Rng) -> Image:
    """A shallow network with random weights, blended with its input (Ouyang et al. 2022, arXiv:2111.12525, as GIN).

    Three layers of two channels, each mixed at random and then filtered by a kernel of 1 or 3 voxels a side that is
    the product of three vectors (a full kernel would cost several times as much); a leaky rectifier between layers.
    The answer is brought to the tissue's mean and deviation, and blended by a share drawn evenly.

    Args:
        image: (D, H, W) in [0, 1].
        tissue: (D, H, W) boolean; its statistics count, and nothing else is changed.
        rng: the only source of chance.

    Returns:
        float32, not bound to [0, 1].
    """
    blend = np.float32(rng.random())
    if not tissue.any():
        return image
    mean, deviation = image[tissue].mean(), image[tissue].std()
    channels = [image - mean]
    for layer, count in enumerate(_CHANNELS):
        if layer:
            channels = [np.maximum(channel, _SLOPE * channel) for channel in channels]
        mixing = rng.standard_normal((count, len(channels))).astype(np.float32)
        channels = [_filtered(np.tensordot(row, channels, 1), rng) for row in mixing]
    answer = channels[0]
    spread = answer[tissue].std()
    answer = (answer - answer[tissue].mean()) * (deviation / max(spread, np.float32(1e-6))) + mean
    return np.where(tissue, blend * answer + (1 - blend) * image, image)


def _filtered(image: Image, rng: Rng) -> Image:
    """By a separable random kernel of 3 voxels a side, or as it is."""
    if rng.random() < 0.5:
        return image
    for axis in range(3):
        kernel = rng.standard_normal(3)
        image = ndimage.correlate1d(image, kernel / np.linalg.norm(kernel), axis, mode="nearest")
    return image


def random_artefact(image: Image, rng: Rng) -> Image:
    """Ghosting, motion or spikes of a random strength, as `appearance` makes them; float32, not bound to [0, 1]."""
    names = list(_ARTEFACTS)
    name = names[rng.integers(len(names))]
    depth, height, width = image.shape
    grid = Grid((depth, height, width), np.diag([*(FIELD_OF_VIEW / np.array(image.shape)), 1.0]))
    change = SHIFTS[name].draw(_ARTEFACTS[name] * (0.1 + 0.9 * rng.random()), grid, rng)
    return change.apply(image, Scene(grid, 0.0, 1.0, Modality.MRI, nonnegative=True))
