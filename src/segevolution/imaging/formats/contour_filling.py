"""From closed contours to the voxels inside them, in one plane of a grid.

A voxel is inside where its centre is, by the even-odd rule over all contours of one structure in the plane: a contour
inside another is a hole, one inside that is full again, a keyhole's channel has no width. A centre that lies exactly on
a contour belongs to one side only, so that neighbours share no voxel and leave none out.
"""

from collections.abc import Sequence

import numpy as np

from ...memory import MemoryBudget
from ..grid import Floats
from .structure_set import Places

_BYTES_A_CROSSING = 64  # of an edge and a row of voxels


def voxels_inside(contours: Sequence[Floats], shape: tuple[int, int], memory: MemoryBudget, where: str) -> Places:
    """The voxels whose centres lie inside closed contours, by the even-odd rule.

    Args:
        contours: (n, 2) each, voxel positions along both axes of the plane; the last point is joined to the first.
        shape: of the plane.
        where: names the file, for the sentence.

    Returns:
        (m, 2) indices of the voxels.

    Raises:
        OversizeError: the contours are so long that they need more memory than may be used.
    """
    starts = np.concatenate(contours)
    ends = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours])
    # Only the part of the plane that the contours reach is looked at; x may begin before the plane, y not.
    corner = np.clip(np.ceil(starts.min(axis=0)), 0, shape).astype(np.int64)
    width, height = np.maximum(np.clip(np.floor(starts.max(axis=0)) + 1, 0, shape).astype(np.int64) - corner, 0)
    starts, ends = starts - corner, ends - corner
    low, high = np.minimum(starts[:, 1], ends[:, 1]), np.maximum(starts[:, 1], ends[:, 1])
    # Rows y with low <= y < high are crossed: a corner counts once, a level edge not at all.
    first = np.clip(np.ceil(low), 0, height).astype(np.int64)
    counts = np.maximum(np.clip(np.ceil(high), 0, height).astype(np.int64) - first, 0)
    memory.require(int(counts.sum()) * _BYTES_A_CROSSING + 16 * int(width * height), where)
    edges = np.repeat(np.arange(len(starts)), counts)
    rows = first[edges] + np.arange(len(edges)) - np.repeat(np.cumsum(counts) - counts, counts)
    (x0, y0), (x1, y1) = starts[edges].T, ends[edges].T
    crossings = x0 + (rows - y0) * (x1 - x0) / (y1 - y0)
    begins = np.clip(np.ceil(crossings), 0, width).astype(np.int64)  # the first voxel beyond the crossing
    changes = np.bincount(begins * height + rows, minlength=(width + 1) * height).reshape(width + 1, height)
    return np.asarray(np.argwhere(np.cumsum(changes[:width], axis=0) % 2 == 1) + corner)
