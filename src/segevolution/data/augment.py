"""Random changes of a view's intensities in training; geometry is drawn in windows.py, other contrasts in contrast.py.

Bias field, gamma, noise, resolution and inversion are those of `appearance`, with which a model is tested, too. A
view knows no millimetres and lies in [0, 1], so strengths here are in voxels and in shares of that range.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..appearance.base import Scene
from ..appearance.bias_field import draw as draw_bias_field
from ..appearance.gamma import Gamma
from ..appearance.inversion import draw as draw_inversion
from ..appearance.noise import gaussian
from ..appearance.resolution import Resolution
from ..imaging.grid import Grid
from ..ranges import Share, Strength
from ..vocabulary import Modality
from .contrast import ContrastSettings, recontrast
from .texture import FIELD_OF_VIEW
from .windows import FramedCase, View

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
        chance: probability of each change but inversion.
        bias_field: largest logarithm of the loudest over the quietest gain.
        resolution: largest acquired spacing along one random axis, in voxels of the view; up to 1 is off.
        inversion: probability that bright becomes dark.
        recontrast: a share of the views gets another contrast first, and stronger changes afterwards.
    """

    gamma: Strength = 0.25
    contrast: Strength = 0.15
    brightness: Strength = 0.05
    noise: Strength = 0.05
    blur: Strength = 0.7
    chance: Share = 0.35
    bias_field: Strength = 0.0
    resolution: Strength = 0.0
    inversion: Share = 0.0
    recontrast: ContrastSettings = field(default_factory=ContrastSettings)

    def key(self) -> dict[str, Any]:
        """As plain values for a key; what was added later is left out where it is off, so that keys stay."""
        values = asdict(self)
        if not self.recontrast.share:
            del values["recontrast"]
        elif not self.recontrast.matched:
            del values["recontrast"]["matched"]
        return values


def augment_view(
    view: View, case: FramedCase, rng: Rng, settings: AugmentSettings | None = None
) -> tuple[Image, FramedCase]:
    """Change a view's intensities, and its contrast where the settings give its modality a share.

    Args:
        view: of the case.
        case: its structures are what gets a contrast of its own.
        rng: the only source of chance.
        settings: strengths.

    Returns:
        The image (D, H, W) float32 within the case's bounds, and the case as a network is told of it: of modality MRI
        where the view got another contrast and `recontrast.as_mri` says so, else as it was.
    """
    settings = settings or AugmentSettings()
    recontrast_settings = settings.recontrast
    if not recontrast_settings.drawn(case.modality, rng):
        return augment(view.image, rng, settings, bounds=case.bounds, pad=case.pad), case
    low, high = case.bounds
    padding, span = view.image == np.float32(case.pad), np.float32(max(high - low, 1e-8))
    unit = np.where(padding, np.float32(0), (view.image - np.float32(low)) / span)
    unit = recontrast(unit, view.labels, case.structures, rng, recontrast_settings)
    image = np.where(padding & (unit == 0), np.float32(case.pad), unit * span + np.float32(low))
    after = replace(
        settings,
        bias_field=max(settings.bias_field, recontrast_settings.bias_field),
        noise=max(settings.noise, recontrast_settings.noise),
        resolution=max(settings.resolution, recontrast_settings.resolution),
    )
    image = augment(image, rng, after, bounds=case.bounds, pad=case.pad)
    return image, replace(case, modality=Modality.MRI) if recontrast_settings.as_mri else case


def augment(
    image: Image,
    rng: Rng,
    settings: AugmentSettings | None = None,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    pad: float = 0.0,
) -> Image:
    """Change intensities of an image (D, H, W); the result is float32 within the same bounds, its padding kept.

    What is off draws no numbers: with the later three off, a generator gives what it gave before they were added.

    Args:
        image: normalised.
        rng: the only source of chance.
        settings: see AugmentSettings; shares are shares of the bounds.
        bounds: the smallest and largest number that the image may hold.
        pad: the number that stands outside the image.
    """
    settings = settings or AugmentSettings()
    low, high = bounds
    if bounds == (0.0, 1.0) and pad == 0:
        return _augmented(image, rng, settings)
    outside, span = image == np.float32(pad), max(high - low, 1e-8)
    changed = _augmented(((image - low) / span).astype(np.float32), rng, settings) * np.float32(span) + np.float32(low)
    changed[outside] = pad
    return np.asarray(changed, np.float32)


def _augmented(image: Image, rng: Rng, settings: AugmentSettings) -> Image:
    """As `augment`, between 0 and 1, where 0 is padding, too."""
    outside = image == 0
    scene = Scene(Grid(_three(image.shape), np.eye(4)), 0.0, 1.0, Modality.MRI, nonnegative=True)
    chances = rng.random(5) < settings.chance
    gamma, contrast, brightness = rng.normal(0, 1, 3) * (settings.gamma, settings.contrast, settings.brightness)
    noise, blur = rng.random(2) * (settings.noise, settings.blur)
    changed = _invert(image, scene, rng, settings)
    changed = _bias(changed, scene, rng, settings)
    if chances[0]:
        changed = Gamma(float(np.exp(gamma))).apply(changed, scene)
    if chances[1]:
        mean = changed.mean()
        changed = (changed - mean) * np.float32(np.exp(contrast)) + mean
    if chances[2]:
        changed = changed + np.float32(brightness)
    changed = _coarsen(changed, scene, rng, settings)
    if chances[3] and blur > 0.2:
        changed = ndimage.gaussian_filter(changed, (0, blur, blur))
    if chances[4] and noise > 0:
        changed = gaussian(changed, float(noise), rng)
    changed = np.clip(changed, 0, 1).astype(np.float32)
    changed[outside] = 0
    return np.asarray(changed, np.float32)


def _invert(image: Image, scene: Scene, rng: Rng, settings: AugmentSettings) -> Image:
    if not settings.inversion or rng.random() >= settings.inversion:
        return image
    return draw_inversion(1.0, scene.grid, rng).apply(image, scene)


def _bias(image: Image, scene: Scene, rng: Rng, settings: AugmentSettings) -> Image:
    """Multiply by a coil's gain, and scale back to the view's own maximum as a network's normaliser would."""
    if not settings.bias_field or rng.random() >= settings.chance:
        return image
    grid = Grid(scene.grid.shape, np.diag([*(FIELD_OF_VIEW / np.array(image.shape)), 1.0]))
    change = draw_bias_field(settings.bias_field * rng.random(), grid, rng)
    changed = change.apply(image, replace(scene, grid=grid))
    brightest = changed.max()
    return changed * np.float32(image.max() / brightest) if brightest > 0 else changed


def _coarsen(image: Image, scene: Scene, rng: Rng, settings: AugmentSettings) -> Image:
    if settings.resolution <= 1 or rng.random() >= settings.chance:
        return image
    axis, spacing, offset = int(rng.integers(3)), float(rng.uniform(1, settings.resolution)), float(rng.random())
    return Resolution(spacing, (axis,), (offset, offset, offset)).apply(image, scene)


def _three(shape: tuple[int, ...]) -> tuple[int, int, int]:
    depth, height, width = shape
    return depth, height, width
