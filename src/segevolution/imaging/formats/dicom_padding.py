"""Pixels that DICOM says hold no signal: Pixel Padding Value and Range Limit (0028,0120 and 0121; PS3.3 C.7.5.1.1.2).

A CT scanner fills the corners outside its round field of view with them. Rescaled like signal they become air far
below air, or metal far above bone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..grid import Array

Range = tuple[int, int]


def padding_range(data: Any, dtype: np.dtype[Any]) -> Range | None:
    """Lowest and highest stored value that means padding; None where the data set names none.

    Args:
        data: holds the two elements. Writers disagree whether they are signed, so both are read modulo the pixels'
            own type.
        dtype: of the stored pixels.
    """
    value = data.get("PixelPaddingValue", None)
    if value is None or value == "" or dtype.kind not in "iu":
        return None
    limit = data.get("PixelPaddingRangeLimit", None)
    ends = [int(np.array(int(number)).astype(dtype)) for number in (value, value if limit in (None, "") else limit)]
    return min(ends), max(ends)


def without_padding(signal: Array, stored: Array, ranges: Sequence[Range | None]) -> tuple[Array, int]:
    """Signal with padding set to the lowest real signal, and how many voxels that changed.

    Padding that lies among real signal (0 in many an MR series) is left: it does no harm, and may be signal.

    Args:
        signal: (columns, rows, slices), rescaled.
        stored: the same before rescaling.
        ranges: of each slice.
    """
    if not any(ranges):
        return signal, 0
    padding = np.zeros(stored.shape, np.bool_)
    for number, bounds in enumerate(ranges):
        if bounds is not None:
            padding[..., number] = (stored[..., number] >= bounds[0]) & (stored[..., number] <= bounds[1])
    if not padding.any() or padding.all():
        return signal, 0
    low, high = signal[~padding].min(), signal[~padding].max()
    padding &= (signal < low) | (signal > high)
    changed = int(padding.sum())
    return (np.where(padding, low, signal) if changed else signal), changed
