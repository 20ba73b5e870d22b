"""Random changes of a view's intensities in training; geometry is drawn in windows.py."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Rng = np.random.Generator
Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AugmentSettings:
    """Strengths; 0 switches a change off.

    Attributes:
        gamma: standard deviation of the logarithm of the exponent.
        contrast: standard deviation of the logarithm of a factor about the mean.
        brightness: standard deviation of a shift, in units of the full range.
        noise: largest standard deviation of Gaussian noise, in units of the full range.
        blur: largest standard deviation of Gaussian blur, in voxels.
        chance: probability of each change.
    """

    gamma: float = 0.25
    contrast: float = 0.15
    brightness: float = 0.05
    noise: float = 0.05
    blur: float = 0.7
    chance: float = 0.35


def augment(image: Image, rng: Rng, settings: AugmentSettings | None = None) -> Image:
    """Change intensities of an image (D, H, W) in [0, 1]; the result is float32 in [0, 1], zero padding kept."""
    settings = settings or AugmentSettings()
    outside = image == 0
    changed = image
    chances = rng.random(5) < settings.chance
    gamma, contrast, brightness = rng.normal(0, 1, 3) * (settings.gamma, settings.contrast, settings.brightness)
    noise, blur = rng.random(2) * (settings.noise, settings.blur)
    if chances[0]:
        changed = changed ** np.float32(np.exp(gamma))
    if chances[1]:
        mean = changed.mean()
        changed = (changed - mean) * np.float32(np.exp(contrast)) + mean
    if chances[2]:
        changed = changed + np.float32(brightness)
    if chances[3] and blur > 0.2:
        changed = ndimage.gaussian_filter(changed, (0, blur, blur))
    if chances[4] and noise > 0:
        changed = changed + rng.standard_normal(changed.shape, np.float32) * np.float32(noise)
    changed = np.clip(changed, 0, 1).astype(np.float32)
    changed[outside] = 0
    return np.asarray(changed, np.float32)
