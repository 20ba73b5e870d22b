"""What can be asked about a case: a network with or without an adapter, or anything else that answers prompts.

A study compares methods that share nothing but their answers: a promptable network, a shape drawn into a box without
looking at the image, an automatic network that knows no prompts. Evaluation sees an `Answerer` and never which one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..imaging.boxes import Point
from ..imaging.prompts import Prompt, PromptKind
from ..imaging.volume import Volume
from ..inference.calibration import Calibration
from ..inference.confidence import warnings_of
from ..inference.encodings import Counts
from ..inference.segmentation import Segmentation
from ..inference.session import Session
from ..inference.signs import Surroundings
from ..models.backbone import BackboneModule, Windows

ContextChoice = Literal["known", "withheld"]


class Dialogue(Protocol):
    """One volume that is being asked about; `inference.session.Session` is one."""

    @property
    def counts(self) -> Counts:
        """Work done so far."""
        ...

    def segment(self, prompt: Sequence[Prompt], *, structure: str | None = None) -> list[Segmentation]:
        """Answer prompts, each as if alone, on the volume's grid."""
        ...

    def take_up(self, answer: Segmentation) -> Segmentation:
        """Make an answer the current one, to be corrected."""
        ...

    def add_point(self, point: Point, *, positive: bool = True) -> Segmentation:
        """Correct the current answer by a point."""
        ...

    def reset(self) -> None:
        """Forget the current answer."""
        ...


class Answerer(Protocol):
    """A method under test, ready to answer."""

    @property
    def corrects(self) -> bool:
        """Whether clicks correct its answers."""
        ...

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """Whether it can be asked by these kinds of prompt together."""
        ...

    def knows(self, structure: str) -> bool:
        """Whether it can be asked for a structure by its name."""
        ...

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """Begin with a volume."""
        ...

    def warnings(self, answer: Segmentation, surroundings: Surroundings) -> int:
        """How many reasons to doubt an answer a user would be told, beside the answer."""
        ...


@dataclass(frozen=True)
class NetworkAnswerer:
    """A promptable network with its adapter attached, in eval mode.

    Attributes:
        backbone: the network.
        calibration: what is known of its answers; an empty one leaves out the warnings that it would give.
    """

    backbone: BackboneModule
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def corrects(self) -> bool:
        """See Answerer: a network that takes points."""
        return PromptKind.POINT in self.backbone.spec.accepts

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Answerer: whatever the session can turn into what the network accepts."""
        return True

    def knows(self, structure: str) -> bool:
        """See Answerer: what it was trained on; anything, where that is not said."""
        return not self.backbone.spec.structures or structure in self.backbone.spec.structures

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer."""
        return Session(self.backbone, volume, windows=windows, context=context)

    def warnings(self, answer: Segmentation, surroundings: Surroundings) -> int:
        """See Answerer: those of `inference.confidence` that ask no further question."""
        return len(warnings_of(answer, surroundings, self.calibration))


class MaskDialogue:
    """A volume asked of something that makes a mask from each prompt, and keeps nothing from one to the next.

    Args:
        volume: whose grid the masks lie on.
        answer: prompt and structure -> (X, Y, Z) boolean mask.
    """

    def __init__(self, volume: Volume, answer: "MaskFunction") -> None:
        self.volume, self.answer = volume, answer
        self.counts = Counts()

    def segment(self, prompt: Sequence[Prompt], *, structure: str | None = None) -> list[Segmentation]:
        """See Dialogue; its predicted overlap is NaN."""
        return [
            Segmentation(
                self.answer(single_prompt, structure), self.volume.grid, single_prompt, structure, float("nan")
            )
            for single_prompt in prompt
        ]

    def take_up(self, answer: Segmentation) -> Segmentation:
        """See Dialogue."""
        return answer

    def add_point(self, point: Point, *, positive: bool = True) -> Segmentation:
        """Not to be called: an `Answerer` of such dialogues is not corrected by clicks."""
        raise NotImplementedError("clicks do not correct this method")

    def reset(self) -> None:
        """See Dialogue: nothing is kept."""


class MaskFunction(Protocol):
    """Makes a mask from a prompt."""

    def __call__(self, prompt: Prompt, structure: str | None) -> npt.NDArray[np.bool_]:
        """(X, Y, Z) on the prompt's grid."""
        ...
