"""What is asked to be done to a mask after the network: one piece, smoother borders."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..imaging.framing import foreground_box
from .segmentation import Segmentation, difference

Mask = npt.NDArray[np.bool_]


def cleaned(answer: Segmentation, *, smooth_mm: float = 0.0, largest: bool = False) -> Segmentation:
    """An answer with its mask smoothed, then reduced to its largest piece; the same answer where nothing is asked.

    Args:
        smooth_mm: standard deviation of the Gaussian; what stays above half counts.
        largest: keep the largest connected piece alone.
    """
    mask = answer.mask
    if smooth_mm > 0:
        mask = smoothed(mask, answer.grid.spacing, smooth_mm)
    if largest:
        mask = largest_piece(mask)
    return answer if mask is answer.mask else replace(answer, mask=mask, changed=difference(mask, None))


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece (faces touch) of a mask; the mask itself if it has one piece or none."""
    if not mask.any():
        return mask
    pieces, count = ndimage.label(mask)
    if count == 1:
        return mask
    return np.asarray(pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax()))


def smoothed(mask: Mask, spacing: tuple[float, float, float], millimetres: float) -> Mask:
    """A mask (X, Y, Z) blurred by a Gaussian and cut at a half; a structure that this would erase stays as it is."""
    if not mask.any():
        return mask
    sigma = [millimetres / step for step in spacing]
    low, high = foreground_box(mask)
    margin = [int(np.ceil(4 * width)) + 1 for width in sigma]
    block = tuple(slice(max(0, first - far), end + far) for first, end, far in zip(low, high, margin, strict=True))
    blurred = ndimage.gaussian_filter(mask[block].astype(np.float32), sigma, mode="nearest") > 0.5
    if not blurred.any():
        return mask
    smooth_mask = np.zeros_like(mask)
    smooth_mask[block] = blurred
    return smooth_mask
