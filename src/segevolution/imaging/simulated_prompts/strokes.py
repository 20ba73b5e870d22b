"""Scribbles and lassos as a person draws them: in one slice, along a structure's middle or loosely round it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from ..depth import depth_inside
from ..grid import Array
from ..regions import Region
from .masks import Mask, Rng, require_mask

SHORTEST, LONGEST = 0.5, 1.0  # share of the way through a structure that a scribble covers
LOOSE = 0.25  # how far a lasso strays inwards, as a share of the depth of the slice's middle; outwards twice as far


def draw_scribble(mask: Array, spacing: Sequence[float], rng: Rng) -> Region:
    """A line along the middle of a structure in one slice.

    It runs through the largest part of the slice, from about one end to about the other, by the way on which depth
    stays greatest, and covers a drawn share of that way.

    Args:
        mask: (X, Y, Z), not empty; or another axis order.
        spacing: millimetres along its axes; slices are cut across the thickest (of equals the last).
        rng: draws the slice (by its area), where the line begins, and how long it is.

    Raises:
        PromptError: the mask is empty.
    """
    axis, number, plane = _slice(mask, spacing, rng)
    depth = _depth(plane, axis, spacing)
    start = _furthest(depth, int(rng.choice(np.flatnonzero(plane))))[0]
    end, before = _furthest(depth, start)
    way = [end]
    while way[-1] != start:
        way.append(int(before[way[-1]]))
    length = max(1, round(rng.uniform(SHORTEST, LONGEST) * len(way)))
    first = int(rng.integers(len(way) - length + 1))
    return Region.of(_placed(np.array(way[first : first + length]), plane.shape, axis, number))


def draw_lasso(mask: Array, spacing: Sequence[float], rng: Rng) -> Region:
    """What lies inside a loose line round a structure in one slice.

    The line is the border of the largest part of the slice, strayed from by a smooth random distance, from LOOSE of the
    part's own depth inwards to twice that outwards, as people rather draw round a thing. What it holds has no holes.

    Args:
        mask, spacing, rng: as of `draw_scribble`.

    Raises:
        PromptError: the mask is empty.
    """
    axis, number, plane = _slice(mask, spacing, rng)
    steps = [step for place, step in enumerate(spacing) if place != axis]
    inside = ndimage.distance_transform_edt(np.pad(plane, 1), sampling=steps)[1:-1, 1:-1]
    outside = ndimage.distance_transform_edt(~plane, sampling=steps)
    reach = float(inside.max())
    smooth = ndimage.gaussian_filter(rng.standard_normal(plane.shape), [max(1.0, reach / step) for step in steps])
    random = np.clip(smooth / max(float(smooth.std()), 1e-12), -1.5, 1.5)
    stray = LOOSE * max(reach, 3 * max(steps)) * (0.5 + random)
    loose = ndimage.binary_fill_holes(inside - outside + stray > 0)
    middle = int(inside.argmax())
    loose.flat[middle] = True
    parts, _ = ndimage.label(loose)
    return Region.of(_placed(np.flatnonzero(parts == parts.flat[middle]), plane.shape, axis, number))


def _slice(mask: Array, spacing: Sequence[float], rng: Rng) -> tuple[int, int, Mask]:
    """An axis, the number of a slice across it, drawn by its area, and the largest part of the mask there."""
    require_mask(mask)
    axis = max(range(3), key=lambda place: (round(spacing[place], 3), place))
    areas = mask.astype(bool).sum(axis=tuple(place for place in range(3) if place != axis))
    number = int(rng.choice(len(areas), p=areas / areas.sum()))
    parts, count = ndimage.label(mask.astype(bool).take(number, axis), np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    sizes[0] = 0
    return axis, number, parts == int(sizes.argmax())


def _depth(plane: Mask, axis: int, spacing: Sequence[float]) -> npt.NDArray[np.float64]:
    """(rows, columns): millimetres to the outside of a part of a slice, 0 beyond it."""
    inner, low = depth_inside(np.expand_dims(plane, axis), spacing)
    flat = np.squeeze(inner, axis)
    row, column = (first for place, first in enumerate(low) if place != axis)
    depth = np.zeros(plane.shape)
    depth[row : row + flat.shape[0], column : column + flat.shape[1]] = flat
    return depth


def _furthest(depth: npt.NDArray[np.float64], start: int) -> tuple[int, npt.NDArray[np.int32]]:
    """The pixel furthest from another where deep pixels are easy to cross, and each pixel's forerunner on the way."""
    inside, numbers = np.flatnonzero(depth), np.arange(depth.size).reshape(depth.shape)
    pairs, costs = [], []
    for rows, columns in ((0, 1), (1, 0), (1, 1), (1, -1)):
        starts = numbers[: depth.shape[0] - rows, max(0, -columns) : depth.shape[1] - max(0, columns)].ravel()
        ends = numbers[rows:, max(0, columns) : depth.shape[1] - max(0, -columns)].ravel()
        both_inside = (depth.flat[starts] > 0) & (depth.flat[ends] > 0)
        pairs.append(np.stack([starts[both_inside], ends[both_inside]]))
        costs.append(
            np.hypot(rows, columns) * (1 / depth.flat[starts[both_inside]] + 1 / depth.flat[ends[both_inside]]) ** 2
        )
    (one, other), cost = np.concatenate(pairs, axis=1), np.concatenate(costs)
    graph = coo_array((cost, (one, other)), shape=(depth.size, depth.size)).tocsr()
    distances, before = dijkstra(graph, directed=False, indices=np.array([start]), return_predecessors=True)
    reached = np.where(np.isfinite(distances[0, inside]), distances[0, inside], -1)
    return int(inside[reached.argmax()]), before[0]


def _placed(flat: npt.NDArray[np.int64], shape: tuple[int, ...], axis: int, number: int) -> npt.NDArray[np.int64]:
    """Pixels of a slice -> voxels (N, 3)."""
    rows, columns = np.unravel_index(flat, shape)
    return np.insert(np.stack([rows, columns], axis=1), axis, number, axis=1)
