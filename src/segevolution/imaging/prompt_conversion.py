"""Convert a kind of prompt that a network does not accept to one it does, by a stated rule, or refuse it.

The rules stand in one table, `CONVERSIONS`. Each is said in the answer that it leads to.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from ..errors import PromptError
from .boxes import Box, Point, point
from .depth import deepest_voxel, depth_inside
from .masks import Mask
from .prompts import Prompt, PromptKind
from .regions import Region, Voxels

SPREAD = 8  # points, at most, that a scribble's voxels of one sign become


@dataclass(frozen=True)
class Conversion:
    """One rule.

    Attributes:
        kind: what is turned.
        into: what it becomes; a network must accept all of these.
        rule: the words of the answer's note.
        convert: prompt with that kind -> prompt with the new parts added; that kind is taken away afterwards.
    """

    kind: PromptKind
    into: frozenset[PromptKind]
    rule: str
    convert: Callable[[Prompt], Prompt]


def adapted(prompt: Prompt, accepts: Collection[PromptKind]) -> tuple[Prompt, tuple[str, ...]]:
    """The prompt in kinds that a network accepts, and a note for each kind that was turned into others.

    The first rule of `CONVERSIONS` counts for which the network accepts everything that it leads to. A box that a
    person gave is never replaced by one that is made here.

    Raises:
        PromptError: a kind that the network does not accept and that no rule turns into one that it does.
    """
    notes: list[str] = []
    for kind in (PromptKind.LASSO, PromptKind.MASK, PromptKind.SCRIBBLE, *PromptKind):
        if kind not in prompt.kinds or kind in accepts:
            continue
        conversion = next((each for each in CONVERSIONS if each.kind == kind and each.into <= set(accepts)), None)
        if conversion is None:
            raise PromptError(f"this model takes no {kind} prompt; it takes {', '.join(sorted(accepts))}.")
        converted = conversion.convert(prompt)
        prompt = converted.only(converted.kinds - {kind})
        notes.append(conversion.rule)
    return prompt, tuple(notes)


def spread(voxels: Voxels, spacing: tuple[float, float, float], count: int = SPREAD) -> list[Point]:
    """Voxels (N, 3) that lie evenly over all of them: the first, then each time the one furthest from those taken.

    The first is the voxel nearest to the middle of all; distances are in millimetres; of equals, the first in order.
    """
    places = voxels * np.asarray(spacing)
    chosen_indices = [int(np.linalg.norm(places - places.mean(axis=0), axis=1).argmin())]
    away = np.linalg.norm(places - places[chosen_indices[0]], axis=1)
    while len(chosen_indices) < min(count, len(places)):
        chosen_indices.append(int(away.argmax()))
        away = np.minimum(away, np.linalg.norm(places - places[chosen_indices[-1]], axis=1))
    return [point(voxels[row]) for row in chosen_indices]


def _with_points(prompt: Prompt, positive: list[Point], negative: list[Point]) -> Prompt:
    labels = (1,) * len(positive) + (0,) * len(negative)
    return replace(prompt, points=(*prompt.points, *positive, *negative), labels=(*prompt.labels, *labels))


def _with_box(prompt: Prompt, low: Voxels, high: Voxels) -> Prompt:
    """A box from first to last voxel, unless the prompt has one already."""
    return prompt if prompt.box is not None else replace(prompt, box=Box(point(low), point(high)))


def _scribbled_points(prompt: Prompt) -> Prompt:
    assert prompt.scribbles is not None
    positive, negative = (
        spread(voxels, prompt.grid.spacing) if len(voxels) else []
        for voxels in (prompt.scribbles.positive, prompt.scribbles.negative)
    )
    return _with_points(prompt, positive, negative)


def _lasso_points(prompt: Prompt) -> Prompt:
    assert prompt.lasso is not None
    positive, negative = (
        _interior(voxels, prompt.grid.spacing) if len(voxels) else []
        for voxels in (prompt.lasso.positive, prompt.lasso.negative)
    )
    return _with_points(prompt, positive, negative)


def _lasso_box_and_points(prompt: Prompt) -> Prompt:
    assert prompt.lasso is not None
    inside = prompt.lasso.positive
    solid = len(inside) > 0 and bool((inside.max(axis=0) > inside.min(axis=0)).all())
    return _lasso_points(_lasso_box(prompt) if solid else prompt)


def _lasso_box(prompt: Prompt) -> Prompt:
    assert prompt.lasso is not None
    inside = prompt.lasso.positive
    return prompt if not len(inside) else _with_box(prompt, inside.min(axis=0), inside.max(axis=0))


def _interior(voxels: Voxels, spacing: tuple[float, float, float]) -> list[Point]:
    """The deepest of some voxels (N, 3); where they are a flat region, others of its middle beside it."""
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    block = np.zeros(high - low + 1, bool)
    block[tuple((voxels - low).T)] = True
    depth, _ = depth_inside(block, spacing)
    deepest = point(np.asarray(np.unravel_index(int(depth.argmax()), depth.shape)) + low)
    if (high > low).all():
        return [deepest]
    middle = (np.argwhere(depth >= depth.max() / 2) + low).astype(np.int32)
    return list(dict.fromkeys([deepest, *spread(middle, spacing, SPREAD - 1)]))


def _mask_box(prompt: Prompt) -> Prompt:
    """The box of the mask and of everything else that is said to be on the structure."""
    voxels: list[Voxels] = [np.argwhere(_mask(prompt)).astype(np.int32)]
    voxels += [region.positive for region in (prompt.scribbles, prompt.lasso) if region is not None]
    places = [place for place, label in zip(prompt.points, prompt.labels, strict=True) if label]
    voxels += [Region.of(places).voxels] if places else []
    ends = np.concatenate([_ends(part) for part in voxels if len(part)])
    return _with_box(prompt, ends.min(axis=0), ends.max(axis=0))


def _ends(voxels: Voxels) -> Voxels:
    return np.stack([voxels.min(axis=0), voxels.max(axis=0)])


def _mask_point(prompt: Prompt) -> Prompt:
    return _with_points(prompt, [deepest_voxel(_mask(prompt), prompt.grid.spacing)], [])


def _mask(prompt: Prompt) -> Mask:
    assert prompt.mask is not None
    return prompt.mask.unpack()


def _box_centre(prompt: Prompt) -> Prompt:
    assert prompt.box is not None
    low, high = (np.asarray(corner) for corner in prompt.box.voxels)
    return _with_points(prompt, [point(np.clip((low + high) // 2, 0, np.asarray(prompt.grid.shape) - 1))], [])


_POINT, _BOX = frozenset({PromptKind.POINT}), frozenset({PromptKind.BOX})
CONVERSIONS: tuple[Conversion, ...] = (
    Conversion(
        PromptKind.SCRIBBLE,
        _POINT,
        f"this model takes no scribbles: each became up to {SPREAD} points, spread evenly over it",
        _scribbled_points,
    ),
    Conversion(
        PromptKind.LASSO,
        _BOX | _POINT,
        "this model takes no lasso: it became the box round it and the point deepest inside it, or, in one slice, "
        f"where a box would end the structure, up to {SPREAD} points inside it",
        _lasso_box_and_points,
    ),
    Conversion(
        PromptKind.LASSO,
        _POINT,
        f"this model takes no lasso: it became the point deepest inside it, or, in one slice, up to {SPREAD} points",
        _lasso_points,
    ),
    Conversion(PromptKind.LASSO, _BOX, "this model takes no lasso: it became the box round it", _lasso_box),
    Conversion(
        PromptKind.MASK,
        _BOX | _POINT,
        "this model takes no mask: it became the box round it and the point deepest inside it",
        lambda prompt: _mask_point(_mask_box(prompt)),
    ),
    Conversion(PromptKind.MASK, _POINT, "this model takes no mask: it became the point deepest inside it", _mask_point),
    Conversion(PromptKind.MASK, _BOX, "this model takes no mask: it became the box round it", _mask_box),
    Conversion(PromptKind.BOX, _POINT, "this model takes no box: it became the point in its middle", _box_centre),
)
