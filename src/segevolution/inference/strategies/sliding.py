"""Windows slid over the whole image, for networks without prompts: a text chooses which structure is answered.

Neighbouring windows overlap by half and are averaged with Gaussian weights, so that a voxel is judged by the windows
in whose middle it lies. Source: nnU-Net (Isensee et al. 2021), as in MONAI's `sliding_window_inference` (mode
"gaussian"). One pass over the image serves all structures as far as memory allows.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ...data.windows import FramedCase, View, ViewSettings, draw_view
from ...errors import CheckpointError
from ...imaging.grid import Triple
from ...imaging.prompts import PromptKind
from ...models.spec import Spec
from ...vocabulary import Context, Modality, require_known
from ..encodings import Encodings
from ..frame_prompt import FramePrompt
from ..windows import VoxelBlock, windows_over
from .base import Answer, OpenImage, Strategy, StrategyOptions

SIGMA = 0.125  # of the weights, in window sides
LEAST = 1e-3  # weight in a window's corner


class SlidingStrategy(Strategy):
    """A network that is asked for its own structures by name, and for nothing else."""

    name: ClassVar[str] = "sliding"

    def check(self, spec: Spec) -> None:
        """See Strategy.check: it accepts structures' names alone, and has some."""
        super().check(spec)
        if spec.accepts != {PromptKind.TEXT} or not spec.structures:
            raise CheckpointError(
                'a network framed by "sliding" has no prompts: it must accept text alone and name its structures.'
            )

    def _opened(self, encodings: Encodings, options: StrategyOptions) -> OpenImage:
        return SlidingImage(encodings, options.memory)

    def view(self, case: FramedCase, spec: Spec, rng: np.random.Generator, settings: ViewSettings) -> View:
        """See Strategy.view: windows of the frame's own voxels inside the image."""
        return draw_view(case, spec.window, rng, replace(settings, whole=0.0, native=1.0, focus=0.0))


@dataclass(frozen=True)
class _Pass:
    """What one pass answers: some structures, always the same together, and what it tells of them.

    `named`: whether an adapter is told the structure.
    """

    structures: tuple[str, ...]
    modality: Modality | None
    named: bool
    multimask: bool


class SlidingImage(OpenImage):
    """An image whose structures are answered by few passes of windows, which are kept.

    Args:
        encodings: of the frame's image.
        memory: bytes of answers to keep, and to make in one pass; the least recently asked go first.
    """

    def __init__(self, encodings: Encodings, memory: int) -> None:
        super().__init__(encodings)
        self._memory = memory
        self._passes: OrderedDict[_Pass, list[list[Answer]]] = OrderedDict()

    def answers(
        self, prompts: Sequence[FramePrompt], contexts: Sequence[Context], *, multimask: bool = False
    ) -> Iterator[Answer]:
        """See OpenImage.answers."""
        spec = self.encodings.backbone.spec
        each = 4 * math.prod(self.encodings.image.shape) * (3 if multimask else 1)
        together = max(1, self._memory // each)
        for prompt, context in zip(prompts, contexts, strict=True):
            structure = require_known(prompt.structure or "", spec.structures)
            group = spec.answered_with(structure, context.modality)
            place = group.index(structure)
            first = place // together * together
            has_name = context.structure is not None
            pass_key = _Pass(group[first : first + together], context.modality, has_name, multimask)
            if pass_key not in self._passes:
                self._passes[pass_key] = self._answered(pass_key)
                self._forget()
            self._passes.move_to_end(pass_key)
            for answer in self._passes[pass_key][place - first]:
                yield replace(answer, frame_logits=answer.logits.float())

    def _answered(self, pass_key: _Pass) -> list[list[Answer]]:
        structure_contexts = [
            (name, Context(pass_key.modality, name if pass_key.named else None)) for name in pass_key.structures
        ]
        fresh = slide(self.encodings, pass_key.multimask, structure_contexts)
        return [
            [replace(answer, frame_logits=answer.logits.half()) for answer in pass_answers] for pass_answers in fresh
        ]

    def _forget(self) -> None:
        """Drop the oldest passes until the rest fit into memory, but keep the newest."""
        while len(self._passes) > 1 and sum(map(_bytes, self._passes.values())) > self._memory:
            self._passes.popitem(last=False)


def _bytes(answers: Sequence[Sequence[Answer]]) -> int:
    return sum(
        answer.logits.numel() * answer.logits.element_size() for pass_answers in answers for answer in pass_answers
    )


def slide(encodings: Encodings, multimask: bool, questions: Sequence[tuple[str, Context]]) -> list[list[Answer]]:
    """One pass of windows over the image for any number of structures.

    Args:
        encodings: of the frame's image.
        multimask: three alternatives a structure.
        questions: structure and context of each.

    Returns:
        For each question its answers, in order: one, or three alternatives.
    """
    image, size, device = encodings.image, encodings.window, encodings.device
    whole = VoxelBlock.whole(image.shape)
    windows = windows_over(whole, size)
    weights = gaussian(size).to(device)
    masks = 3 if multimask else 1
    total = torch.zeros(len(questions), masks, *image.shape, device=device)
    weight = torch.zeros(image.shape, device=device)
    overlap = np.zeros((len(questions), masks))
    voxels = np.zeros((len(questions), masks))
    prompts, contexts = [FramePrompt(name) for name, _ in questions], [context for _, context in questions]
    encodings.plan(windows)
    for start in range(0, len(windows), encodings.batch):
        some = windows[start : start + encodings.batch]
        answers = encodings.decode_everywhere(list(map(encodings.at, some)), prompts, contexts, multimask=multimask)
        for window, logits, iou in zip(some, *answers, strict=True):
            content_slices = window.content.shift(window.view.start, -1).slices
            part = logits[(..., *content_slices)]
            total[(..., *window.content.slices)] += part * weights[content_slices]
            weight[window.content.slices] += weights[content_slices]
            count = (part > 0).sum(dim=(2, 3, 4)).cpu().numpy() + 1e-3  # where nothing is, each window counts alike
            overlap += iou.cpu().numpy() * count
            voxels += count
    total /= weight
    return [
        [Answer(total[row, mask], float(overlap[row, mask] / voxels[row, mask]), len(windows)) for mask in range(masks)]
        for row in range(len(questions))
    ]


def gaussian(size: Triple) -> Tensor:
    """(D, H, W): weights of a window's voxels, 1 in its middle and at least LEAST."""
    weights = torch.ones(1)
    for side in size:
        places = torch.arange(side) - (side - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (places / (SIGMA * side)).square())
    return (weights[0] / weights.max()).clamp_min(LEAST)
