"""Zoom-out-zoom-in exactly as SegVol's published code runs it, faults included, for the golden tests only.

Source: `segvol_infer` of the public port (SegVol/model_segvol_single.py of SergheiMihailov/adapt_med_seg), whose
order of operations is written down beside the golden data. With `corrected` one fault is mended: the map that carries
a prompt to the windows is padded as the image is. `zoom.py` is what everything else uses.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from ..imaging.grid import triple
from ..models.backbone import PADDING, POSITIVE, BackboneModule, Features, PromptBatch, Triple
from ..vocabulary import Context
from .windows import VoxelBlock, padding, published_region, scan, tight

POINTS_A_WINDOW = 4  # drawn without replacement, beside one drawn apart
NOWHERE = -1.0


@dataclass(frozen=True)
class PublishedPrompt:
    """A prompt in zoom-out voxels (d, h, w): text, and a box or points, never both.

    Attributes:
        structure: named in the text.
        points: (N, 3); labels (N,): 1 positive, 0 negative, -1 padding.
        box: (6,), both corners included.
    """

    structure: str | None = None
    points: Tensor | None = None
    labels: Tensor | None = None
    box: Tensor | None = None

    @property
    def map_needed(self) -> bool:
        """Whether it has a place at all."""
        return self.points is not None or self.box is not None


@dataclass
class PublishedAnswer:
    """The answer and every step on the way, as the golden data record them.

    Attributes:
        coarse_window: (D, H, W) zoom-out logits in the window.
        coarse: the same on the volume.
        logits: final, on the volume.
        prompt_map: the prompt carried to the volume, 0 or 1; None for text alone.
        region: None without coarse foreground.
        pad: zeros before and after each axis of the region.
        starts: of the windows, in the padded region.
        boxes, points, labels: given to each window.
    """

    coarse_window: Tensor
    coarse: Tensor
    logits: Tensor
    prompt_map: Tensor | None = None
    region: VoxelBlock | None = None
    pad: tuple[tuple[int, int], ...] = ()
    starts: list[Triple] = field(default_factory=list)
    boxes: list[Tensor] = field(default_factory=list)
    points: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)


def published(
    backbone: BackboneModule, image: Tensor, prompt: PublishedPrompt, *, corrected: bool = False
) -> PublishedAnswer:
    """Segment an image (D, H, W) in [0, 1]; draws points from torch's global generator, as the original does."""
    window, shape = backbone.spec.window, triple(image.shape)
    small = functional.interpolate(image[None, None], window, mode="nearest-exact")
    coarse_window = _ask(backbone, backbone.encode(small, [None]), prompt)
    coarse = functional.interpolate(coarse_window[None, None], shape, mode="nearest")[0, 0]
    answer = PublishedAnswer(coarse_window, coarse, coarse.clone(), _prompt_map(prompt, window, shape))
    foreground = torch.sigmoid(coarse) > 0.5
    bounds = tight(foreground)
    if bounds is None:
        return answer
    region = answer.region = published_region(bounds, window, shape)
    answer.pad = padding(region.shape, window)
    margins = [margin for pair in reversed(answer.pad) for margin in pair]
    view = functional.pad(image[region.slices], margins)
    known = functional.pad(foreground[region.slices], margins)
    placed = None if answer.prompt_map is None else answer.prompt_map[region.slices]
    if placed is not None and corrected:
        placed = functional.pad(placed, margins)
    answer.starts = scan(triple(view.shape), window)
    total, count = torch.zeros_like(view), torch.zeros_like(view)
    for start in answer.starts:
        part = VoxelBlock.whole(window).shift(start).slices
        window_prompt = _told(
            prompt, known[part], None if placed is None else placed[part], lone=len(answer.starts) == 1
        )
        _record(answer, window_prompt)
        features = backbone.encode(view[part][None, None], [None])
        total[part] += _ask(backbone, features, window_prompt)
        count[part] += 1
    unpadded = VoxelBlock.whole(region.shape).shift([before for before, _ in answer.pad]).slices
    answer.logits[region.slices] = (total / count)[unpadded]
    return answer


def _told(prompt: PublishedPrompt, known: Tensor, placed: Tensor | None, *, lone: bool) -> PublishedPrompt:
    """What one window is told; `known` is the coarse mask inside it, `placed` the prompt's map there."""
    if placed is None:
        return prompt
    if prompt.box is not None:
        return PublishedPrompt(prompt.structure, box=_box_of(placed if lone else known))
    places = torch.nonzero(placed).float()
    if not len(places):
        points, labels = torch.full((1, 3), NOWHERE), torch.tensor([PADDING])
    else:
        first = torch.randint(len(places), (1,))
        point_numbers = torch.cat([first, torch.randperm(len(places))[:POINTS_A_WINDOW]])
        missing = POINTS_A_WINDOW + 1 - len(point_numbers)
        points = torch.cat([places[point_numbers], torch.full((missing, 3), NOWHERE)])
        labels = torch.tensor([POSITIVE] * len(point_numbers) + [PADDING] * missing)
    return PublishedPrompt(prompt.structure, points, labels, _box_of(known))


def _box_of(mask: Tensor) -> Tensor:
    box = tight(mask > 0)
    if box is None:
        return torch.full((6,), NOWHERE)
    return torch.tensor([*box.start, *(stop - 1 for stop in box.stop)], dtype=torch.float32)


def _prompt_map(prompt: PublishedPrompt, window: Triple, shape: Triple) -> Tensor | None:
    """The box's voxels, or the positive points', drawn on the zoom-out grid and carried to the volume by `nearest`."""
    if not prompt.map_needed:
        return None
    prompt_map = torch.zeros(window)
    if prompt.box is not None:
        low, high = prompt.box.long().split(3)
        prompt_map[VoxelBlock(triple(low), triple(high + 1)).slices] = 1
    elif prompt.points is not None and prompt.labels is not None:
        for d, h, w in prompt.points[prompt.labels == POSITIVE].long().tolist():
            prompt_map[d, h, w] = 1
    return functional.interpolate(prompt_map[None, None], shape, mode="nearest")[0, 0]


def _ask(backbone: BackboneModule, features: Features, prompt: PublishedPrompt) -> Tensor:
    batch = PromptBatch(
        torch.zeros(1, dtype=torch.int64),
        (prompt.structure,),
        None if prompt.points is None else prompt.points[None],
        None if prompt.labels is None else prompt.labels[None].long(),
        None if prompt.box is None else prompt.box[None],
    )
    return backbone.decode(features, batch, [Context()]).full()[0, 0]


def _record(answer: PublishedAnswer, told: PublishedPrompt) -> None:
    if told.box is not None:
        answer.boxes.append(told.box)
    if told.points is not None and told.labels is not None:
        answer.points.append(told.points)
        answer.labels.append(told.labels)
