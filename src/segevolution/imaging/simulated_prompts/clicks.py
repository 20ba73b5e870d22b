"""Clicks in turn: where a person would click next who sees an answer and knows the truth.

The rule of interactive evaluations (Sofiiuk et al. 2021, arXiv:2102.06583; Kirillov et al. 2023, arXiv:2304.02643;
Isensee et al. 2025, arXiv:2503.08373): the next click lies in the deepest voxel of the largest wrong component. It is
positive where something is missing and negative where something is too much. Nothing is drawn by chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...errors import PromptError
from ..boxes import Point
from ..depth import deepest_voxel
from ..framing import foreground_box
from ..grid import Array
from .masks import Mask


@dataclass(frozen=True)
class Click:
    """A point that corrects an answer.

    Attributes:
        point: voxel indices in the mask's axis order.
        positive: whether it lies on the structure.
    """

    point: Point
    positive: bool


def next_click(answer: Array, truth: Array, spacing: Sequence[float]) -> Click | None:
    """The click that corrects the largest error of an answer; None where answer and truth agree.

    Components are of voxels that share a face, and the largest has the most voxels; of equals, what is missing
    comes first, then the one that begins first in the array.

    Args:
        answer, truth: of one shape, true inside the structure.
        spacing: millimetres of a voxel along each axis of the arrays, for depth.

    Raises:
        PromptError: the shapes differ.
    """
    if answer.shape != truth.shape:
        raise PromptError(f"the answer has shape {answer.shape}, the truth {truth.shape}; they must agree.")
    answer, truth = answer.astype(bool, copy=False), truth.astype(bool, copy=False)
    errors = [_largest(truth & ~answer), _largest(answer & ~truth)]
    sizes = [0 if error is None else int(error.sum()) for error in errors]
    error_region = errors[0] if sizes[0] >= sizes[1] else errors[1]
    if error_region is None:
        return None
    return Click(deepest_voxel(error_region, spacing), positive=sizes[0] >= sizes[1])


def _largest(error: Mask) -> Mask | None:
    """The largest component of a mask, as a mask of the same shape; None for an empty one."""
    if not error.any():
        return None
    low, high = foreground_box(error)
    block = tuple(slice(*span) for span in zip(low, high, strict=True))
    labels, count = ndimage.label(error[block])
    if count == 1:
        return error
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    largest = np.zeros_like(error)
    largest[block] = labels == int(sizes.argmax())
    return largest
