"""Overlap of a predicted mask with the true one: every voxel counts the same, wherever it lies.

All functions take two arrays of one shape, any number of axes, of booleans or whole numbers; a voxel is foreground
where it is not zero. They are fractions in [0, 1], and nan where the question makes no sense: averages must leave such
cases out and say how many they were, since counting them as 1 rewards a model for structures that the scan does not
show.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from ..errors import VolumeError
from ..imaging.masks import Mask, as_mask

CUBIC_MM_PER_ML = 1000.0


def dice(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Dice similarity 2|P and T| / (|P| + |T|), twice the shared voxels over the sum of both (Dice 1945).

    Small structures are punished hardest: one voxel of error on the whole surface costs a liver .03, an adrenal
    gland .4.

    Returns:
        nan when both masks are empty, 0 when only one is.

    Raises:
        VolumeError: the masks have different shapes.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    return _share(2 * _count(predicted_mask & true_mask), _count(predicted_mask) + _count(true_mask))


def iou(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Intersection over union |P and T| / |P or T| (Jaccard 1901); it orders masks as Dice does: D / (2 - D).

    Returns:
        nan when both masks are empty, 0 when only one is.

    Raises:
        VolumeError: the masks have different shapes.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    return _share(_count(predicted_mask & true_mask), _count(predicted_mask | true_mask))


def sensitivity(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Recall |P and T| / |T|: how much of the structure was found; an answer of everything scores 1.

    Returns:
        nan when the true mask is empty: there was nothing to find.

    Raises:
        VolumeError: the masks have different shapes.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    return _share(_count(predicted_mask & true_mask), _count(true_mask))


def precision(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Positive predictive value |P and T| / |P|: how much of the answer is right.

    Returns:
        nan when the predicted mask is empty: nothing was claimed.

    Raises:
        VolumeError: the masks have different shapes.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    return _share(_count(predicted_mask & true_mask), _count(predicted_mask))


def volume_difference(predicted: ArrayLike, truth: ArrayLike, spacing: tuple[float, ...]) -> float:
    """Predicted minus true volume in millilitres: positive when the answer is too large.

    It says nothing of where: two masks that never touch can differ by zero.

    Args:
        spacing: millimetres between voxel centres, one number an axis, in the arrays' own axis order.

    Raises:
        VolumeError: the masks have different shapes, or the spacing does not fit them.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    voxel = math.prod(check_spacing(spacing, true_mask.ndim))
    return (_count(predicted_mask) - _count(true_mask)) * voxel / CUBIC_MM_PER_ML


def volume_error(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Relative volume error ||P| - |T|| / |T|: 0 is the right volume, 1 an empty answer or one of twice the volume.

    As `volume_difference`, it says nothing of where.

    Returns:
        nan when the true mask is empty.

    Raises:
        VolumeError: the masks have different shapes.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    return _share(abs(_count(predicted_mask) - _count(true_mask)), _count(true_mask))


def as_masks(predicted: ArrayLike, truth: ArrayLike) -> tuple[Mask, Mask]:
    """Both as boolean arrays; raises VolumeError when their shapes differ, or one is no mask, see `as_mask`."""
    predicted_mask, true_mask = as_mask(predicted, "predicted mask"), as_mask(truth, "true mask")
    if predicted_mask.shape != true_mask.shape:
        raise VolumeError(
            f"the predicted mask has the shape {predicted_mask.shape} and the true one {true_mask.shape}; "
            "put both on the same grid first."
        )
    return predicted_mask, true_mask


def check_spacing(spacing: tuple[float, ...], axes: int) -> tuple[float, ...]:
    """The spacing as floats; raises VolumeError unless it is one positive number an axis."""
    try:
        values = tuple(float(step) for step in spacing)
    except (TypeError, ValueError):
        raise VolumeError(f"a spacing is one positive number an axis of the mask, not {spacing!r}.") from None
    if len(values) != axes or not all(math.isfinite(step) and step > 0 for step in values):
        raise VolumeError(f"the spacing {values} does not fit a mask of {axes} axes; give one positive number an axis.")
    return values


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
