"""Where an answer goes against what it was asked by: a click that it leaves out, a box that it leaves.

A network weighs a prompt against what it sees and may set it aside; a person who clicked should be told so.
"""

from collections.abc import Iterator

from ..imaging.boxes import Box, Point
from ..imaging.prompts import Prompt
from .segmentation import Mask

_NEAR = 1
"""Voxels: a click so near to the mask is on it, since both are drawn by hand."""
_MOST_MISSED = 0.5
"""Share of positive clicks that an answer may leave out, and share of it that may lie outside its box."""
_LEAST_DRAWN = 0.5
"""Share of what was drawn on a structure that has to lie on it."""


def against_prompt(mask: Mask, prompt: Prompt) -> tuple[str, ...]:
    """What of its own prompt an answer does not keep to, a clause each, without name and full stop; empty = nothing.

    Args:
        mask: (X, Y, Z) of the prompt's grid, not empty.
        prompt: what was asked.
    """
    return tuple(_clauses(mask, prompt))


def _clauses(mask: Mask, prompt: Prompt) -> Iterator[str]:
    on = [point for point, label in zip(prompt.points, prompt.labels, strict=True) if label]
    off = [point for point, label in zip(prompt.points, prompt.labels, strict=True) if not label]
    missed = sum(not _holds(mask, point, _NEAR) for point in on)
    if missed and missed > _MOST_MISSED * len(on):
        yield f"{_of(missed, len(on), 'point that was', 'points that were')} set on it {_lie(missed)} off it"
    ignored = sum(_holds(mask, point, 0) for point in off)
    if ignored:
        yield f"{_of(ignored, len(off), 'point that was', 'points that were')} set off it {_lie(ignored)} on it"
    if prompt.box is not None:
        outside = _share_outside(mask, prompt.box)
        if outside > _MOST_MISSED:
            yield f"{outside:.0%} of it lies outside its box"
    if prompt.scribbles is not None:
        drawn = prompt.scribbles.voxels[prompt.scribbles.labels == 1]
        covered = float(mask[tuple(drawn.T)].mean()) if len(drawn) else 1.0
        if covered < _LEAST_DRAWN:
            yield f"only {covered:.0%} of what was scribbled on it lies on it"


def _of(count: int, total: int, one: str, several: str) -> str:
    if total == 1:
        return f"the {one}"
    return f"{count} of the {total} {several}" if count < total else f"all {total} {several}"


def _lie(count: int) -> str:
    return "lies" if count == 1 else "lie"


def _holds(mask: Mask, place: Point, near: int) -> bool:
    """Whether the mask has a voxel at a place (x, y, z), or within so many voxels of it."""
    voxel = map(round, place)
    return bool(mask[tuple(slice(max(0, index - near), index + near + 1) for index in voxel)].any())


def _share_outside(mask: Mask, box: Box) -> float:
    """Share of a mask outside a box that is a voxel larger on each side."""
    block = tuple(slice(max(0, first - _NEAR), last + 1 + _NEAR) for first, last in zip(*box.voxels, strict=True))
    return float(1 - mask[block].sum() / mask.sum())
