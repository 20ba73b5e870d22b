"""Measure how deep voxels lie in a mask, in millimetres."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..errors import PromptError
from .boxes import Point
from .framing import foreground_box
from .grid import Array, Floats, Triple


def depth_inside(mask: Array, spacing: Sequence[float]) -> tuple[Floats, Triple]:
    """Depth of each voxel of the tight box round a mask, and that box's first voxel.

    Depth is the distance in millimetres to the nearest voxel centre outside the mask, 0 outside it; what lies beyond
    the array is outside. An axis along which the mask is one voxel thick does not count, so that a flat region is
    deepest in its middle.

    Raises:
        PromptError: the mask is empty.
    """
    if not mask.any():
        raise PromptError("the mask is empty, so no prompt can be made from it.")
    low, high = foreground_box(mask)
    inside = mask[tuple(slice(*span) for span in zip(low, high, strict=True))].astype(bool)
    flat = inside.size == 1
    margins = [(0, 0) if side == 1 and not flat else (1, 1) for side in inside.shape]
    depth = ndimage.distance_transform_edt(np.pad(inside, margins), sampling=tuple(spacing))
    return depth[tuple(slice(first, first + side) for (first, _), side in zip(margins, inside.shape, strict=True))], low


def deepest_voxel(mask: Array, spacing: Sequence[float]) -> Point:
    """The voxel of a mask furthest from everything outside it; of equals, the first in C order.

    Raises:
        PromptError: the mask is empty.
    """
    depth, low = depth_inside(mask, spacing)
    place = np.unravel_index(int(depth.argmax()), depth.shape)
    x, y, z = (float(first + index) for first, index in zip(low, place, strict=True))
    return x, y, z
