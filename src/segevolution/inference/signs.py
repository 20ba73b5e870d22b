"""What an answer shows of its own quality: numbers that can be had without a label.

Certainty and predicted overlap come from the network. How far the answer stays when the prompt is moved a little takes
another question or two, so it is asked for separately (`moved_prompts`). Volume, depth under the skin and pieces are
geometry, and speak where a network is wrong and sure of it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, special

from ..imaging.body import Body
from ..imaging.framing import Frame, foreground_box
from ..imaging.usable_signal import UsableSignal
from ..imaging.volume import Volume
from ..vocabulary import Modality
from .segmentation import Segmentation

Mask = npt.NDArray[np.bool_]

_PLANES = 16


@dataclass(frozen=True)
class Surroundings:
    """What every answer about one volume is held against; made once a volume.

    Attributes:
        modality: as stated; None = nobody said it.
        body: where the body is; None where the scan does not show it.
    """

    modality: Modality | None
    body: Body | None

    @classmethod
    def of(cls, volume: Volume, usable: UsableSignal | None = None) -> "Surroundings":
        """Find the body of a volume, whose usable signal may be known; takes a fraction of a second."""
        return cls(volume.modality, Body.of(volume, usable))


@dataclass(frozen=True)
class Signs:
    """Numbers about one answer.

    Attributes:
        predicted_iou: the network's own estimate of the overlap with the truth, not calibrated.
        certainty: overlap that the network's own probabilities expect, in [0, 1]; None where they were not kept.
        agreement: mean overlap with the answers to slightly moved prompts; None where these were not asked.
        millilitres: volume of the mask; NaN where the volume has no spacing.
        cut: whether the mask touches the image's border, so that part of the structure may lie beyond.
        depth_mm: of the mask's middle voxel under the body's surface; None where the body is not known.
        outside: share of the mask outside the body; None likewise.
        section_cm2: area of the body across the slices that the mask lies in; None likewise.
        largest_piece: share of the mask that its largest connected piece holds.
    """

    predicted_iou: float
    certainty: float | None
    agreement: float | None
    millilitres: float
    cut: bool
    depth_mm: float | None
    outside: float | None
    section_cm2: float | None
    largest_piece: float


def signs_of(
    answer: Segmentation, surroundings: Surroundings, *, frame: Frame | None = None, agreement: float | None = None
) -> Signs | None:
    """The signs of an answer; None for an empty one.

    Args:
        answer: with its logits, if certainty is wanted.
        surroundings: of the same volume.
        frame: the session's, on which the logits lie; needed for certainty.
        agreement: of `moved_prompts.agreement`, if it was asked for.
    """
    mask = answer.mask
    if not mask.any():
        return None
    low, high = foreground_box(mask)
    tight = mask[tuple(slice(*span) for span in zip(low, high, strict=True))]
    depths = None if surroundings.body is None else surroundings.body.depths(mask)
    return Signs(
        predicted_iou=float(answer.iou),
        certainty=None if frame is None or answer.logits is None else certainty(answer, frame),
        agreement=agreement,
        millilitres=answer.volume_ml,
        cut=any(first == 0 for first in low) or any(end == side for end, side in zip(high, mask.shape, strict=True)),
        depth_mm=None if depths is None else float(np.median(depths)),
        outside=None if depths is None else float((depths <= 0).mean()),
        section_cm2=None if surroundings.body is None else surroundings.body.cross_section_cm2(mask),
        largest_piece=_largest_share(tight),
    )


def certainty(answer: Segmentation, frame: Frame) -> float:
    """The overlap that a network's own probabilities expect: their sum inside the mask over mask and sum outside.

    Args:
        answer: with its logits.
        frame: the session's.
    """
    assert answer.logits is not None
    logits, mask = frame.on_crop(answer.logits), frame.crop(answer.mask)
    inside = outside = 0.0
    for start in range(0, len(logits), _PLANES):  # by parts, as a volume in single precision takes a gigabyte
        part = slice(start, start + _PLANES)
        probability = special.expit(logits[part].astype(np.float32))
        covered = float(probability[mask[part]].sum(dtype=np.float64))
        inside += covered
        outside += float(probability.sum(dtype=np.float64)) - covered
    return inside / max(float(mask.sum()) + outside, 1e-6)


def _largest_share(mask: Mask) -> float:
    pieces, count = ndimage.label(mask)
    if count == 1:
        return 1.0
    sizes = np.bincount(pieces.ravel())[1:]
    return float(sizes.max() / sizes.sum())
