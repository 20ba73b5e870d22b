"""Boxes round a mask: tight, enlarged or shrunk, and with faces moved as an imprecise hand moves them."""

from typing import Literal

import numpy as np

from ...errors import PromptError
from ..boxes import Box, Point
from ..framing import foreground_box
from ..grid import Array, Grid
from .masks import Mask, Rng, require_mask
from .settings import PromptSettings

Unit = Literal["voxel", "mm"]


def tight_box(mask: Array) -> Box:
    """The smallest box round a mask (X, Y, Z), both corners included; raises PromptError for an empty mask."""
    require_mask(mask)
    (x0, y0, z0), (x1, y1, z1) = foreground_box(mask)
    return Box((float(x0), float(y0), float(z0)), (float(x1 - 1), float(y1 - 1), float(z1 - 1)))


def jittered_box(mask: Array, grid: Grid, amount: float, unit: Unit, rng: Rng, *, larger: float = 0.0) -> Box:
    """The tight box with each of its six numbers moved by whole voxels, uniformly within +-`amount`.

    In voxels the bound is the same on every axis; in millimetres it is the same distance on every axis, so thick
    slices move by fewer voxels, or by none. Corners stay inside the image, and corners that would cross change places.

    Args:
        mask: (X, Y, Z), on `grid`.
        amount, unit: the bound.
        larger: share of its sides by which the box is first enlarged, or shrunk if negative; see `resized_box`.

    Raises:
        PromptError: the mask is empty or lies on another grid, or `amount` is negative.
    """
    if not amount >= 0:
        raise PromptError(f"a box cannot be jittered by {amount} {unit}; the amount must be zero or more.")
    require_mask(mask, grid)
    box = resized_box(tight_box(mask), larger, mask.shape)
    last = np.asarray(grid.shape) - 1
    reach = np.floor(np.full(3, amount) if unit == "voxel" else amount / np.asarray(grid.spacing))
    moves = rng.integers(-reach, reach, (2, 3), endpoint=True)
    corners = np.clip(np.array([box.low, box.high]) + moves, 0, last)
    return Box(_corner(corners.min(axis=0)), _corner(corners.max(axis=0)))


def resized_box(box: Box, larger: float, shape: tuple[int, ...]) -> Box:
    """A box of whole voxels with every side enlarged by a share of itself, about its middle, inside the array.

    Each face moves by half of it, to the nearest voxel (halves outwards); a shrunk box keeps at least one voxel.

    Raises:
        PromptError: `larger` is -1 or less, so that nothing would be left.
    """
    if not -1 < larger < float("inf"):
        raise PromptError(f"a box cannot be enlarged by {larger:g} of its sides; give a number above -1.")
    if not larger:
        return box
    low, high = np.array(box.low), np.array(box.high)
    sides = high - low + 1
    move = np.floor(larger / 2 * sides + 0.5)
    move = np.maximum(move, -np.floor((sides - 1) / 2))
    last = np.asarray(shape) - 1
    return Box(_corner(np.clip(low - move, 0, last)), _corner(np.clip(high + move, 0, last)))


def draw_box(mask: Mask, rng: Rng, settings: PromptSettings) -> Box:
    """A box as training draws it: tight, or resized and every face moved; inside the array and never inverted."""
    start, stop = foreground_box(mask)
    box = np.array([*start, *(end - 1 for end in stop)], np.float64)
    if rng.random() >= settings.exact_boxes:
        sides = np.tile(box[3:] - box[:3] + 1, 2)
        if settings.box_larger or settings.box_smaller:
            change = rng.uniform(-settings.box_smaller, settings.box_larger)
            box = box + change / 2 * sides * np.repeat([-1, 1], 3)
        box = box + rng.normal(0, settings.box_jitter, 6) * sides
    low = np.clip(np.minimum(box[:3], box[3:]), 0, np.array(mask.shape) - 1)
    high = np.clip(np.maximum(box[:3], box[3:]), 0, np.array(mask.shape) - 1)
    return Box(_corner(low.round()), _corner(high.round()))


def _corner(values: Array) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
