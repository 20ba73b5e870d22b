"""Prompts simulated from labels in a training view, in the six combinations of SegVol's objective.

They are drawn as a person would err: boxes too large, too small or off, points few or many, near the border or wrong,
texts in other words. All numbers are window voxels (d, h, w). What is switched off draws no numbers, so that it
changes nothing of what the rest draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..imaging.framing import foreground_box
from ..imaging.prompts import COMBINATIONS, Kind, kinds_in
from ..models.backbone import ABSENT, NEGATIVE, POSITIVE
from ..vocabulary import TEMPLATES, Wording, closest, other_names

Rng = np.random.Generator
Mask = npt.NDArray[np.bool_]

_BORDER = 2  # voxels to either side that count as near a structure's border


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are simulated.

    Attributes:
        combinations: weight of each combination; those a network cannot accept are left out.
        positive, negative: largest number of points of each kind (at least one positive).
        box_jitter: standard deviation of each face's move, as a share of the box's side.
        exact_boxes: share of boxes that are tight.
        coarse: share of prompts drawn from an imperfect mask, as zoom-in draws them from its coarse answer.
        templates: weight of each form of vocabulary.TEMPLATES ("ct", "modality", "neutral"); empty = the network's own.
        synonyms: share of texts that call a structure by another of its names, where a network can read that name.
        box_larger, box_smaller: by how much, as shares of its sides, a box that is not tight grows or shrinks at most
            before its faces move.
        few: share of point prompts that are a single positive point.
        many, crowd: share of point prompts with more points, up to `crowd` of each kind.
        border: share of point prompts whose points all lie within 2 voxels of the structure's border.
        wrong: share of points (never a prompt's first) whose label is the opposite of the truth.

    Raises:
        ValueError: a value that cannot be, by name.
    """

    combinations: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COMBINATIONS, 1.0))
    positive: int = 6
    negative: int = 4
    box_jitter: float = 0.08
    exact_boxes: float = 0.4
    coarse: float = 0.0
    templates: dict[str, float] = field(default_factory=dict)
    synonyms: float = 0.0
    box_larger: float = 0.0
    box_smaller: float = 0.0
    few: float = 0.0
    many: float = 0.0
    crowd: int = 20
    border: float = 0.0
    wrong: float = 0.0

    def __post_init__(self) -> None:
        for key in self.templates:
            if key not in TEMPLATES:
                near = closest(key, TEMPLATES)
                hint = f'did you mean "{near}"?' if near else f"known are {', '.join(TEMPLATES)}"
                raise ValueError(f'"{key}" is no template of texts; {hint}')
        if self.templates and (min(self.templates.values()) < 0 or not sum(self.templates.values())):
            raise ValueError("templates need weights of 0 or more, one of them above 0")
        for name in ("synonyms", "few", "many", "border", "wrong"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share from 0 to 1")
        if self.few + self.many > 1:
            raise ValueError(f"few and many are {self.few + self.many:g} together; give at most 1")
        if self.box_larger < 0 or not 0 <= self.box_smaller < 1:
            raise ValueError("box_larger must be 0 or more, box_smaller from 0 to below 1")

    def drawable(self, accepts: frozenset[Kind]) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
        """Names of the combinations a network accepts, and their probabilities."""
        names = tuple(name for name, weight in self.combinations.items() if weight and kinds_in(name) <= accepts)
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
    """1 to `positive` voxels of the mask and 0 to `negative` near it but outside; (N, 3) and labels.

    The first is a positive one and right; see PromptSettings for how the others may differ from these.
    """
    fewest, most, others = _numbers(rng, settings)
    low, high = foreground_box(mask)
    around = tuple(_grown(*span) for span in zip(low, high, mask.shape, strict=True))
    near = np.zeros_like(mask)
    near[around] = True
    allowed = mask
    if settings.border and rng.random() < settings.border:
        here = mask[around]
        allowed, near = np.zeros_like(mask), np.zeros_like(mask)
        allowed[around] = here & ~ndimage.binary_erosion(here, iterations=_BORDER)
        near[around] = ndimage.binary_dilation(here, iterations=_BORDER)
    inside = np.flatnonzero(allowed)
    chosen = rng.choice(inside, min(int(rng.integers(fewest, most + 1)), inside.size), replace=False)
    wanted = int(rng.integers(others[0], others[1] + 1))
    outside = np.flatnonzero(near & ~mask)
    off = rng.choice(outside, min(wanted, outside.size), replace=False) if outside.size else outside
    flat = np.concatenate([chosen, off])
    points = np.stack(np.unravel_index(flat, mask.shape), axis=1).astype(np.float32)
    labels = [POSITIVE] * chosen.size + [NEGATIVE] * off.size
    if settings.wrong:
        false = rng.random(len(labels)) < settings.wrong
        false[0] = False
        labels = [_OPPOSITE[label] if wrong else label for label, wrong in zip(labels, false, strict=True)]
    return points, labels


_OPPOSITE = {POSITIVE: NEGATIVE, NEGATIVE: POSITIVE}


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


def draw_box(mask: Mask, rng: Rng, settings: PromptSettings) -> npt.NDArray[np.float32]:
    """(d0, h0, w0, d1, h1, w1), tight, or resized and every face moved; clamped to the window and never inverted."""
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
    return np.concatenate([low, high]).round().astype(np.float32)


def draw_wording(structure: str, rng: Rng, settings: PromptSettings) -> Wording | None:
    """Other words for a text prompt; None leaves it in the network's own."""
    template = name = None
    if settings.templates:
        weights = np.array(list(settings.templates.values()), float)
        template = list(settings.templates)[rng.choice(weights.size, p=weights / weights.sum())]
    if settings.synonyms and rng.random() < settings.synonyms:
        names = other_names(structure)
        name = names[rng.integers(len(names))] if names else None
    return None if template is None and name is None else Wording(name, template)


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
