"""An organ is one piece: what an answer claims apart from it goes.

An organ such as the liver is one connected piece; an answer by its name that holds a second, smaller one is wrong
there, most often in fat or muscle that looks alike. So of an answer about such an organ a piece that is less than half
as large as the largest goes. What may be joined to it outside the scan, since it touches the border, stays, and so does
what a person clicked on.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..imaging.framing import foreground_box
from ..imaging.prompts import Prompt, PromptKind
from .usual_anatomy import ONE_PIECE

Mask = npt.NDArray[np.bool_]

SHARE = 0.5  # of the largest piece's voxels
_TOLD = 0.05  # of the answer, from which on a person is told
_DRAWN = {PromptKind.SCRIBBLE, PromptKind.LASSO, PromptKind.MASK}  # whoever draws decides
_TOUCHING = np.ones((3, 3, 3), np.bool_)


def without_islands(mask: Mask, prompt: Prompt) -> tuple[Mask, str | None]:
    """The mask of an answer without its islands, and a note where they were a good part of it.

    Args:
        mask: (X, Y, Z); it is not changed.
        prompt: what was asked, in voxels of the same grid; all stays where it does not name an organ in one piece, or
            where it was drawn.
    """
    if prompt.text not in ONE_PIECE or prompt.kinds & _DRAWN or not mask.any():
        return mask, None
    low, high = foreground_box(mask)
    block = tuple(slice(*span) for span in zip(low, high, strict=True))
    pieces, count = ndimage.label(mask[block], _TOUCHING)
    if count == 1:
        return mask, None
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    kept = sizes >= SHARE * sizes.max()
    kept[_at_the_border(pieces, low, high, mask.shape)] = True
    kept[_clicked(pieces, low, prompt)] = True
    kept[0] = False
    lost = sizes[~kept].sum() / sizes.sum()
    if not lost:
        return mask, None
    tidy = np.zeros_like(mask)
    tidy[block] = kept[pieces]
    return (
        tidy,
        f"{lost:.0%} of the answer lay apart from the {prompt.text} and was left out" if lost >= _TOLD else None,
    )


def _at_the_border(
    pieces: npt.NDArray[np.integer], low: tuple[int, ...], high: tuple[int, ...], shape: tuple[int, ...]
) -> npt.NDArray[np.integer]:
    """Labels of the pieces that touch a face of the scan."""
    faces = [np.take(pieces, 0, axis) for axis in range(3) if low[axis] == 0]
    faces += [np.take(pieces, -1, axis) for axis in range(3) if high[axis] == shape[axis]]
    return np.unique(np.concatenate([face.ravel() for face in faces])) if faces else np.zeros(0, np.intp)


def _clicked(pieces: npt.NDArray[np.integer], low: tuple[int, ...], prompt: Prompt) -> npt.NDArray[np.integer]:
    """Labels of the pieces that hold a point on the structure."""
    points = [
        tuple(round(value) - first for value, first in zip(point, low, strict=True))
        for point, label in zip(prompt.points, prompt.labels, strict=True)
        if label == 1
    ]
    inside = [point for point in points if all(0 <= at < side for at, side in zip(point, pieces.shape, strict=True))]
    return np.unique([pieces[point] for point in inside]) if inside else np.zeros(0, np.intp)
