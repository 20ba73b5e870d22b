"""Two-dimensional networks through a volume, under one three-dimensional prompt.

Slices are cut across the axis of the thickest voxels, rows and columns as radiology shows them. A box gives every slice
of its extent its section, and nothing is answered outside it; or, with "propagate", it is told to its middle slice
alone, and each next slice hears the box of the mask before it, as LiteMedSAM's demo does. Points seed their own slices;
from there the answer is carried to the neighbours, whose prompt is the deepest voxel of the mask beside them, that mask
itself where the network accepts one, or its box where it reads boxes only; a walk ends where nothing is left, where the
mask changes its area more than fourfold, or half-way to the next seed. A text alone, or a mask to begin with, is asked
in every slice it may concern. So published systems are run in 3-D (LiteMedSAM's demo, SAM-Med2D's propagation), with
one prompt for all slices instead of one a slice from the truth.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...data.windows import FramedCase, View, ViewSettings
from ...errors import CheckpointError
from ...imaging.depth import deepest_voxel
from ...imaging.framing import Frame, frame
from ...imaging.prompts import PromptKind
from ...imaging.volume import Volume
from ...memory import MemoryBudget
from ...models.backbone import POSITIVE, Spec, Triple
from ...vocabulary import Context
from ..encodings import Encodings
from ..frame_prompt import FramePrompt, Place, resized, voxel
from ..previous_answer import OUTSIDE, PreviousAnswer
from ..windows import VoxelBlock, tight
from .base import Answer, OpenImage, Strategy, StrategyOptions
from .slice_placement import SlicePlacement

JUMP = 4.0  # times the area of the slice before, or one over it, that ends a walk
_IN_PLANE = (1e6, 1.0, 1.0)  # so that only the way out within the slice counts
MARGIN = 3  # frame voxels by which a box grows from slice to slice
ORDERS = {"z": "LPS", "y": "LIA", "x": "PIL"}  # columns, rows and slices, as DICOM stores axial slices


class SliceStrategy(Strategy):
    """A 2-D network, slice by slice."""

    name: ClassVar[str] = "slices"

    def check(self, spec: Spec) -> None:
        """See Strategy.check: its windows are slices."""
        if spec.window[0] != 1:
            raise CheckpointError(f'a network framed by "slices" has the window (1, H, W), not {spec.window}.')
        if spec.accepts & {PromptKind.SCRIBBLE, PromptKind.LASSO}:
            raise CheckpointError('"slices" carries no scribbles or lassos to a network; leave them out of its kinds.')

    def prepare(self, volume: Volume, spec: Spec, budget: MemoryBudget | None = None) -> Frame:
        """See Strategy.prepare: D runs across the slices."""
        spacing = volume.grid.canonical()[0].spacing
        thickest = max(range(3), key=lambda axis: (round(spacing[axis], 3), axis))
        return frame(volume, spec.intensity, spec.spacing, ORDERS[spec.axis or "xyz"[thickest]], budget)

    def _opened(self, encodings: Encodings, options: StrategyOptions) -> OpenImage:
        return SliceImage(encodings, propagates=options.windows == "propagate")

    def overview(self, image: Tensor, pad: float, spec: Spec) -> Tensor:
        """See Strategy.overview: the middle slice."""
        shape: Triple = (image.shape[0], image.shape[1], image.shape[2])
        return SlicePlacement.of(shape[0] // 2, shape, spec).cut(image, pad)[None, None]

    def view(self, case: FramedCase, spec: Spec, rng: np.random.Generator, settings: ViewSettings) -> View:
        """See Strategy.view: a slice through a structure, a little scaled and shifted unless it is `still`.

        A person's box is the same in every slice of a structure, so training is told its section too.
        """
        d, h, w = case.image.shape
        names = list(case.structures)
        number = int(rng.integers(d))
        if names and not rng.random() < settings.background:
            hits = case.planes_with(names[rng.integers(len(names))])
            number = int(hits[rng.integers(hits.size)])
        window = SlicePlacement.of(number, (d, h, w), spec)
        if not rng.random() < settings.still:
            window = _moved(window, rng, settings)
        plane_window = replace(window.at(-number), neighbours=0)
        _, labels = case.plane(number)
        planes = [case.plane(each)[0].astype(np.float32) for each in window.numbers(d)]
        image = np.concatenate([plane_window.cut(torch.from_numpy(plane), case.pad).numpy() for plane in planes])
        visible_names = [name for name in names if number in case.planes_with(name)]
        outlines = {name: plane_window.section(*case.extent(name)) for name in visible_names}
        return View(image, plane_window.labels(labels), outlines)


def _moved(window: SlicePlacement, rng: np.random.Generator, settings: ViewSettings) -> SlicePlacement:
    """The window scaled and shifted within its slice by chance."""
    sides = np.asarray(window.view.shape[1:]) * np.exp(rng.normal(0, settings.scale, 2))
    middle = (np.asarray(window.view.shape[1:]) - 1) / 2 + rng.uniform(-0.04, 0.04, 2) * sides
    number = window.view.start[0]
    (top, height), (left, width) = (
        (round(centre - side / 2), max(1, round(side)))
        for centre, side in zip(middle.tolist(), sides.tolist(), strict=True)
    )
    view = VoxelBlock((number, top, left), (number + 1, top + height, left + width))
    content = view.meet(window.content)
    return window if content.empty else replace(window, view=view, content=content)


@dataclass(frozen=True, eq=False)
class _Section:
    """What the network said of one slice: logits (H, W) in frame voxels, at the decoder's size, and the overlap."""

    number: int
    logits: Tensor
    small: Tensor
    iou: float

    @property
    def area(self) -> int:
        return int((self.logits > 0).sum())


class SliceImage(OpenImage):
    """An image answered slice by slice.

    Args:
        encodings: of the frame's image.
        propagates: whether a box is told to its middle slice alone, and each next slice the box of the mask before.
    """

    def __init__(self, encodings: Encodings, *, propagates: bool = False) -> None:
        super().__init__(encodings)
        self._propagates = propagates

    def answers(
        self, prompts: Sequence[FramePrompt], contexts: Sequence[Context], *, multimask: bool = False
    ) -> Iterator[Answer]:
        """See OpenImage.answers."""
        for prompt, context in zip(prompts, contexts, strict=True):
            for alternative in range(3) if multimask else (None,):
                yield self._joined(self._sections(prompt, context, alternative))

    @property
    def _shape(self) -> Triple:
        d, h, w = self.encodings.image.shape
        return int(d), int(h), int(w)

    @property
    def _spec(self) -> Spec:
        return self.encodings.backbone.spec

    def _sections(self, prompt: FramePrompt, context: Context, alternative: int | None) -> Iterable[_Section]:
        if prompt.box is not None and self._propagates:
            return self._propagated(prompt, prompt.box, context, alternative)
        seeds = sorted({voxel(point).start[0] for point in prompt.positive})
        if prompt.box is not None:
            numbers: Iterable[int] = range(prompt.box.start[0], prompt.box.stop[0])
        elif seeds:
            return self._walked(prompt, seeds, context, alternative)
        elif prompt.previous is not None:
            mask = prompt.previous.on(VoxelBlock.whole(self._shape), self._shape) > 0
            numbers = torch.nonzero(mask.any(dim=2).any(dim=1)).flatten().tolist()
        else:
            numbers = range(self._shape[0])
        slice_prompts = [(number, self._told(prompt, number)) for number in numbers]
        return self._asked([(number, each) for number, each in slice_prompts if each is not None], context, alternative)

    def _asked(
        self, numbered_prompts: Sequence[tuple[int, FramePrompt]], context: Context, alternative: int | None
    ) -> Iterator[_Section]:
        """Ask some slices, a batch at a time."""
        windows = [SlicePlacement.of(number, self._shape, self._spec) for number, _ in numbered_prompts]
        self.encodings.plan(windows)
        for start in range(0, len(numbered_prompts), self.encodings.batch):
            part = slice(start, start + self.encodings.batch)
            features = [self.encodings.at(window) for window in windows[part]]
            prompts = [prompt for _, prompt in numbered_prompts[part]]
            logits, iou, small = self.encodings.decode_both(
                features, prompts, [context] * len(prompts), multimask=alternative is not None
            )
            row = alternative or 0
            for place, (window, (number, _)) in enumerate(zip(windows[part], numbered_prompts[part], strict=True)):
                plane = window.carry(logits[place, row])[0, : self._shape[1], : self._shape[2]]
                yield _Section(number, plane, small[place, row], float(iou[place, row]))

    def _propagated(
        self, prompt: FramePrompt, box: VoxelBlock, context: Context, alternative: int | None
    ) -> Iterator[_Section]:
        """The box's middle slice, then up to its last and down to its first."""
        low, high = box.start[0], box.stop[0]
        middle = low + (high - 1 - low) // 2
        first: _Section | None = None
        for numbers in ([middle], range(middle + 1, high), range(middle - 1, low - 1, -1)):
            before = first
            for number in numbers:
                slice_prompt = self._told(prompt, number)
                assert slice_prompt is not None  # it has a box
                if before is not None:
                    slice_prompt = replace(slice_prompt, box=self._box_of(before) or slice_prompt.box)
                (before,) = self._asked([(number, slice_prompt)], context, alternative)
                yield before
            first = first or before

    def _box_of(self, section: _Section) -> VoxelBlock | None:
        """The box round a slice's mask in window pixels, MARGIN of them larger; None where the mask is empty."""
        window = SlicePlacement.of(section.number, self._shape, self._spec)
        mask = replace(window, neighbours=0).cut((section.logits > 0).float()[None].expand(self._shape))
        around = tight(mask >= 0.5)
        return None if around is None else _grown(around).meet(VoxelBlock.whole(window.size))

    def _walked(
        self, prompt: FramePrompt, seeds: Sequence[int], context: Context, alternative: int | None
    ) -> Iterator[_Section]:
        """The seeds' own slices, then their neighbours, one after another."""
        seed_prompts = [(number, self._told(prompt, number)) for number in seeds]
        sections = list(
            self._asked(
                [(number, slice_prompt) for number, slice_prompt in seed_prompts if slice_prompt is not None],
                context,
                alternative,
            )
        )
        yield from sections
        for place, section in enumerate(sections):
            low = (sections[place - 1].number + section.number) // 2 + 1 if place else 0
            high = (
                (section.number + sections[place + 1].number) // 2 + 1 if place + 1 < len(sections) else self._shape[0]
            )
            for numbers in (range(section.number + 1, high), range(section.number - 1, low - 1, -1)):
                yield from self._walk(section, numbers, prompt, context, alternative)

    def _walk(
        self, section: _Section, numbers: Iterable[int], prompt: FramePrompt, context: Context, alternative: int | None
    ) -> Iterator[_Section]:
        for number in numbers:
            slice_prompt = self._told(prompt, number, section)
            if slice_prompt is None:
                return
            (after,) = self._asked([(number, slice_prompt)], context, alternative)
            if not after.area or not 1 / JUMP <= after.area / section.area <= JUMP:
                return
            yield after
            section = after

    def _told(self, prompt: FramePrompt, number: int, neighbour: _Section | None = None) -> FramePrompt | None:
        """What a slice is told, in window voxels; None where there is nothing to ask for.

        Args:
            prompt: in frame voxels.
            number: of the slice.
            neighbour: what was said of the slice before, on a walk.
        """
        window = SlicePlacement.of(number, self._shape, self._spec)
        pairs = [pair for pair in zip(prompt.points, prompt.labels, strict=True) if voxel(pair[0]).start[0] == number]
        flat: list[tuple[Place, int]] = [((0.0, h, w), label) for (_, h, w), label in pairs]
        box = None if prompt.box is None else prompt.box.meet(window.content).shift((number, 0, 0), -1)
        previous = None
        if self._spec.previous is not None:
            if neighbour is not None:
                previous = PreviousAnswer(VoxelBlock.whole(window.size), neighbour.small)
            elif prompt.previous is not None:
                previous = PreviousAnswer(
                    VoxelBlock.whole(window.size), prompt.previous.on(window.view, self._spec.previous)
                )
        if neighbour is not None:
            mask = (neighbour.logits > 0)[None]
            around = tight(mask)
            if around is None:
                return None
            if PromptKind.POINT in self._spec.accepts:
                flat.append((deepest_voxel(mask.cpu().numpy(), _IN_PLANE), POSITIVE))
            elif PromptKind.BOX in self._spec.accepts:
                box = _grown(around).meet(VoxelBlock((0, 0, 0), (1, *self._shape[1:])))
        slice_prompt = FramePrompt(
            prompt.structure, tuple(point for point, _ in flat), tuple(label for _, label in flat), box
        )
        slice_prompt = replace(resized(slice_prompt, window.view.shape, window.size), previous=previous)
        return (
            slice_prompt
            if slice_prompt.structure or slice_prompt.box or slice_prompt.positive or slice_prompt.previous
            else None
        )

    def _joined(self, sections: Iterable[_Section]) -> Answer:
        """The slices' answers as one, OUTSIDE in the slices that were not asked."""
        logits = torch.full(self._shape, OUTSIDE, device=self.encodings.device)
        ordered_sections = sorted(sections, key=lambda section: section.number)
        if not ordered_sections:
            return Answer(logits, 0.0, 0)
        for section in ordered_sections:
            logits[section.number] = section.logits
        weights = [section.area + 1 for section in ordered_sections]
        iou = sum(section.iou * weight for section, weight in zip(ordered_sections, weights, strict=True)) / sum(
            weights
        )
        return Answer(logits, iou, len(ordered_sections), self._previous(ordered_sections))

    def _previous(self, sections: Sequence[_Section]) -> PreviousAnswer | None:
        """The slices' logits at the decoder's size, from the first slice that was asked to the last."""
        if self._spec.previous is None:
            return None
        first, last = sections[0].number, sections[-1].number
        small = torch.full((last - first + 1, *sections[0].small.shape[1:]), OUTSIDE, device=sections[0].small.device)
        for section in sections:
            small[section.number - first] = section.small[0]
        view = SlicePlacement.of(first, self._shape, self._spec).view
        return PreviousAnswer(view.join(SlicePlacement.of(last, self._shape, self._spec).view), small)


def _grown(block: VoxelBlock) -> VoxelBlock:
    """A block in a slice, larger by MARGIN on its four sides."""
    (_, top, left), (_, bottom, right) = block.start, block.stop
    return VoxelBlock((0, top - MARGIN, left - MARGIN), (1, bottom + MARGIN, right + MARGIN))
