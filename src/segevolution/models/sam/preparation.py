"""How a slice becomes a SAM network's input, and how its masks come back: each system has its own way.

A `Placement` says where the slice lies in the network's square, so that prompts go in and masks come out. Sizes are
(height, width), coordinates (x, y). Sources: the authors' code, as `docs/reference/sam.md` tells.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from ...imaging.resizing import area_taps
from .config import COLOUR_DEVIATIONS, COLOUR_MEANS, Preparation, SamConfig

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_MEAN = np.array(COLOUR_MEANS, np.float32)
_DEVIATION = np.array(COLOUR_DEVIATIONS, np.float32)


@dataclass(frozen=True)
class Placement:
    """Where a slice lies in the square input.

    Attributes:
        slice: (h, w) of the slice.
        content: (h, w) of the square that shows it, from the upper left.
        side: of the square.
        rounded: whether prompts are cut to whole pixels of the square, as LiteMedSAM does.
        scale: (x, y) pixels of the square a pixel of the slice.
    """

    slice: tuple[int, int]
    content: tuple[int, int]
    side: int
    rounded: bool
    scale: tuple[float, float]

    def inward(self, points: Tensor) -> Tensor:
        """(..., 2) pixels of the slice -> of the square."""
        placed = points * points.new_tensor(self.scale)
        return placed.trunc() if self.rounded else placed

    def outward(self, lowres: Tensor) -> Tensor:
        """Logits (P, M, 4 g, 4 g) -> (P, M, h, w) of the slice: to the square, without its padding, to the slice.

        Two interpolations, never one, as published (LiteMedSAM's masks have the square's size already).
        """
        logits = lowres
        if logits.shape[-1] != self.side:
            logits = functional.interpolate(logits, (self.side, self.side), mode="bilinear", align_corners=False)
        logits = logits[..., : self.content[0], : self.content[1]]
        return functional.interpolate(logits, self.slice, mode="bilinear", align_corners=False)


def placed(config: SamConfig, shape: tuple[int, int]) -> Placement:
    """Where a slice of shape (h, w) lies in the network's square."""
    height, width = shape
    side = config.image
    if config.preparation in ("sam_med2d", "medsam"):
        return Placement(shape, (side, side), side, False, (side / width, side / height))
    scale = side / max(height, width)
    content = (int(height * scale + 0.5), int(width * scale + 0.5))
    if config.preparation == "lite_medsam":
        return Placement(shape, content, side, True, (scale, scale))
    return Placement(shape, content, side, False, (content[1] / width, content[0] / height))


def prepared(config: SamConfig, image: Pixels) -> tuple[Tensor, Placement]:
    """A slice (h, w, 3) uint8 -> the input (3, S, S) float32, and where the slice lies in it."""
    placement = placed(config, (image.shape[0], image.shape[1]))
    values = _RULES[config.preparation](image, placement.content)
    tensor = torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1)))
    below, right = placement.side - tensor.shape[1], placement.side - tensor.shape[2]
    return functional.pad(tensor, (0, right, 0, below)), placement


def grey_to_colour(image: npt.NDArray[np.uint8]) -> Pixels:
    """(h, w) -> (h, w, 3), the grey repeated."""
    return np.repeat(image[..., None], 3, axis=-1)


def resized_pil(image: Pixels, content: tuple[int, int], filter: Image.Resampling) -> Pixels:
    """PIL's resizing of (h, w, 3) uint8, which averages where it shrinks."""
    return np.asarray(Image.fromarray(image).resize((content[1], content[0]), filter), np.uint8)


def resized_area(image: Pixels, content: tuple[int, int]) -> Pixels:
    """OpenCV's INTER_AREA of (h, w, 3) uint8: area means where it shrinks, its own two taps where it grows."""
    rows = area_taps(image.shape[0], content[0])
    columns = area_taps(image.shape[1], content[1])
    mixed = np.einsum("ah,hwc,bw->abc", rows, image.astype(np.float64), columns)
    return np.asarray(np.clip(np.floor(mixed + 0.5), 0, 255), np.uint8)


def _sam(image: Pixels, content: tuple[int, int]) -> Floats:
    """Bilinear on bytes, then the colours' means and deviations."""
    return (resized_pil(image, content, Image.Resampling.BILINEAR).astype(np.float32) - _MEAN) / _DEVIATION


def _sam_med2d(image: Pixels, content: tuple[int, int]) -> Floats:
    """The colours' means and deviations first, then the nearest pixel; the aspect is not kept."""
    normal = (image.astype(np.float32) - _MEAN) / _DEVIATION
    rows, columns = (
        np.minimum(np.floor(np.arange(wanted) * (1 / (wanted / length))).astype(int), length - 1)
        for length, wanted in zip(image.shape[:2], content, strict=True)
    )
    return np.asarray(normal[rows][:, columns], np.float32)


def _medsam(image: Pixels, content: tuple[int, int]) -> Floats:
    """Bicubic on bytes, then the slice's own minimum and maximum; the aspect is not kept."""
    return _min_max(resized_pil(image, content, Image.Resampling.BICUBIC))


def _lite_medsam(image: Pixels, content: tuple[int, int]) -> Floats:
    """Area means on bytes, then the slice's own minimum and maximum."""
    return _min_max(resized_area(image, content))


def _min_max(image: Pixels) -> Floats:
    values = image.astype(np.float32)
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(float(high - low), 1e-8), np.float32)


# One a Preparation.
_RULES: dict[Preparation, Callable[[Pixels, tuple[int, int]], Floats]] = {
    "sam": _sam,
    "sam_med2d": _sam_med2d,
    "medsam": _medsam,
    "lite_medsam": _lite_medsam,
}
