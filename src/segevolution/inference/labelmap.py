"""Several masks of one volume as one label map with a key."""

from collections.abc import Sequence

import numpy as np

from ..errors import PromptError
from ..imaging.framing import Frame
from ..imaging.grid import Array
from .segmentation import Segmentation


def label_map(found: Sequence[Segmentation], frame: Frame) -> Array:
    """Join masks; a voxel that several claim goes to the one with the highest logit, the first among equals.

    Args:
        found: answers of one session. If there are several, they must hold their logits.
        frame: the session's.

    Returns:
        (X, Y, Z) on the volume's grid: 0 background, i + 1 where `found[i]` has the voxel; uint8, or uint16 for
        more than 255 structures.

    Raises:
        PromptError: an answer's logits were not kept.
    """
    labels = np.zeros(frame.cropped, np.uint8 if len(found) <= 255 else np.uint16)
    best = np.full(frame.cropped, -np.inf, np.float32) if len(found) > 1 else None
    for label, answer in enumerate(found, start=1):
        mask = frame.crop(answer.mask)
        if best is not None:
            if answer.logits is None:
                raise PromptError("masks can be joined only if their logits were kept; segment with keep_logits=True.")
            logits = frame.on_crop(answer.logits)
            mask = mask & (logits > best)
            best[mask] = logits[mask]
        labels[mask] = label
    return frame.restore(labels)
