"""The ellipsoid inscribed in a box: what a box alone is worth, without looking at the image.

A tight box tells a method where a structure begins and ends on every side. Whatever scores no higher than this shape
has added nothing to what the box said.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..imaging.boxes import Box
from ..imaging.prompts import Prompt, PromptKind
from ..imaging.volume import Volume
from ..inference.segmentation import Segmentation
from ..inference.signs import Surroundings
from ..models.backbone import Windows
from .answerers import ContextChoice, Dialogue, MaskDialogue


def inscribed_ellipsoid(box: Box, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    """The voxels whose middles lie in the ellipsoid that touches all six faces of a box.

    Args:
        box: in voxels (x, y, z), both corners included.
        shape: of the array (X, Y, Z).

    Returns:
        (X, Y, Z), with at least one voxel.
    """
    first, last = (np.asarray(corner) for corner in box.voxels)
    middle, radii = (first + last) / 2, (last - first + 1) / 2
    box_slices = tuple(slice(int(low), int(high) + 1) for low, high in zip(first, last, strict=True))
    axes = [
        ((np.arange(part.start, part.stop) - centre) / radius) ** 2
        for part, centre, radius in zip(box_slices, middle, radii, strict=True)
    ]
    mask = np.zeros(shape, bool)
    mask[box_slices] = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :] <= 1
    if not mask.any():  # two voxels along every axis: no middle lies inside
        mask[box_slices] = True
    return mask


@dataclass(frozen=True)
class EllipsoidAnswerer:
    """Answers every prompt that has a box by the ellipsoid in it, and no other."""

    corrects: bool = False

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Answerer."""
        return PromptKind.BOX in kinds

    def knows(self, structure: str) -> bool:
        """See Answerer: names mean nothing to it, so none is refused."""
        return True

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer."""
        return MaskDialogue(volume, _answer)

    def warnings(self, answer: Segmentation, surroundings: Surroundings) -> int:
        """See Answerer: it doubts nothing."""
        return 0


def _answer(prompt: Prompt, structure: str | None) -> npt.NDArray[np.bool_]:
    assert prompt.box is not None, "only prompts with a box are asked"
    return inscribed_ellipsoid(prompt.box, prompt.grid.shape)
