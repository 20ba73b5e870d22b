"""A whole prompt about one structure, from its mask."""

from collections.abc import Collection

import numpy as np

from ...errors import PromptError
from ..boxes import Point
from ..depth import deepest_voxel
from ..grid import Array, Grid, Triple
from ..prompts import Prompt, PromptKind
from .boxes import Unit, draw_box, jittered_box
from .masks import Mask, Rng, coarse_mask, require_mask
from .points import draw_points, sample_points
from .settings import PromptSettings
from .strokes import draw_lasso, draw_scribble

SIMULATED_KINDS = frozenset({PromptKind.TEXT, PromptKind.POINT, PromptKind.BOX, PromptKind.SCRIBBLE, PromptKind.LASSO})


def prompt_from_mask(
    mask: Array,
    grid: Grid,
    kinds: Collection[str],
    structure: str,
    rng: Rng,
    *,
    positive: int = 1,
    negative: int = 0,
    deepest: bool = False,
    jitter: float = 0.0,
    unit: Unit = "voxel",
    larger: float = 0.0,
) -> Prompt:
    """What a person might say about one structure.

    Args:
        mask: (X, Y, Z) boolean, on `grid`.
        kinds: some of SIMULATED_KINDS.
        structure: the text.
        positive, negative: numbers of points, where "point" is among the kinds.
        deepest: one point in the mask's deepest voxel, instead of points anywhere.
        jitter, unit, larger: how far each face of the box may move, and by what share it is enlarged first; see
            `jittered_box`.

    Raises:
        PromptError: the mask is empty, lies on another grid, or a kind is unknown.
    """
    unknown = sorted(set(kinds) - SIMULATED_KINDS)
    if unknown:
        raise PromptError(
            f"{', '.join(unknown)} cannot be made from a mask; known kinds are {', '.join(sorted(SIMULATED_KINDS))}."
        )
    require_mask(mask, grid)
    box = jittered_box(mask, grid, jitter, unit, rng, larger=larger) if PromptKind.BOX in kinds else None
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    if PromptKind.POINT in kinds and deepest:
        points, labels = (deepest_voxel(mask, grid.spacing),), (1,)
    elif PromptKind.POINT in kinds:
        points, labels = sample_points(mask, positive, negative, rng)
    scribbles = draw_scribble(mask, grid.spacing, rng) if PromptKind.SCRIBBLE in kinds else None
    lasso = draw_lasso(mask, grid.spacing, rng) if PromptKind.LASSO in kinds else None
    return Prompt(grid, structure if PromptKind.TEXT in kinds else None, points, labels, box, scribbles, lasso)


def draw_prompt(
    mask: Mask,
    kinds: Collection[PromptKind],
    structure: str,
    rng: Rng,
    settings: PromptSettings,
    *,
    outline: tuple[Triple, Triple] | None = None,
) -> Prompt:
    """What training asks about one structure of a view, with the errors that its settings allow.

    Args:
        mask: the view's; not empty.
        kinds: of prompt.
        structure: the text.
        rng: of the training step.
        settings: see PromptSettings.
        outline: first voxel and the one after the last of the box to begin with; None = the mask's own.

    Returns:
        A prompt on a grid of the view's own shape, in the view's axis order, one millimetre a voxel.
    """
    shown_mask = coarse_mask(mask, rng) if settings.coarse and rng.random() < settings.coarse else mask
    points, labels = draw_points(shown_mask, rng, settings) if PromptKind.POINT in kinds else ((), ())
    box = draw_box(_boxed(shown_mask, outline), rng, settings) if PromptKind.BOX in kinds else None
    depth, height, width = mask.shape
    grid = Grid((depth, height, width), np.eye(4))
    return Prompt(grid, structure if PromptKind.TEXT in kinds else None, points, labels, box)


def _boxed(mask: Mask, outline: tuple[Triple, Triple] | None) -> Mask:
    """A mask whose box is the outline; the mask itself without one."""
    if outline is None:
        return mask
    filled = np.zeros_like(mask)
    filled[tuple(slice(first, stop) for first, stop in zip(*outline, strict=True))] = True
    return filled
