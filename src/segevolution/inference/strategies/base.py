"""The base of a strategy: prepare the image of a volume for a network, and answer prompts with it.

`Spec.framing` names a strategy of the registry in `strategies/__init__.py`. A session, an evaluation, a training window
and a validation all go through the strategy, so that nothing above it knows which network answers. A strategy is one
file here, one line there, one test.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from ...adapters.switch import AdaptedNetwork
from ...data.framed_copies import frame_key
from ...data.windows import FramedCase, View, ViewSettings
from ...errors import CheckpointError
from ...imaging.framing import Frame, frame
from ...imaging.volume import Volume
from ...memory import MemoryBudget
from ...models.backbone import BackboneModule
from ...models.spec import Spec, Windows
from ...vocabulary import Context, Modality
from ..encodings import DEFAULT_BATCH, DEFAULT_MEMORY, Counts, Encodings, Precision
from ..frame_prompt import FramePrompt
from ..previous_answer import PreviousAnswer
from ..stretched_logits import PLANES, StretchedLogits
from ..windows import FrameImage, VoxelBlock, Window


@dataclass(frozen=True)
class StrategyOptions:
    """How the work is done.

    Attributes:
        windows: how "zoom" looks closer, see zoom.py; None takes what the network prefers. Others read it not.
        precision: "bf16" runs the network under autocast; answers are float32 either way.
        batch: windows encoded, and prompts decoded, in one call of the network.
        memory: bytes of window encodings to keep; the least recently used go first.
    """

    windows: Windows | None = None
    precision: Precision = "fp32"
    batch: int = DEFAULT_BATCH
    memory: int = DEFAULT_MEMORY


@dataclass(frozen=True, eq=False)
class Answer:
    """What the network says to one prompt (or one alternative of it).

    Attributes:
        frame_logits: (D, H, W) float32 on the frame, or what they are made of; foreground is > 0.
        iou: predicted overlap with the truth, the mean over the windows that answered.
        windows: number of windows that answered beside a first look at the whole image.
        previous: the answer as it is told back with the next prompt, for a network that accepts that.
        notes: clauses on how it came about.
    """

    frame_logits: Tensor | StretchedLogits
    iou: float
    windows: int
    previous: PreviousAnswer | None = None
    notes: tuple[str, ...] = ()

    @property
    def logits(self) -> Tensor:
        """(D, H, W) float32 on the frame, whole; where planes will do, `parts` takes less memory."""
        return self.frame_logits.whole() if isinstance(self.frame_logits, StretchedLogits) else self.frame_logits

    def parts(self) -> Iterator[tuple[slice, Tensor]]:
        """The planes of the frame, some at a time: which, and (planes, H, W) of the logits."""
        if isinstance(self.frame_logits, StretchedLogits):
            yield from self.frame_logits.parts()
            return
        depth = len(self.frame_logits)
        for start in range(0, depth, PLANES):
            part = slice(start, min(start + PLANES, depth))
            yield part, self.frame_logits[part]


class OpenImage(ABC):
    """One image before one network, ready for any number of prompts.

    Attributes:
        encodings: of the image, shared by all prompts.
    """

    def __init__(self, encodings: Encodings) -> None:
        self.encodings = encodings

    @property
    def counts(self) -> Counts:
        """Encodings and decodings done so far."""
        return self.encodings.counts

    def warm_up(self) -> None:  # noqa: B027
        """Encode what every prompt will need, before any comes; nothing where each prompt has windows of its own."""

    @abstractmethod
    def answers(
        self, prompts: Sequence[FramePrompt], contexts: Sequence[Context], *, multimask: bool = False
    ) -> Iterator[Answer]:
        """Answer prompts in order, each as if it were alone.

        Args:
            prompts: in frame voxels.
            contexts: one a prompt.
            multimask: three alternatives a prompt, in order, instead of one answer.
        """


class Strategy(ABC):
    """How one kind of network looks at a volume.

    Attributes:
        name: what `Spec.framing` calls it.
    """

    name: ClassVar[str]

    def check(self, spec: Spec) -> None:
        """Refuse a network that this strategy cannot serve.

        Raises:
            CheckpointError: names what does not fit.
        """
        if spec.window[0] == 1:
            raise CheckpointError(
                f'a network of 2-D windows {spec.window} cannot be framed by "{self.name}"; its framing is "slices".'
            )

    def prepare(self, volume: Volume, spec: Spec, budget: MemoryBudget | None = None) -> Frame:
        """The volume as the network sees it: its intensity, spacing and order.

        Args:
            volume: signal as measured.
            spec: of the network.
            budget: what resampling may take; None takes half of the free memory.

        Raises:
            VolumeError: its voxels are constant or not finite, or would need too much memory at the network's spacing.
        """
        return frame(volume, spec.intensity, spec.spacing, budget=budget)

    def preparation(self, spec: Spec) -> tuple[object, ...]:
        """All that `prepare` reads of a network, as values that JSON can say: where they are equal, frames are."""
        strategy_key = () if type(self).prepare is Strategy.prepare else (self.name, spec.axis)
        return *frame_key(spec.intensity, spec.spacing), *strategy_key

    def open(
        self,
        backbone: BackboneModule | AdaptedNetwork,
        image: FrameImage,
        pad: float,
        modality: Modality | None,
        options: StrategyOptions,
    ) -> OpenImage:
        """Make an image ready for prompts; nothing is encoded yet.

        Args:
            backbone: in eval mode.
            image: (D, H, W) float32 of a frame, on the network's device, or as a table in the processor's memory.
            pad: the number that stands outside it.
            modality: what the encoder may know.
            options: see StrategyOptions.
        """
        encodings = Encodings(
            backbone,
            image,
            modality,
            pad=pad,
            precision=options.precision,
            batch=options.batch,
            memory=options.memory,
        )
        return self._opened(encodings, options)

    def overview(self, image: Tensor, pad: float, spec: Spec) -> Tensor:
        """(1, 1, *window): one window that stands for an image (D, H, W) where a single one must; here its middle."""
        d, h, w = ((side - window_side) // 2 for side, window_side in zip(image.shape, spec.window, strict=True))
        view = VoxelBlock.whole(spec.window).shift((d, h, w))
        return Window(view, view.meet(VoxelBlock.whole(image.shape))).cut(image, pad)[None, None]

    @abstractmethod
    def _opened(self, encodings: Encodings, options: StrategyOptions) -> OpenImage:
        """The image as this strategy answers with it."""

    @abstractmethod
    def view(self, case: FramedCase, spec: Spec, rng: np.random.Generator, settings: ViewSettings) -> View:
        """Draw a training window of what the network meets when it answers.

        Args:
            case: prepared by this strategy.
            spec: of the network.
            rng: the only source of chance.
            settings: how views are drawn, as far as this strategy has what they speak of.
        """
