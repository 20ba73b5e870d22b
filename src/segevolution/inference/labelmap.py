"""Several masks of one volume as one label map, into which they are folded as they come."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import PromptError
from ..imaging.framing import Frame, foreground_box
from ..imaging.grid import Array
from .segmentation import Segmentation

_PLANES = 32  # worked on at a time


class LabelMapBuilder:
    """A label map that takes one answer after another, so that no answer's mask or logits need to be kept.

    A voxel that several claim goes to the one with the highest logit, the first among equals. Memory is that of the
    labels and of one logit a voxel, however many answers there are.

    Args:
        frame: of the session that answers.
        most: how many answers will come at most.
    """

    def __init__(self, frame: Frame, most: int) -> None:
        self._frame = frame
        self._labels = np.zeros(frame.cropped, np.uint8 if most <= 255 else np.uint16)
        # Logits are kept in half precision; only where they are resampled they need more.
        self._best: npt.NDArray[np.floating] | None = None
        if most > 1:
            self._best = np.full(frame.cropped, -np.inf, np.float16 if frame.resampling is None else np.float32)
        self.count = 0

    def add(self, answer: Segmentation) -> int:
        """Fold an answer in; returns its label, 1 for the first.

        Raises:
            PromptError: there may be several, and its logits were not kept.
        """
        self.count += 1
        mask = self._frame.crop(answer.mask)
        (low, *lows), (high, *highs) = foreground_box(mask)
        sides = tuple(slice(*span) for span in zip(lows, highs, strict=True))
        logits = None
        if self._best is not None:
            if answer.logits is None:
                raise PromptError("masks can be joined only if their logits were kept; segment with keep_logits=True.")
            logits = self._frame.on_crop(answer.logits)
        for start in range(low, high, _PLANES):  # by parts, as each step takes as much memory as what it works on
            part = (slice(start, min(start + _PLANES, high)), *sides)
            won = mask[part]
            if self._best is not None and logits is not None:
                best = self._best[part]
                won = won & (logits[part] > best)
                best[won] = logits[part][won]
            self._labels[part][won] = self.count
        return self.count

    def labels(self, values: Mapping[int, int] | None = None) -> Array:
        """(X, Y, Z) on the volume's grid: 0 background, elsewhere the label of the answer that has the voxel.

        Args:
            values: what each label of `add` becomes, 1 to 255 (65,535 with more than 255 labels); None keeps them.
        """
        if values is None:
            return self._frame.restore(self._labels)
        table = np.zeros(self.count + 1, np.uint8 if max(values.values(), default=0) <= 255 else np.uint16)
        for label, value in values.items():
            table[label] = value
        labels = self._frame.restore(self._labels).astype(table.dtype, copy=False)
        for start in range(0, len(labels), _PLANES):
            labels[start : start + _PLANES] = table[labels[start : start + _PLANES]]
        return labels


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
    builder = LabelMapBuilder(frame, len(found))
    for answer in found:
        builder.add(answer)
    return builder.labels()


class LabelMasks(Sequence[Array]):
    """The masks of a label map, each made when it is asked for.

    Args:
        labels: of any shape.
        values: of the masks, in order.
    """

    def __init__(self, labels: Array, values: Sequence[int]) -> None:
        self._labels, self._values = labels, values

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: int) -> Array:  # type: ignore[override]
        return np.asarray(self._labels == self._values[place])
