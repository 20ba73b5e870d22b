"""The piece of surface at every corner where voxels meet: its area, from how those voxels are filled.

Marching cubes (Lorensen and Cline 1987): the centres of the 2 x 2 x 2 voxels round a corner span a cell; the surface
cuts the edges between a filled and an empty one in the middle, and the polygons through those cuts are its piece.
In two dimensions they are lines. Pieces lie between the voxel centres, so a box comes out with bevelled edges.
"""

import functools
import itertools
import math

import numpy as np
from numpy.typing import NDArray

Corner = tuple[int, ...]
Point = tuple[float, ...]
Numbers = NDArray[np.float64]


def element_areas(mask: NDArray[np.bool_], spacing: tuple[float, ...]) -> Numbers:
    """Areas of the pieces of surface of a mask.

    Args:
        mask: two or three axes, with a rim of background.
        spacing: millimetres, one number an axis.

    Returns:
        One number for each corner between voxels, so one shorter along each axis: square mm (mm in two dimensions),
        and 0 away from the surface.
    """
    code = np.zeros([side - 1 for side in mask.shape], np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        shifted = mask[tuple(slice(c, c + side - 1) for c, side in zip(corner, mask.shape, strict=True))]
        code |= shifted.astype(np.uint8) << bit
    faces = [math.prod(spacing) / step for step in spacing]  # across each axis
    areas = np.linalg.norm(_normals(mask.ndim) * faces, axis=-1).sum(axis=-1)
    corner_areas: Numbers = areas[code]
    return corner_areas


def _corners(axes: int) -> list[Corner]:
    return list(itertools.product((0, 1), repeat=axes))


@functools.cache
def _normals(axes: int) -> Numbers:
    """(codes, pieces, axes): at spacing 1, the normal of each flat piece, as long as its area; 0 where there is none.

    A normal's part along an axis is the area seen along it, so it scales with the face across that axis.
    """
    corners = _corners(axes)
    pieces = []
    for code in range(2 ** len(corners)):
        filled = {corner for bit, corner in enumerate(corners) if code >> bit & 1}
        pieces.append(_lines(filled) if axes == 2 else _triangles(filled))
    table = np.zeros((len(pieces), max(map(len, pieces)), axes))
    for code, normals in enumerate(pieces):
        table[code, : len(normals)] = np.reshape(normals, (-1, axes))
    return table


def _lines(filled: set[Corner]) -> list[Numbers]:
    """Normals of the lines in a cell of four voxels."""
    square: list[Corner] = [(0, 0), (0, 1), (1, 1), (1, 0)]
    return [np.array([b[1] - a[1], a[0] - b[0]]) for a, b in map(np.array, _cuts(square, filled))]


def _triangles(filled: set[Corner]) -> list[Numbers]:
    """Normals of the triangles in a cell of eight voxels: its polygons, cut into fans."""
    cuts: list[tuple[Point, Point]] = []
    for axis, side in itertools.product(range(3), (0, 1)):
        face = [(*corner[:axis], side, *corner[axis:]) for corner in ((0, 0), (0, 1), (1, 1), (1, 0))]
        cuts += _cuts(face, filled)
    normals = []
    while cuts:
        polygon = list(cuts.pop())
        while polygon[0] != polygon[-1]:
            following = next(cut for cut in cuts if polygon[-1] in cut)
            cuts.remove(following)
            polygon.append(following[1] if following[0] == polygon[-1] else following[0])
        first, *rest = (np.array(point) for point in polygon[:-1])
        normals += [np.cross(b - first, c - first) / 2 for b, c in itertools.pairwise(rest)]
    return normals


def _cuts(face: list[Corner], filled: set[Corner]) -> list[tuple[Point, Point]]:
    """Where the surface runs through a face of four voxels, given in a circle: pairs of middles of edges.

    Two filled voxels that touch by an edge only are kept apart, in this cell as in its neighbour.
    """
    middles = [tuple((a + b) / 2 for a, b in zip(face[i], face[(i + 1) % 4], strict=True)) for i in range(4)]
    crossed = [i for i in range(4) if (face[i] in filled) != (face[(i + 1) % 4] in filled)]
    if len(crossed) == 4:
        return [(middles[i - 1], middles[i]) for i in range(4) if face[i] in filled]
    return [(middles[crossed[0]], middles[crossed[1]])] if crossed else []
