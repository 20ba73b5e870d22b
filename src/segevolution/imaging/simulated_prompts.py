"""Prompts made from a mask, in place of a person: tight and jittered boxes, points inside and outside.

SegVol's rules (Du et al. 2024), made deterministic by a numpy Generator; both corners of a jittered box are kept
inside the image, and it is never inverted. The published code lets corners cross and leave the image by one voxel.
"""

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import PromptError
from .framing import foreground_box
from .grid import Array, Grid
from .prompts import Box, Point, Prompt

Unit = Literal["voxel", "mm"]

_KINDS = frozenset({"text", "point", "box"})


def prompt_from_mask(
    mask: Array,
    grid: Grid,
    kinds: Collection[str],
    structure: str,
    rng: np.random.Generator,
    *,
    positive: int = 1,
    negative: int = 0,
    jitter: float = 0.0,
    unit: Unit = "voxel",
) -> Prompt:
    """What a person might say about one structure.

    Args:
        mask: (X, Y, Z) boolean, on `grid`.
        kinds: any of "text", "point", "box".
        structure: the text.
        positive, negative: numbers of points, where "point" is among the kinds.
        jitter, unit: how far each face of the box may move; see `jittered_box`.

    Raises:
        PromptError: the mask is empty, lies on another grid, or a kind is unknown.
    """
    unknown = sorted(set(kinds) - _KINDS)
    if unknown:
        raise PromptError(
            f"{', '.join(unknown)} cannot be made from a mask; known kinds are {', '.join(sorted(_KINDS))}."
        )
    _require(mask, grid)
    box = jittered_box(mask, grid, jitter, unit, rng) if "box" in kinds else None
    points, labels = sample_points(mask, positive, negative, rng) if "point" in kinds else ((), ())
    return Prompt(grid, structure if "text" in kinds else None, points, labels, box)


def tight_box(mask: Array) -> Box:
    """The smallest box round a mask (X, Y, Z), both corners included; raises PromptError for an empty mask."""
    if not mask.any():
        raise PromptError("the mask is empty, so no prompt can be made from it.")
    (x0, y0, z0), (x1, y1, z1) = foreground_box(mask)
    return Box((float(x0), float(y0), float(z0)), (float(x1 - 1), float(y1 - 1), float(z1 - 1)))


def jittered_box(mask: Array, grid: Grid, amount: float, unit: Unit, rng: np.random.Generator) -> Box:
    """The tight box with each of its six numbers moved by whole voxels, uniformly within +-`amount`.

    In voxels the bound is the same on every axis; in millimetres it is the same distance on every axis, so thick
    slices move by fewer voxels, or by none. Corners stay inside the image, and corners that would cross change places.

    Raises:
        PromptError: the mask is empty or lies on another grid, or `amount` is negative.
    """
    if not amount >= 0:
        raise PromptError(f"a box cannot be jittered by {amount} {unit}; the amount must be zero or more.")
    _require(mask, grid)
    tight = tight_box(mask)
    last = np.asarray(grid.shape) - 1
    reach = np.floor(np.full(3, amount) if unit == "voxel" else amount / np.asarray(grid.spacing))
    moves = rng.integers(-reach, reach, (2, 3), endpoint=True)
    corners = np.clip(np.array([tight.low, tight.high]) + moves, 0, last)
    return Box(_triple(corners.min(axis=0)), _triple(corners.max(axis=0)))


def sample_points(
    mask: Array, positive: int, negative: int, rng: np.random.Generator
) -> tuple[tuple[Point, ...], tuple[int, ...]]:
    """Distinct voxels inside the mask, then outside it; fewer where there are not that many.

    Returns:
        Voxel indices (x, y, z), and their labels: 1 inside, 0 outside.

    Raises:
        PromptError: the mask is empty.
    """
    inside = np.flatnonzero(mask)
    if inside.size == 0:
        raise PromptError("the mask is empty, so no prompt can be made from it.")
    drawn = rng.choice(inside, min(positive, inside.size), replace=False)
    outside = _outside(mask, min(negative, mask.size - inside.size), rng)
    where = np.stack(np.unravel_index(np.concatenate([drawn, outside]), mask.shape), axis=-1)
    return tuple(_triple(row) for row in where), (1,) * len(drawn) + (0,) * len(outside)


def _outside(mask: Array, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Flat indices of `count` distinct background voxels, without listing a whole volume of them."""
    found = np.empty(0, np.int64)
    for _ in range(20):
        if found.size >= count:
            return found[:count]
        drawn = rng.integers(0, mask.size, 2 * count + 8)
        fresh = np.concatenate([found, drawn[~mask[np.unravel_index(drawn, mask.shape)].astype(bool)]])
        _, first = np.unique(fresh, return_index=True)
        found = fresh[np.sort(first)]
    return rng.choice(np.flatnonzero(~mask.astype(bool)), count, replace=False)


def _require(mask: Array, grid: Grid) -> None:
    if mask.shape != grid.shape:
        raise PromptError(f"the mask has shape {mask.shape}, its grid {grid.shape}; they must agree.")
    if not mask.any():
        raise PromptError("the mask is empty, so no prompt can be made from it.")


def _triple(values: Array) -> Point:
    return float(values[0]), float(values[1]), float(values[2])
