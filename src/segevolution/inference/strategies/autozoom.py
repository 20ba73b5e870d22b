"""A window round the newest prompt that widens while its answer runs over its faces, and is then refined.

AutoZoom of nnInteractive (Isensee et al. 2025, arXiv:2503.08373), for networks that read prompts as channels beside the
image. The first look lies round the newest prompt, wide enough for it. Where the answer changes a face of the window
much, the next look is one and a half times as wide, up to four window sides. A look at the image's own voxels replaces
what was known there. A wider one is coarse: windows at full resolution cover what it changed, one after another, each
told the answers before it (see refinement.py), and only they are the answer.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...data.windows import FramedCase, View, ViewSettings, draw_click
from ...errors import CheckpointError
from ...imaging.grid import Triple
from ...imaging.prompts import PromptKind
from ...models.backbone import POSITIVE
from ...models.prompt_maps import DrawnPrompt, MapKind, Stroke, flat
from ...models.spec import Spec
from ...vocabulary import Context
from ..encodings import Encodings
from ..frame_prompt import FramePrompt
from ..previous_answer import CERTAIN, OUTSIDE
from ..refinement import MARGIN, covering, opened
from ..windows import VoxelBlock, tight
from ..zoomed_window import ZoomedWindow
from .base import Answer, OpenImage, Strategy, StrategyOptions

WIDEST, STEP = 4.0, 1.5  # window sides, and what a wider look is wider by
MANY, SOME = 1500, 100  # voxels of a face that differ: these widen the next look, or these do where
GROWTH = 0.2  # the foreground of the face changes by more than this share
SEED = 17  # of the voxels that are tried where the windows' grid leaves something: the same answer each time


class AutoZoomStrategy(Strategy):
    """A network that reads prompts as channels, and looks as wide as its answer asks for."""

    name: ClassVar[str] = "autozoom"

    def check(self, spec: Spec) -> None:
        """See Strategy.check: it says how prompts are drawn, and its windows are wide enough to refine with."""
        super().check(spec)
        if spec.maps is None or spec.previous != spec.window or PromptKind.TEXT in spec.accepts:
            raise CheckpointError(
                'a network framed by "autozoom" must say how its prompts are drawn, read its own answer at the size of '
                "its window, and read no text."
            )
        if min(spec.window) <= 2 * MARGIN:
            raise CheckpointError(
                f'a network framed by "autozoom" needs windows of more than {2 * MARGIN} voxels a side, not '
                f"{spec.window}."
            )

    def _opened(self, encodings: Encodings, options: StrategyOptions) -> OpenImage:
        return AutoZoomImage(encodings)

    def view(self, case: FramedCase, spec: Spec, rng: np.random.Generator, settings: ViewSettings) -> View:
        """See Strategy.view: round a voxel of a structure, beyond the image's border too."""
        return draw_click(case, spec.window, rng, settings)


class AutoZoomImage(OpenImage):
    """An image that is looked at as wide as its answers ask for."""

    def answers(
        self, prompts: Sequence[FramePrompt], contexts: Sequence[Context], *, multimask: bool = False
    ) -> Iterator[Answer]:
        """See OpenImage.answers; three alternatives are three times the one answer there is."""
        for prompt, context in zip(prompts, contexts, strict=True):
            answer = self._answer(prompt, context)
            for _ in range(3 if multimask else 1):
                yield replace(answer, frame_logits=answer.logits.clone()) if multimask else answer

    def _answer(self, prompt: FramePrompt, context: Context) -> Answer:
        image, spec = self.encodings.image, self.encodings.backbone.spec
        shape: Triple = (image.shape[0], image.shape[1], image.shape[2])
        assert spec.maps is not None
        before = torch.zeros(shape, dtype=torch.bool, device=self.encodings.device)
        if prompt.previous is not None:
            before = prompt.previous.on(VoxelBlock.whole(shape), shape) > 0
        strokes = strokes_of(prompt, spec.maps.point_radius)
        place, zoom = first_look(prompt, strokes, before, spec.window)
        run = ZoomRun(self.encodings, context, DrawnPrompt(strokes, spec.maps), before)
        run.answer(place, zoom, initial=not strokes)
        return Answer(run.logits, math.nan, run.looks)


class ZoomRun:
    """One prompt answered.

    Args:
        encodings: of the image.
        context: of the prompt.
        drawn: its strokes.
        before: (D, H, W), the answer before it.
        rng: see `refinement.covering`.

    Attributes:
        mask: (D, H, W) the answer.
        logits: the same, as far as the network said them; CERTAIN and OUTSIDE where it was not asked.
        looks: windows that answered.
    """

    def __init__(
        self,
        encodings: Encodings,
        context: Context,
        drawn: DrawnPrompt,
        before: Tensor,
        rng: np.random.RandomState | None = None,
    ) -> None:
        self._encodings, self._context, self._drawn, self._before = encodings, context, drawn, before
        self._rng = rng or np.random.RandomState(SEED)
        self._shape: Triple = (before.shape[0], before.shape[1], before.shape[2])
        self.mask = before.clone()
        self.logits = torch.where(before, CERTAIN, OUTSIDE)
        self.looks = 0

    def answer(self, place: list[int], zoom: float, *, initial: bool) -> None:
        """Look round a voxel of the image, wider while the answer asks for it, and refine what was seen coarsely.

        Args:
            place: (d, h, w) of what was said last.
            zoom: window sides that the first look is wide.
            initial: whether only a mask to begin with was said.
        """
        patch = self._encodings.window
        while True:
            window = ZoomedWindow.round(place, zoom, patch, self._shape)
            logits = self.look(window, self._before)
            if zoom >= WIDEST or not widens(logits > 0, window.picked(self._before)):
                break
            zoom = min(WIDEST, STEP * zoom)
        if zoom == 1:
            self._write(window, logits)
        else:
            self._refine(window, logits > 0, place, initial=initial)

    def look(self, window: ZoomedWindow, previous: Tensor) -> Tensor:
        """(D, H, W) logits of a window, told an answer before it (D, H, W of the image)."""
        window_prompt = FramePrompt(maps=window.maps(self._drawn, previous))
        features = self._encodings.at(window)
        self.looks += 1
        return self._encodings.decode([features], [window_prompt], [self._context])[0][0, 0]

    def _refine(self, coarse_window: ZoomedWindow, coarse: Tensor, place: list[int], *, initial: bool) -> None:
        content = coarse_window.content
        running_mask = self._before.clone()
        running_mask[content.slices] = coarse_window.spread(coarse)
        differences = torch.zeros_like(running_mask)
        differences[content.slices] = opened(running_mask[content.slices] != self._before[content.slices])
        if initial:
            differences |= self._before
        patch = self._encodings.window
        views = list(covering(differences, patch, self._rng))
        windows = [ZoomedWindow(view, view.meet(VoxelBlock.whole(self._shape)), patch, 1.0) for view in views] or [
            ZoomedWindow.round(place, 1.0, patch, self._shape)
        ]
        for window in windows:
            logits = self.look(window, running_mask)
            self._write(window, logits)
            running_mask[window.content.slices] = self.mask[window.content.slices]

    def _write(self, window: ZoomedWindow, logits: Tensor) -> None:
        """What a window at the image's own voxels says replaces what was known there."""
        inside = logits[window.content.shift(window.view.start, -1).slices]
        self.logits[window.content.slices] = inside
        self.mask[window.content.slices] = inside > 0


def widens(now: Tensor, before: Tensor) -> bool:
    """Whether an answer (D, H, W) differs so much from the one before on a face that a wider look is worth it."""
    for axis in range(3):
        for face in (0, -1):
            fresh, old = now.select(axis, face), before.select(axis, face)
            apart = int((fresh != old).sum())
            counts = sorted((int(fresh.sum()), int(old.sum())))
            if apart > MANY or (apart > SOME and counts[1] / max(counts[0], 1e-5) - 1 > GROWTH):
                return True
    return False


def strokes_of(prompt: FramePrompt, radius: int) -> list[Stroke]:
    """What a prompt draws, the oldest first: its box, its lasso, its scribbles, its points in their order.

    What was said last in a dialogue comes last.
    """
    parts: dict[PromptKind, list[Stroke]] = {kind: [] for kind in _ORDER}
    if prompt.box is not None:
        parts[PromptKind.BOX].append(Stroke(MapKind.REGION, True, flat(prompt.box.start, prompt.box.stop)))
    for kind, region in ((PromptKind.LASSO, prompt.lasso), (PromptKind.SCRIBBLE, prompt.scribbles)):
        if region is None:
            continue
        for positive in (False, True):
            voxels = region.positive if positive else region.negative
            if len(voxels):
                map_kind = MapKind.REGION if kind is PromptKind.LASSO else MapKind.SCRIBBLE
                parts[kind].append(
                    Stroke.filled(map_kind, torch.from_numpy(voxels.astype(np.int64)), positive=positive)
                )
    for point, label in zip(prompt.points, prompt.labels, strict=True):
        parts[PromptKind.POINT].append(Stroke.point(point, positive=label == POSITIVE, radius=radius))
    return [stroke for kind in sorted(_ORDER, key=lambda kind: kind is prompt.newest) for stroke in parts[kind]]


_ORDER = (PromptKind.BOX, PromptKind.LASSO, PromptKind.SCRIBBLE, PromptKind.POINT)


def first_look(
    prompt: FramePrompt, strokes: Sequence[Stroke], before: Tensor, patch: Triple
) -> tuple[list[int], float]:
    """The middle of what was said last, and how many window sides wide it is to be seen: with a third of one beside it.

    A point is seen at the image's own voxels; of a box all of it counts, though only a slice of it is drawn.
    """
    block = tight(before) or VoxelBlock.whole(before.shape)
    if strokes:
        newest = strokes[-1]
        block = VoxelBlock(*newest.span)
        if newest.kind is MapKind.POINT:
            return [(low + high) // 2 for low, high in zip(block.start, block.stop, strict=True)], 1.0
        if newest.voxels is None and prompt.box is not None:
            block = prompt.box
    block = block.meet(VoxelBlock.whole(before.shape))
    place = [round((low + high) / 2) for low, high in zip(block.start, block.stop, strict=True)]
    wide = max((side + patch_side // 3) / patch_side for side, patch_side in zip(block.shape, patch, strict=True))
    return place, min(WIDEST, max(1.0, wide))
