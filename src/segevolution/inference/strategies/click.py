"""A window round the prompt, at the network's own spacing, moved on where the answer reaches its border.

The window's middle is that of the box or of the positive points; an earlier answer keeps its window while the points
stay in it, so that its encoding and its logits serve again. Where the answer touches a face of the window that is not
the image's own, another window is looked at, half a window further, told what is known so far (SAM-Med3D, Wang et al.
2023, extends so; nnInteractive, Isensee et al. 2025, for the same reason zooms out). Overlapping windows are averaged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...data.windows import FramedCase, View, ViewSettings, draw_click
from ...errors import CheckpointError
from ...imaging.depth import deepest_voxel
from ...imaging.grid import Triple, triple
from ...imaging.prompts import PromptKind
from ...models.backbone import NEGATIVE, POSITIVE
from ...models.spec import Spec
from ...vocabulary import Context
from ..drawn_regions import extent, within
from ..encodings import Encodings
from ..frame_prompt import FramePrompt, Place, voxel
from ..previous_answer import OUTSIDE, PreviousAnswer
from ..windows import VoxelBlock, Window, tight, windows_over
from .base import Answer, OpenImage, Strategy, StrategyOptions

MOST_WINDOWS = 8  # looked at for one answer, beside those that a large box needs from the start
LEAST_TOUCHING = 2  # foreground voxels on a face that make a window move on


class ClickStrategy(Strategy):
    """A network that looks at one place, which a prompt names."""

    name: ClassVar[str] = "click"

    def check(self, spec: Spec) -> None:
        """See Strategy.check: a prompt must be able to name a place."""
        super().check(spec)
        if not spec.accepts & {PromptKind.POINT, PromptKind.BOX}:
            raise CheckpointError('a network framed by "click" must accept points or a box, or it knows no place.')

    def _opened(self, encodings: Encodings, options: StrategyOptions) -> OpenImage:
        return ClickImage(encodings)

    def view(self, case: FramedCase, spec: Spec, rng: np.random.Generator, settings: ViewSettings) -> View:
        """See Strategy.view: round a voxel of a structure, beyond the image's border too."""
        return draw_click(case, spec.window, rng, settings)


@dataclass(frozen=True, eq=False)
class _ClickView:
    """What the network said of one window: logits (D, H, W), the same at the decoder's size, and the overlap."""

    view: VoxelBlock
    logits: Tensor
    small: Tensor
    iou: float


class ClickImage(OpenImage):
    """An image that is looked at where prompts point."""

    def answers(
        self, prompts: Sequence[FramePrompt], contexts: Sequence[Context], *, multimask: bool = False
    ) -> Iterator[Answer]:
        """See OpenImage.answers."""
        for prompt, context in zip(prompts, contexts, strict=True):
            for alternative in range(3 if multimask else 1):
                yield self._answer(prompt, context, alternative if multimask else None)

    def _answer(self, prompt: FramePrompt, context: Context, alternative: int | None) -> Answer:
        shape = triple(self.encodings.image.shape)
        canvas = _LogitCanvas(shape, self.encodings.device)
        views = self._first_views(prompt, shape)
        first, limit = views[0], len(views) + MOST_WINDOWS
        self.encodings.plan(_window(view, shape) for view in views)
        looks: list[_ClickView] = []
        visited_views: set[VoxelBlock] = set()
        while views and len(looks) < limit:
            view = views.pop(0)
            if view in visited_views:
                continue
            visited_views.add(view)
            known = None if not looks else canvas.known()
            view_prompt = self._told(prompt, view, known, begun=view == first)
            if view_prompt is None:
                continue
            look = self._look(view, view_prompt, context, alternative)
            looks.append(look)
            canvas.add(look)
            if self._moves_on(prompt):
                views += _beyond(look, shape)
        if not looks:
            return Answer(canvas.known(), 0.0, 0)
        accepted = self.encodings.backbone.spec.previous is not None
        weights = [int((look.logits > 0).sum()) + 1 for look in looks]
        iou = sum(look.iou * weight for look, weight in zip(looks, weights, strict=True)) / sum(weights)
        previous = PreviousAnswer(looks[0].view, looks[0].small) if accepted else None
        return Answer(canvas.known(), iou, len(looks), previous)

    def _first_views(self, prompt: FramePrompt, shape: Triple) -> list[VoxelBlock]:
        """Where to begin: the earlier answer's window while the points stay in it, else round the prompt."""
        window = self.encodings.window
        if prompt.centre is not None:
            return [centred(voxel(prompt.centre), window)]
        places = [voxel(point) for point in prompt.positive]
        places += [place for place in (prompt.box, extent(prompt.scribbles), extent(prompt.lasso)) if place is not None]
        previous = prompt.previous
        if previous is not None:
            every = places + [voxel(point) for point in prompt.points]
            if previous.view.shape == window and every and all(previous.view.holds(place) for place in every):
                return [previous.view]
            if not places:
                places = [block.shift(previous.view.start) for block in [_spread(previous)] if block is not None]
        places = places or [voxel(point) for point in prompt.points]
        if not places:
            return [look.view for look in windows_over(VoxelBlock.whole(shape), window)]  # a text alone: everywhere
        whole = places[0]
        for place in places[1:]:
            whole = whole.join(place)
        if prompt.box is None and any(
            side > window_side for side, window_side in zip(whole.shape, window, strict=True)
        ):
            whole = places[-1]  # points further apart than a window: the last one, as it was set for a reason
        if any(side > window_side for side, window_side in zip(whole.shape, window, strict=True)):
            return [look.view for look in windows_over(whole, window)]
        return [centred(whole, window)]

    def _moves_on(self, prompt: FramePrompt) -> bool:
        """Not where a box bounds the answer, a study holds the window, or the network cannot be told what is known."""
        if prompt.box is not None or prompt.centre is not None:
            return False
        return bool(
            self.encodings.backbone.spec.accepts & {PromptKind.POINT, PromptKind.MASK}
            and (prompt.positive or prompt.previous)
        )

    def _told(self, prompt: FramePrompt, view: VoxelBlock, known: Tensor | None, *, begun: bool) -> FramePrompt | None:
        """What a window is told, in its own voxels; None where there is nothing to ask for in it.

        Args:
            prompt: in frame voxels.
            view: the window's block.
            known: (D, H, W) logits on the frame so far; None before the first window.
            begun: whether this is the first window.
        """
        spec = self.encodings.backbone.spec
        pairs = [pair for pair in zip(prompt.points, prompt.labels, strict=True) if view.holds(voxel(pair[0]))]
        box = None if prompt.box is None else prompt.box.meet(view)
        box = None if box is None or box.empty else box
        previous = None
        if spec.previous is not None:
            logits = None
            if prompt.previous is not None:
                logits = prompt.previous.on(view, spec.previous)
            if known is not None:
                so_far = PreviousAnswer(VoxelBlock.whole(known.shape), known).on(view, spec.previous)
                logits = so_far if logits is None else torch.where(so_far > OUTSIDE, so_far, logits)
            if logits is not None:
                previous = PreviousAnswer(VoxelBlock.whole(self.encodings.window), logits)
        seeded = any(label == POSITIVE for _, label in pairs)
        seeded |= any(within(region, view) is not None for region in (prompt.scribbles, prompt.lasso))
        if not begun and box is None and not seeded and prompt.structure is None:
            seed = None if known is None else _seed(known, view)
            if seed is None:
                return None
            if PromptKind.POINT in spec.accepts:
                pairs.append((seed, POSITIVE))
        view_prompt = FramePrompt(
            prompt.structure,
            tuple(_shifted(point, view) for point, _ in pairs),
            tuple(label for _, label in pairs),
            None if box is None else box.shift(view.start, -1),
            previous,
            within(prompt.scribbles, view),
            within(prompt.lasso, view),
        )
        positive = (
            not replace(view_prompt, points=(), labels=()).silent
            or view_prompt.positive
            or view_prompt.previous is not None
        )
        return view_prompt if positive or NEGATIVE in view_prompt.labels else None

    def _look(self, view: VoxelBlock, prompt: FramePrompt, context: Context, alternative: int | None) -> _ClickView:
        features = self.encodings.at(_window(view, triple(self.encodings.image.shape)))
        many = alternative is not None
        logits, iou, small = self.encodings.decode_both([features], [prompt], [context], multimask=many)
        row = alternative or 0
        return _ClickView(view, logits[0, row], small[0, row], float(iou[0, row]))


class _LogitCanvas:
    """Logits of overlapping windows, averaged over the frame."""

    def __init__(self, shape: Triple, device: torch.device) -> None:
        self._total = torch.zeros(shape, device=device)
        self._count = torch.zeros(shape, dtype=torch.uint8, device=device)

    def add(self, look: _ClickView) -> None:
        """One window's logits, as far as it shows the image."""
        content = look.view.meet(VoxelBlock.whole(self._total.shape))
        self._total[content.slices] += look.logits[content.shift(look.view.start, -1).slices]
        self._count[content.slices] += 1

    def known(self) -> Tensor:
        """(D, H, W): the mean, OUTSIDE where no window looked."""
        mean = self._total / self._count.clamp(min=1)
        return torch.where(self._count > 0, mean, mean.new_tensor(OUTSIDE))


def _window(view: VoxelBlock, shape: Triple) -> Window:
    return Window(view, view.meet(VoxelBlock.whole(shape)))


def centred(block: VoxelBlock, window: Triple) -> VoxelBlock:
    """A window with the block in its middle; it may reach outside the image."""
    middle = ((low + high) // 2 for low, high in zip(block.start, block.stop, strict=True))
    start = triple([place - side // 2 for place, side in zip(middle, window, strict=True)])
    return VoxelBlock.whole(window).shift(start)


def _beyond(look: _ClickView, shape: Triple) -> list[VoxelBlock]:
    """The windows half a window further, across each face of this one that its answer touches inside the image."""
    above, views = look.logits > 0, []
    for axis, side in enumerate(look.view.shape):
        for face, sign in ((0, -1), (side - 1, 1)):
            step = [0, 0, 0]
            step[axis] = sign * max(1, side // 2)
            edge = look.view.start[axis] + face
            if 0 < edge < shape[axis] - 1 and int(above.select(axis, face).sum()) >= LEAST_TOUCHING:
                views.append(look.view.shift(step))
    return views


def _spread(previous: PreviousAnswer) -> VoxelBlock | None:
    """The tight block round an earlier answer, in voxels of its view."""
    return tight(previous.on(previous.view, previous.view.shape) > 0)


def _seed(known: Tensor, view: VoxelBlock) -> Place | None:
    """The deepest voxel of what is known to be foreground inside a window; None where nothing is."""
    inside = view.meet(VoxelBlock.whole(known.shape))
    above = (known[inside.slices] > 0).cpu().numpy()
    if not above.any():
        return None
    d, h, w = (place + low for place, low in zip(deepest_voxel(above, (1, 1, 1)), inside.start, strict=True))
    return d, h, w


def _shifted(point: Place, view: VoxelBlock) -> Place:
    d, h, w = (value - low for value, low in zip(point, view.start, strict=True))
    return d, h, w
