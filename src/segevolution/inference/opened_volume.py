"""A volume before a network: prepared once, encoded once, asked by any number of sessions.

opened = OpenVolume(load("segvol-mini"), read("scan.nii.gz"))
mine, yours = Session.on(opened), Session.on(opened)    # dialogues of their own, from the same encodings
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from threading import RLock
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import torch

from ..adapters.protocol import Adapter
from ..adapters.switch import AdaptedNetwork
from ..errors import CheckpointError, PromptError, VolumeError
from ..imaging.framing import Frame
from ..imaging.intensity import Image
from ..imaging.prompts import Prompt, PromptKind
from ..imaging.table_image import TableImage
from ..imaging.volume import Volume
from ..memory import MemoryBudget
from ..models.backbone import BackboneModule, Windows
from ..vocabulary import Context, canonical
from .encodings import DEFAULT_BATCH, DEFAULT_MEMORY, Counts, Precision
from .frame_prompt import mask_in_frame, to_frame_prompt
from .history import HistoryEntry
from .islands import without_islands
from .prepared_prompt import PreparedPrompt, understood
from .second_opinion import SecondOpinion
from .segmentation import Logits, Mask, Segmentation, difference
from .strategies import strategy_of
from .strategies.base import Answer, OpenImage, StrategyOptions
from .test_time import EntropyDescent


class OpeningOptions(TypedDict, total=False):
    """How a volume is opened; see Session for each."""

    windows: Windows | None
    precision: Precision
    batch: int
    memory: int
    context: Literal["known", "withheld"]
    adapter: Adapter | Literal["attached"] | None
    max_gigabytes: float | None
    test_time: EntropyDescent | None
    second_opinion: bool
    drop_islands: bool


class OpenVolume:
    """One volume before one network with one adapter.

    Args:
        backbone, volume, windows, precision, batch, memory, context, adapter, max_gigabytes: as for Session.
        test_time, second_opinion, drop_islands: as for Session.

    Attributes:
        lock: held by whoever reads answers; the encodings are shared, so one question is answered after the other.
        frame: the volume as the network sees it.

    Raises:
        AdapterError, VolumeError, CheckpointError: as Session does.
        PromptError: an option has a value that there is not.
    """

    def __init__(
        self,
        backbone: BackboneModule,
        volume: Volume,
        *,
        windows: Windows | None = None,
        precision: Precision = "fp32",
        batch: int = DEFAULT_BATCH,
        memory: int = DEFAULT_MEMORY,
        context: Literal["known", "withheld"] = "known",
        adapter: Adapter | Literal["attached"] | None = "attached",
        max_gigabytes: float | None = None,
        test_time: EntropyDescent | None = None,
        second_opinion: bool = True,
        drop_islands: bool = True,
    ) -> None:
        if not isinstance(backbone, BackboneModule):
            raise CheckpointError(
                f"a volume is opened with a network, such as load() gives, not with a {type(backbone).__name__}."
            )
        if not isinstance(volume, Volume):
            raise VolumeError(f"a network opens a Volume, such as read(path) gives, not a {type(volume).__name__}.")
        _require("windows", windows, (None, *get_args(Windows)))
        _require("precision", precision, get_args(Precision))
        _require("context", context, ("known", "withheld"))
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise PromptError(f"batch is {batch!r}; it is how many windows are encoded at once, 1 or more.")
        self.lock = RLock()
        self.network = AdaptedNetwork.of(backbone) if adapter == "attached" else AdaptedNetwork(backbone, adapter)
        self.volume = volume
        self.windows: Windows = windows or self.network.spec.windows
        self._strategy = strategy = strategy_of(self.network.spec)
        if test_time is not None and strategy.name != "zoom":
            raise PromptError(
                "test-time adaptation needs a network that looks at the whole scan first, and this one does not."
            )
        self.frame: Frame = strategy.prepare(volume, self.network.spec, MemoryBudget.of(max_gigabytes))
        if self.network.device.type == "cpu":
            self.frame = self.frame.without_copy(volume.array)
        self._told, self._test_time, self._drop_islands = context == "known", test_time, drop_islands
        self._options = StrategyOptions(self.windows, precision, batch, memory)
        self._image = self._opened(self.frame.image)
        self._second_opinion = (
            SecondOpinion.where_due(volume, self.network.spec, self.frame.image, self._opened)
            if second_opinion and test_time is None
            else None
        )

    def _opened(self, image: Image | TableImage) -> OpenImage:
        """An image of the frame, ready for prompts."""
        return self._strategy.open(
            self.network,
            image if isinstance(image, TableImage) else torch.from_numpy(image).to(self.network.device),
            self.frame.pad,
            self.volume.modality if self._told else None,
            self._options,
        )

    @property
    def counts(self) -> Counts:
        """Encodings and decodings done so far, for all sessions."""
        counts = self._image.counts
        if self._second_opinion is not None:
            counts = counts.plus(self._second_opinion.counts)
        return counts

    def warm_up(self) -> None:
        """Encode now what every first prompt will need, where the network looks at the whole volume first."""
        with self.lock:
            self._image.warm_up()

    def understood(self, prompt: Prompt) -> PreparedPrompt:
        """A person's prompt for this network and volume; raises as `prepared_prompt.understood`."""
        return understood(prompt, self.network.spec, self.volume)

    def ask(
        self,
        questions: Sequence[PreparedPrompt],
        structure: str | None,
        *,
        earlier: HistoryEntry | None = None,
        multimask: bool = False,
    ) -> Iterator[tuple[Answer, str | None]]:
        """Answers in order, each with the name of its structure; told of an `earlier` one where the network can.

        Hold `lock` while they are read.
        """
        if not questions:
            return
        names = [
            question.prompt.text or (None if structure is None else canonical(structure)) for question in questions
        ]
        contexts = [Context(self.volume.modality, name) if self._told else Context() for name in names]
        prompts = [to_frame_prompt(question.asked, self.frame) for question in questions]
        if earlier is not None and PromptKind.MASK in self.network.spec.accepts:
            previous = earlier.previous or (mask_in_frame(earlier.mask, self.frame) if earlier.mask else None)
            prompts = [
                replace(prompt, previous=previous, newest=question.prompt.newest_since(earlier.prompt))
                for prompt, question in zip(prompts, questions, strict=True)
            ]
        prompts = [prompt.to(self.network.device) for prompt in prompts]
        each = 3 if multimask else 1
        if self._test_time is not None:
            for prompt, context, name in zip(prompts, contexts, names, strict=True):
                with self._test_time.adapted(self._image.encodings, prompt, context):
                    for answer in self._image.answers([prompt], [context], multimask=multimask):
                        yield self._with_absence(answer, context), name
            return
        for place, answer in enumerate(self._image.answers(prompts, contexts, multimask=multimask)):
            question = place // each
            if self._second_opinion is not None and not multimask:
                answer = self._second_opinion.surer(answer, prompts[question], contexts[question])
            yield self._with_absence(answer, contexts[question]), names[question]

    def _with_absence(self, answer: Answer, context: Context) -> Answer:
        """An answer that says so where the adapter had no part in it."""
        adapter = self.network.adapter
        absence = None if adapter is None else adapter.absence(context, self._image.encodings.routed)
        if absence is None:
            return answer
        note = f"this is the base's answer: {absence}"
        return replace(answer, notes=(*answer.notes, note))

    def _mask_of(self, answer: Answer, *, keep_logits: bool) -> tuple[Mask, Logits | None]:
        """The mask in file order, and the logits on the frame where they are to be kept."""
        if self.frame.resampling is not None:
            resampled = answer.logits
            mask = self.frame.restore(self.frame.on_crop(resampled.cpu().numpy()) > 0)
            return mask, resampled.half().cpu().numpy() if keep_logits else None
        mask = np.zeros(self.frame.grid.shape, np.bool_)
        crop, half_logits = self.frame.crop(mask), np.empty(self.frame.cropped, np.float16) if keep_logits else None
        for part, logits in answer.parts():  # by planes: logits of a large CT take 839 MB
            crop[part] = (logits > 0).cpu().numpy()
            if half_logits is not None:
                half_logits[part] = logits.half().cpu().numpy()
        return mask, half_logits

    def given(
        self, question: PreparedPrompt, answer: Answer, *, keep_logits: bool = False
    ) -> tuple[Mask, Logits | None, tuple[str, ...]]:
        """What a person is given of an answer: mask, logits where they are to be kept, and all notes."""
        mask, logits = self._mask_of(answer, keep_logits=keep_logits)
        notes = (*question.notes, *answer.notes)
        if self._drop_islands:
            mask, note = without_islands(mask, question.prompt)
            notes = notes if note is None else (*notes, note)
        return mask, logits, notes

    def segmentation(
        self, question: PreparedPrompt, answer: Answer, structure: str | None, *, keep_logits: bool = False
    ) -> Segmentation:
        """An answer as a person gets it who saw nothing before."""
        mask, logits, notes = self.given(question, answer, keep_logits=keep_logits)
        return Segmentation(
            mask,
            self.volume.grid,
            question.prompt,
            structure,
            answer.iou,
            logits,
            notes,
            difference(mask, None),
            answer.previous,
        )


def _require(option: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise PromptError unless the value of an option is one that there is."""
    if value not in choices:
        there = ", ".join(str(choice) for choice in choices if choice is not None)
        raise PromptError(f"{option} is {value!r}; there are {there}.")
