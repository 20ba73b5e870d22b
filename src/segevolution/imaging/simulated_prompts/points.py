"""Points: distinct voxels inside a mask and outside it, evenly, near the border, few or many."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..boxes import Point
from ..framing import foreground_box
from ..grid import Array
from .masks import Mask, Rng, require_mask
from .settings import PromptSettings

Points = tuple[tuple[Point, ...], tuple[int, ...]]

_BORDER = 2  # voxels to either side that count as near a structure's border


def sample_points(mask: Array, positive: int, negative: int, rng: Rng) -> Points:
    """Distinct voxels inside the mask, then outside it; fewer where there are not that many.

    Returns:
        Voxel indices in the mask's axis order, and their labels: 1 inside, 0 outside.

    Raises:
        PromptError: the mask is empty.
    """
    require_mask(mask)
    inside = np.flatnonzero(mask)
    voxel_numbers = rng.choice(inside, min(positive, inside.size), replace=False)
    outside = _outside(mask, min(negative, mask.size - inside.size), rng)
    labels = (1,) * len(voxel_numbers) + (0,) * len(outside)
    return places(np.concatenate([voxel_numbers, outside]), mask.shape), labels


def draw_points(mask: Mask, rng: Rng, settings: PromptSettings) -> Points:
    """Points as training draws them: 1 to `positive` voxels of the mask, 0 to `negative` near it but outside.

    The first is a positive one and right; see PromptSettings for how the others may differ from these.
    """
    fewest, most, others = _numbers(rng, settings)
    low, high = foreground_box(mask)
    around = tuple(_grown(*span) for span in zip(low, high, mask.shape, strict=True))
    near_mask = np.zeros_like(mask)
    near_mask[around] = True
    allowed = mask
    if settings.border and rng.random() < settings.border:
        cropped_mask = mask[around]
        allowed, near_mask = np.zeros_like(mask), np.zeros_like(mask)
        allowed[around] = cropped_mask & ~ndimage.binary_erosion(cropped_mask, iterations=_BORDER)
        near_mask[around] = ndimage.binary_dilation(cropped_mask, iterations=_BORDER)
    inside = np.flatnonzero(allowed)
    inside_numbers = rng.choice(inside, min(int(rng.integers(fewest, most + 1)), inside.size), replace=False)
    negative_count = int(rng.integers(others[0], others[1] + 1))
    outside = np.flatnonzero(near_mask & ~mask)
    off = rng.choice(outside, min(negative_count, outside.size), replace=False) if outside.size else outside
    labels = [1] * inside_numbers.size + [0] * off.size
    if settings.wrong:
        wrong = rng.random(len(labels)) < settings.wrong
        wrong[0] = False
        labels = [1 - label if swap else label for label, swap in zip(labels, wrong, strict=True)]
    return places(np.concatenate([inside_numbers, off]), mask.shape), tuple(labels)


def places(flat: npt.NDArray[np.int64], shape: tuple[int, ...]) -> tuple[Point, ...]:
    """Flat indices in C order -> voxel indices."""
    rows = np.stack(np.unravel_index(flat, shape), axis=-1)
    return tuple((float(row[0]), float(row[1]), float(row[2])) for row in rows)


def _outside(mask: Array, count: int, rng: Rng) -> npt.NDArray[np.int64]:
    """Flat indices of `count` distinct background voxels, without listing a whole volume of them."""
    outside_numbers = np.empty(0, np.int64)
    for _ in range(20):
        if outside_numbers.size >= count:
            return outside_numbers[:count]
        candidates = rng.integers(0, mask.size, 2 * count + 8)
        fresh = np.concatenate(
            [outside_numbers, candidates[~mask[np.unravel_index(candidates, mask.shape)].astype(bool)]]
        )
        _, first = np.unique(fresh, return_index=True)
        outside_numbers = fresh[np.sort(first)]
    return rng.choice(np.flatnonzero(~mask.astype(bool)), count, replace=False)


def _numbers(rng: Rng, settings: PromptSettings) -> tuple[int, int, tuple[int, int]]:
    """Fewest and most positive points of a prompt, and the same for negative ones."""
    if settings.few or settings.many:
        draw = rng.random()
        if draw < settings.few:
            return 1, 1, (0, 0)
        if draw < settings.few + settings.many:
            positive, negative = (min(number, settings.crowd) for number in (settings.positive, settings.negative))
            return positive, settings.crowd, (negative, settings.crowd)
    return 1, settings.positive, (0, settings.negative)


def _grown(start: int, stop: int, side: int) -> slice:
    """A range half as long again on either side, inside the axis."""
    margin = max(2, (stop - start) // 2)
    return slice(max(0, start - margin), min(side, stop + margin))
