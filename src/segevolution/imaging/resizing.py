"""Ways to resize a slice, by the names that a network's Spec gives them, and OpenCV's averaging over areas."""

from typing import Literal

import numpy as np
import numpy.typing as npt

Resizing = Literal["bilinear", "bicubic", "nearest", "area"]
"""How a slice is brought to a 2-D network's size: bilinear and bicubic average where they shrink, as Pillow does;
nearest takes the pixel at floor(i * n / m); area is OpenCV's INTER_AREA, see `area_taps`."""


def area_taps(length: int, wanted: int) -> npt.NDArray[np.float64]:
    """(wanted, length), what each pixel of the result takes of each pixel along one axis, as OpenCV's INTER_AREA.

    Shrinking takes the mean over the area that a pixel covers. Growing takes two neighbours with weights of its own:
    those of place d are floor(d s) and the next, the latter's share (d + 1) - (floor(d s) + 1) / s where that is above
    zero, else none, with s = length / wanted.
    """
    taps = np.zeros((wanted, length))
    step = length / wanted
    for place in range(wanted):
        if step >= 1:
            start, stop = place * step, min((place + 1) * step, length)
            first, last = int(np.floor(start)), int(np.ceil(stop - 1e-9))
            for source in range(first, last):
                taps[place, source] = min(stop, source + 1) - max(start, source)
            taps[place] /= taps[place].sum()
        else:
            first = int(np.floor(place * step))
            share = (place + 1) - (first + 1) / step
            share = 0.0 if share <= 0 else share - np.floor(share)
            taps[place, first] += 1 - share
            taps[place, min(first + 1, length - 1)] += share
    return taps
