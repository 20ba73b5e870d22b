"""An automatic network under test: it is asked for structures by name, and a box only cuts its answer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.prompts import Prompt, PromptKind
from ..imaging.volume import Volume
from ..inference.segmentation import Segmentation
from ..inference.session import Session
from ..inference.signs import Surroundings
from ..models.backbone import BackboneModule, Windows
from .answerers import ContextChoice, Dialogue, MaskDialogue

Mask = npt.NDArray[np.bool_]

ASKED_BY = (frozenset({PromptKind.TEXT}), frozenset({PromptKind.TEXT, PromptKind.BOX}))
"""A box without a name does not say which structure is meant."""


def asked_by(kinds: frozenset[PromptKind]) -> bool:
    """Whether these kinds of prompt together mean anything to an automatic network."""
    return kinds in ASKED_BY


@dataclass(frozen=True)
class AutomaticAnswerer:
    """A network that finds its structures without help, in eval mode.

    Attributes:
        backbone: one that accepts text alone.
    """

    backbone: BackboneModule
    corrects: bool = False

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Answerer."""
        return asked_by(kinds)

    def knows(self, structure: str) -> bool:
        """See Answerer."""
        return structure in self.backbone.spec.structures

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer; the image is looked at once, with the first question."""
        session = Session(self.backbone, volume, context=context)
        masks: dict[str, Mask] = {}

        def answer(prompt: Prompt, structure: str | None) -> Mask:
            name = prompt.text or ""
            if name not in masks:
                masks[name] = session.segment([Prompt(volume.grid, name)], structure=structure)[0].mask
            return cut_to_box(masks[name], prompt)

        return MaskDialogue(volume, answer)

    def warnings(self, answer: Segmentation, surroundings: Surroundings) -> int:
        """See Answerer: it doubts nothing."""
        return 0


class LabelledAnswers:
    """Masks of a volume that are known beforehand, by structure.

    Args:
        masks: structure -> (X, Y, Z); a structure that is not among them was not found.
        shape: of the volume.
    """

    def __init__(self, masks: Mapping[str, Mask], shape: tuple[int, int, int]) -> None:
        self.masks, self.shape = masks, shape

    def __call__(self, prompt: Prompt, structure: str | None) -> Mask:
        """See MaskFunction."""
        return cut_to_box(self.masks.get(prompt.text or "", np.zeros(self.shape, bool)), prompt)


def cut_to_box(mask: Mask, prompt: Prompt) -> Mask:
    """A mask (X, Y, Z) without what lies outside the prompt's box, if there is one."""
    if prompt.box is None:
        return mask
    first, last = prompt.box.voxels
    inside = tuple(slice(max(0, low), high + 1) for low, high in zip(first, last, strict=True))
    cut = np.zeros_like(mask)
    cut[inside] = mask[inside]
    return cut
