"""Prompts simulated from labels in a training view, in the six combinations of SegVol's objective.

They are drawn as a person would err: boxes too large, too small or off, points few or many. All numbers are
window voxels (d, h, w).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..imaging.framing import foreground_box
from ..models.backbone import ABSENT, NEGATIVE, POSITIVE, Kind

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]

# The six combinations of SegVol's training (Du et al. 2024, algorithm 1).
COMBINATIONS: dict[str, frozenset[Kind]] = {
    "text": frozenset({Kind.TEXT}),
    "point": frozenset({Kind.POINT}),
    "box": frozenset({Kind.BOX}),
    "text+point": frozenset({Kind.TEXT, Kind.POINT}),
    "text+box": frozenset({Kind.TEXT, Kind.BOX}),
    "point+box": frozenset({Kind.POINT, Kind.BOX}),
}


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are simulated.

    Attributes:
        combinations: weight of each combination; those a network cannot accept are left out.
        positive, negative: largest number of points of each kind (at least one positive).
        box_jitter: standard deviation of each face's move, as a share of the box's side.
        exact_boxes: share of boxes that are tight.
        coarse: share of prompts drawn from an imperfect mask, as zoom-in draws them from its coarse answer.
    """

    combinations: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COMBINATIONS, 1.0))
    positive: int = 6
    negative: int = 4
    box_jitter: float = 0.08
    exact_boxes: float = 0.4
    coarse: float = 0.0

    def drawable(self, accepts: frozenset[Kind]) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
        """Names of the combinations a network accepts, and their probabilities."""
        names = tuple(name for name, weight in self.combinations.items() if weight and COMBINATIONS[name] <= accepts)
        weights = np.array([self.combinations[name] for name in names])
        return names, weights / weights.sum()


def coarse_mask(mask: Mask, rng: Rng) -> Mask:
    """The mask as a coarse answer has it: on a grid up to four times as coarse, with pieces gained and lost.

    It is the mask itself where nothing of it is left.
    """
    strides = rng.integers(1, 5, 3)
    first = tuple(int(rng.integers(stride)) for stride in strides)
    small = mask[tuple(slice(start, None, int(stride)) for start, stride in zip(first, strides, strict=True))]
    grow = rng.random()
    if grow < 0.4:
        small = ndimage.binary_dilation(small) & (ndimage.uniform_filter(rng.random(small.shape), 3) < 0.52) | small
    elif grow < 0.8:
        kept = ndimage.binary_erosion(small, border_value=1)
        small = kept | (small & (ndimage.uniform_filter(rng.random(small.shape), 3) < 0.52))
    rough = small
    for axis, stride in enumerate(strides):
        rough = rough.repeat(stride, axis)
    pads = [
        (start, max(0, side - start - long)) for start, side, long in zip(first, mask.shape, rough.shape, strict=True)
    ]
    rough = np.pad(rough, pads)[tuple(slice(side) for side in mask.shape)]
    return rough if rough.any() else mask


def draw_points(mask: Mask, rng: Rng, settings: PromptSettings) -> tuple[npt.NDArray[np.float32], Sequence[int]]:
    """1 to `positive` voxels of the mask and 0 to `negative` near it but outside; (N, 3) and labels."""
    inside = np.flatnonzero(mask)
    chosen = rng.choice(inside, min(int(rng.integers(1, settings.positive + 1)), inside.size), replace=False)
    wanted = int(rng.integers(0, settings.negative + 1))
    near = np.zeros_like(mask)
    low, high = foreground_box(mask)
    near[tuple(_grown(*span) for span in zip(low, high, mask.shape, strict=True))] = True
    outside = np.flatnonzero(near & ~mask)
    wrong = rng.choice(outside, min(wanted, outside.size), replace=False) if outside.size else outside
    flat = np.concatenate([chosen, wrong])
    points = np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.float32)
    return points, [POSITIVE] * chosen.size + [NEGATIVE] * wrong.size


def draw_box(mask: Mask, rng: Rng, settings: PromptSettings) -> npt.NDArray[np.float32]:
    """(d0, h0, w0, d1, h1, w1), tight or with every face moved; clamped to the window and never inverted."""
    start, stop = foreground_box(mask)
    box = np.array([*start, *(end - 1 for end in stop)], np.float64)
    if rng.random() >= settings.exact_boxes:
        sides = np.tile(box[3:] - box[:3] + 1, 2)
        box = box + rng.normal(0, settings.box_jitter, 6) * sides
    low = np.clip(np.minimum(box[:3], box[3:]), 0, np.array(mask.shape) - 1)
    high = np.clip(np.maximum(box[:3], box[3:]), 0, np.array(mask.shape) - 1)
    return np.concatenate([low, high]).round().astype(np.float32)


def pad_points(
    rows: Sequence[tuple[npt.NDArray[np.float32], Sequence[int]] | None],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Points of P prompts, some without -> (P, N, 3) and labels (P, N), fillers labelled ABSENT."""
    most = max((len(row[1]) for row in rows if row is not None), default=0)
    points = np.zeros((len(rows), most, 3), np.float32)
    labels = np.full((len(rows), most), ABSENT, np.int64)
    for place, row in enumerate(rows):
        if row is not None:
            points[place, : len(row[1])] = row[0]
            labels[place, : len(row[1])] = row[1]
    return points, labels


def _grown(start: int, stop: int, side: int) -> slice:
    """A range half as long again on either side, inside the axis."""
    margin = max(2, (stop - start) // 2)
    return slice(max(0, start - margin), min(side, stop + margin))
