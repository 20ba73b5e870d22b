"""The voxel that lies deepest in a mask: a point that surely belongs to it."""

import numpy as np
from scipy import ndimage
from torch import Tensor

from ..models.spec import Triple


def deepest(mask: Tensor) -> Triple | None:
    """(d, h, w) of the voxel of a mask (D, H, W) that is furthest from its outside; the first of equals, None if empty.

    What lies beyond the array counts as outside, but not along an axis of one voxel.
    """
    inside = mask.cpu().numpy()
    if not inside.any():
        return None
    margin = [int(side > 1) for side in inside.shape]
    depth = ndimage.distance_transform_edt(np.pad(inside, [(width, width) for width in margin]))
    d, h, w = (
        int(place) - width
        for place, width in zip(np.unravel_index(int(depth.argmax()), depth.shape), margin, strict=True)
    )
    return d, h, w
