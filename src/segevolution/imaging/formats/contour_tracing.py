"""From a mask to closed contours, in one plane of a grid; the way back from `contour_filling`, voxel by voxel.

Contours run half-way between voxel centres inside and outside (marching squares), so that no centre lies on one. A hole
is joined to the contour round it by a channel without width, the "keyhole" of DICOM PS3.3 C.8.8.6.3, which programs
that know no holes understand as well.
"""

import itertools
from collections.abc import Sequence

import numpy as np
from contourpy import FillType, contour_generator
from scipy.spatial import KDTree

from ..framing import foreground_box
from ..grid import Array, Floats


def outline(mask: Array) -> list[Floats]:
    """The closed contours (n, 2) of a mask (X, Y), in voxel positions; the last point is not the first again."""
    if not mask.any():
        return []
    low, high = foreground_box(mask[..., np.newaxis])
    framed = np.pad(mask[low[0] : high[0], low[1] : high[1]], 1).astype(np.float64)
    generator = contour_generator(z=framed.T, fill_type=FillType.OuterOffset)
    rings = []
    for points, offsets in zip(*generator.filled(0.5, np.inf), strict=True):
        outer, *holes = (points[start : end - 1] for start, end in itertools.pairwise(offsets.tolist()))
        rings.append(_with_keyholes(_straightened(outer), [_straightened(hole) for hole in holes]))
    return [ring + (np.asarray(low[:2]) - 1) for ring in rings]


def _straightened(ring: Floats) -> Floats:
    """The same ring without points on a straight line between their neighbours."""
    into, out = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    return np.asarray(ring[into[:, 0] * out[:, 1] != into[:, 1] * out[:, 0]])


def _with_keyholes(ring: Floats, holes: Sequence[Floats]) -> Floats:
    """A ring that goes to each hole where the two are nearest, round it, and back by the same way."""
    tree = KDTree(ring)
    visits: dict[int, list[Floats]] = {}
    for hole in holes:
        distances, corners = map(np.asarray, tree.query(hole))
        there = int(distances.argmin())
        here = int(corners[there])
        visits.setdefault(here, []).extend([hole[there:], hole[: there + 1], ring[here : here + 1]])
    pieces: list[Floats] = []
    last = 0
    for here, visit in sorted(visits.items()):
        pieces += [ring[last : here + 1], *visit]
        last = here + 1
    return np.concatenate([*pieces, ring[last:]])
