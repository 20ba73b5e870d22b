"""What an array says as a mask: the one rule for every door that takes a mask of an array."""

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError

Mask = npt.NDArray[np.bool_]

ROUNDING = 1e-3
"""How far a whole number may be off, in parts of itself: a slope in a file's header turns 1 into 1.0000153."""


def as_mask(values: npt.ArrayLike, name: str = "mask") -> Mask:
    """The voxels that are not 0, as booleans; booleans are handed on as they are.

    Args:
        values: booleans or whole numbers, any shape.
        name: of the mask, for messages.

    Raises:
        VolumeError: it is no array of numbers, or holds NaN, infinity or fractions, which are neither inside nor
            outside.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: of a tensor that requires grad
        raise VolumeError(f"the {name} is no array of booleans or numbers: {str(error).rstrip('.')}.") from error
    if array.dtype.kind not in "biuf":
        raise VolumeError(f"the {name} holds {array.dtype}; a mask holds numbers or booleans.")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise VolumeError(f"the {name} holds NaN or infinity, which are neither inside nor outside.")
        if not whole_numbers(array):
            raise VolumeError(f"the {name} holds fractions; a mask holds whole numbers, so compare with a threshold.")
        array = np.rint(array)
    return np.asarray(array != 0)


def whole_numbers(array: npt.NDArray[np.floating]) -> bool:
    """Whether all numbers are whole, but for noise of rounding."""
    whole = np.rint(array)
    return not bool((np.abs(array - whole) > ROUNDING * np.maximum(1, np.abs(whole))).any())
