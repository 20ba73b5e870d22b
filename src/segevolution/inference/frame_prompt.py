"""Prompts carried as coordinates: from a file's voxels to a frame, and from a frame to a window of the network.

The published inference carries prompts as maps, which thin axes can lose; coordinates lose nothing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..imaging.framing import Frame, resize_nearest
from ..imaging.prompts import Prompt, PromptKind
from ..imaging.regions import PackedMask, Region
from ..models.backbone import ABSENT, PADDING, POSITIVE, PromptBatch, Triple
from .drawn_regions import channels, in_frame, rescaled, within
from .previous_answer import CERTAIN, OUTSIDE, PreviousAnswer, stacked
from .windows import VoxelBlock

Place = tuple[float, float, float]


@dataclass(frozen=True)
class FramePrompt:
    """A prompt in voxels (d, h, w) of a frame, a resized frame, or a window.

    Attributes:
        structure: named in the text; None = no text.
        points: voxel centres at whole numbers; need not be whole.
        labels: one a point: 1 positive, 0 negative, -1 the padding token.
        box: whole voxels, half-open as every VoxelBlock; None = no box.
        previous: an earlier answer to the same question; None = none.
        centre: where the middle of the window lies; None = what is said decides, see Prompt.
        newest: the kind that was said last in a dialogue; None = not known.
        maps: (7, D, H, W), see PromptBatch; None = the network draws what it reads.
        scribbles, lasso: voxels that were drawn over, for a network that takes such; None = none.
    """

    structure: str | None = None
    points: tuple[Place, ...] = ()
    labels: tuple[int, ...] = ()
    box: VoxelBlock | None = None
    previous: PreviousAnswer | None = field(default=None, compare=False)
    scribbles: Region | None = None
    lasso: Region | None = None
    centre: Place | None = None
    newest: PromptKind | None = None
    maps: torch.Tensor | None = field(default=None, compare=False)

    @property
    def positive(self) -> tuple[Place, ...]:
        """The points that lie on the structure."""
        return tuple(point for point, label in zip(self.points, self.labels, strict=True) if label == POSITIVE)

    def to(self, device: torch.device) -> "FramePrompt":
        """The same with the earlier answer on a device."""
        return self if self.previous is None else replace(self, previous=self.previous.to(device))

    @property
    def silent(self) -> bool:
        """Whether it says nothing at all."""
        has_region = self.scribbles is not None or self.lasso is not None
        return self.structure is None and self.box is None and not self.labels and not has_region


def to_frame_prompt(prompt: Prompt, frame: Frame) -> FramePrompt:
    """A prompt in the voxels of its volume's frame; what lies in the cropped margin moves to the frame's border."""
    shape = frame.image.shape
    last = np.asarray(shape, np.float64) - 1
    points = frame.indices(prompt.points) if prompt.points else np.zeros((0, 3))
    box = None
    if prompt.box is not None:
        box = VoxelBlock(*frame.block(*prompt.box.voxels))
    places = tuple(_place(row) for row in np.clip(points, 0, last))
    centre = None if prompt.centre is None else _place(np.clip(frame.indices([prompt.centre]), 0, last)[0])
    previous = None if prompt.mask is None else mask_in_frame(prompt.mask, frame)
    scribbles, lasso = (in_frame(region, frame) for region in (prompt.scribbles, prompt.lasso))
    return FramePrompt(prompt.text, places, prompt.labels, box, previous, scribbles, lasso, centre)


def mask_in_frame(mask: PackedMask, frame: Frame) -> PreviousAnswer:
    """A segmentation in file order as a network is told of it: logits of CERTAIN inside and OUTSIDE beyond."""
    inside = torch.from_numpy(np.ascontiguousarray(frame.labels(mask.unpack())))
    logits = torch.where(inside, CERTAIN, OUTSIDE)
    return PreviousAnswer(VoxelBlock.whole(frame.image.shape), logits)


def on_view(prompt: Prompt) -> FramePrompt:
    """A prompt whose grid is a view itself, (d, h, w), as training draws it."""
    box = None
    if prompt.box is not None:
        box = VoxelBlock(_whole(prompt.box.low), _whole(high + 1 for high in prompt.box.high))
    return FramePrompt(prompt.text, prompt.points, prompt.labels, box, scribbles=prompt.scribbles, lasso=prompt.lasso)


def resized(prompt: FramePrompt, source: Triple, target: Triple) -> FramePrompt:
    """The prompt in an array resized from shape `source` to `target`.

    A point keeps its relative place. A box becomes the box of the voxels whose nearest-exact source lies in it, as
    a box made from the resized label would be; a box between two such voxels becomes the nearest one.
    """
    scales = [target_length / length for length, target_length in zip(source, target, strict=True)]
    points = tuple(
        _place((value + 0.5) * scale - 0.5 for value, scale in zip(point, scales, strict=True))
        for point in prompt.points
    )
    scribbles, lasso = (rescaled(region, source, target) for region in (prompt.scribbles, prompt.lasso))
    prompt = replace(prompt, points=points, scribbles=scribbles, lasso=lasso)
    if prompt.box is None:
        return prompt
    starts, stops = [], []
    for low, high, length, side in zip(prompt.box.start, prompt.box.stop, source, target, strict=True):
        picked = resize_nearest(np.arange(length).reshape(1, 1, length), (1, 1, side))[0, 0]
        hits = np.flatnonzero((picked >= low) & (picked < high))
        if not hits.size:
            hits = np.array([min(int((low + high) / 2 * side / length), side - 1)])
        starts.append(int(hits[0]))
        stops.append(int(hits[-1]) + 1)
    return replace(prompt, box=VoxelBlock(_whole(starts), _whole(stops)))


def seen_from(
    prompt: FramePrompt, view: VoxelBlock, inside: VoxelBlock | None, coarse: VoxelBlock | None, *, boxed: bool = False
) -> FramePrompt:
    """What a window is told: the text, the points inside it, and a box of what is known to lie inside it.

    A window that sees the whole coarse mask is told the person's own box, as far as it reaches into the window; any
    other window is told the box of the coarse mask's part inside it, if the prompt has a place (points or a box)
    at all. A window that would be told nothing is told one padding point, which the network knows.

    Args:
        prompt: in frame voxels.
        view: the window's block in frame voxels.
        inside: tight box, in frame voxels, of the coarse mask inside the window; None where it is empty there.
        coarse: tight box of the whole coarse mask; None if it is empty.
        boxed: tell the box to a prompt without a place, too.
    """
    inside_points = [
        (point, label)
        for point, label in zip(prompt.points, prompt.labels, strict=True)
        if all(low - 0.5 <= value < high - 0.5 for low, value, high in zip(view.start, point, view.stop, strict=True))
    ]
    box = inside
    if box is not None and prompt.box is None:
        for point, label in inside_points:
            box = box.join(voxel(point)) if label == POSITIVE else box
    window_box = prompt.box.meet(view) if prompt.box is not None else None
    if window_box is not None and not window_box.empty and inside == coarse:
        box = window_box
    if prompt.box is None and not prompt.points and not boxed:
        box = None
    window_prompt = FramePrompt(
        prompt.structure,
        tuple(_place(value - low for value, low in zip(point, view.start, strict=True)) for point, _ in inside_points),
        tuple(label for _, label in inside_points),
        None if box is None else box.shift(view.start, -1),
        scribbles=within(prompt.scribbles, view),
        lasso=within(prompt.lasso, view),
    )
    return (
        replace(window_prompt, points=((-1.0, -1.0, -1.0),), labels=(PADDING,))
        if window_prompt.silent
        else window_prompt
    )


def voxel(point: Place) -> VoxelBlock:
    """The voxel that a point lies in."""
    start = _whole(math.floor(value + 0.5) for value in point)
    return VoxelBlock(start, _whole(value + 1 for value in start))


def collate(
    prompts: Sequence[FramePrompt], image_index: Sequence[int], device: torch.device, window: Triple | None = None
) -> PromptBatch:
    """Prompts in window voxels -> a batch for the network; short point lists are filled with the label ABSENT.

    `window` is the window's shape, which is needed where a prompt has scribbles or a lasso.
    """
    most = max((len(prompt.labels) for prompt in prompts), default=0)
    points = torch.zeros(len(prompts), most, 3)
    labels = torch.full((len(prompts), most), ABSENT, dtype=torch.int64)
    boxes = torch.full((len(prompts), 6), math.nan)
    for row, prompt in enumerate(prompts):
        if prompt.labels:
            points[row, : len(prompt.labels)] = torch.tensor(prompt.points)
            labels[row, : len(prompt.labels)] = torch.tensor(prompt.labels)
        if prompt.box is not None:
            boxes[row] = torch.tensor([*prompt.box.start, *(stop - 1 for stop in prompt.box.stop)], dtype=boxes.dtype)
    any_box = any(prompt.box is not None for prompt in prompts)
    maps = [prompt.maps for prompt in prompts if prompt.maps is not None]
    return PromptBatch(
        torch.tensor(image_index, dtype=torch.int64, device=device),
        tuple(prompt.structure for prompt in prompts),
        points.to(device) if most else None,
        labels.to(device) if most else None,
        boxes.to(device) if any_box else None,
        stacked([prompt.previous for prompt in prompts], device),
        regions=channels([(prompt.scribbles, prompt.lasso) for prompt in prompts], window, device),
        maps=torch.stack(maps).to(device) if maps else None,
    )


def _place(values: Iterable[float]) -> Place:
    d, h, w = (float(value) for value in values)
    return d, h, w


def _whole(values: Iterable[float]) -> Triple:
    d, h, w = (int(value) for value in values)
    return d, h, w
