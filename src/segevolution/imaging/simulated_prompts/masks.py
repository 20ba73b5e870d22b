"""The mask that prompts are simulated from: the true one, or an imperfect copy of it."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...errors import PromptError
from ..grid import Array, Grid

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]


def require_mask(mask: Array, grid: Grid | None = None) -> None:
    """Raise PromptError for an empty mask, or one of another shape than its grid."""
    if grid is not None and mask.shape != grid.shape:
        raise PromptError(f"the mask has shape {mask.shape}, its grid {grid.shape}; they must agree.")
    if not mask.any():
        raise PromptError("the mask is empty, so no prompt can be made from it.")


def coarse_mask(mask: Mask, rng: Rng) -> Mask:
    """The mask as a coarse answer has it: on a grid up to four times as coarse, with pieces gained and lost.

    It is the mask itself where nothing of it is left.
    """
    strides = rng.integers(1, 5, 3)
    first = tuple(int(rng.integers(stride)) for stride in strides)
    small = mask[tuple(slice(start, None, int(stride)) for start, stride in zip(first, strides, strict=True))]
    grow = rng.random()
    if grow < 0.4:
        small = ndimage.binary_dilation(small) & (ndimage.uniform_filter(rng.random(small.shape), 3) < 0.52) | small
    elif grow < 0.8:
        core = ndimage.binary_erosion(small, border_value=1)
        small = core | (small & (ndimage.uniform_filter(rng.random(small.shape), 3) < 0.52))
    rough = small
    for axis, stride in enumerate(strides):
        rough = rough.repeat(stride, axis)
    pads = [
        (start, max(0, side - start - long)) for start, side, long in zip(first, mask.shape, rough.shape, strict=True)
    ]
    rough = np.pad(rough, pads)[tuple(slice(side) for side in mask.shape)]
    return rough if rough.any() else mask
