"""Ask again with a slightly moved prompt: an answer that jumps was not to be trusted.

A box is enlarged by a twentieth of its sides and points step aside by 3 mm, as another person would have set them. A
text has no place, so the box round the answer itself is added to it: a network that found what was meant finds it
again.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ..imaging.boxes import Box, point
from ..imaging.framing import foreground_box
from ..imaging.grid import Grid
from ..imaging.prompts import Prompt, PromptKind
from .segmentation import Segmentation
from .session import Session

_SHARE = 0.05  # of a box's side
_STEP_MM = 3.0


def agreement(session: Session, answer: Segmentation) -> float | None:
    """Overlap (IoU) of an answer with the answer to its prompt moved a little; None where neither can be asked.

    The dialogue of the session is not touched. It costs one more question.
    """
    prompt = moved_prompt(answer, session.network.spec.accepts)
    if prompt is None:
        return None
    other = session.segment(prompt, structure=answer.structure).mask
    union = int((answer.mask | other).sum())
    return int((answer.mask & other).sum()) / union if union else 1.0


def moved_prompt(answer: Segmentation, accepts: frozenset[PromptKind] = frozenset(PromptKind)) -> Prompt | None:
    """The prompt of an answer, moved; None where it cannot be.

    Args:
        answer: not empty, if its prompt is a text alone.
        accepts: what the network takes.
    """
    prompt = answer.prompt
    if prompt.box is not None:
        prompt = replace(prompt, box=_enlarged(prompt.grid, *prompt.box.voxels))
    elif not prompt.points and PromptKind.BOX in accepts and answer.mask.any():
        low, high = foreground_box(answer.mask)
        return replace(prompt, box=_enlarged(prompt.grid, low, np.asarray(high) - 1))
    if prompt.points:
        prompt = replace(
            prompt, points=tuple(_aside(prompt.grid, number, spot) for number, spot in enumerate(prompt.points))
        )
    return None if prompt is answer.prompt else prompt


def _enlarged(grid: Grid, low: npt.ArrayLike, high: npt.ArrayLike) -> Box:
    """A box of voxels with each face moved outward, inside the image."""
    first, last = np.asarray(low, np.float64), np.asarray(high, np.float64)
    margin = np.maximum(1.0, _SHARE * (last - first + 1))
    end = np.asarray(grid.shape) - 1
    return Box(point(np.clip(first - margin, 0, end)), point(np.clip(last + margin, 0, end)))


def _aside(grid: Grid, number: int, spot: tuple[float, float, float]) -> tuple[float, float, float]:
    """A point one step along one axis, the next axis for the next point, and back where it would leave the image."""
    axis = number % 3
    step = max(1.0, _STEP_MM / grid.spacing[axis])
    place = np.asarray(spot, np.float64)
    forward = place[axis] + step <= grid.shape[axis] - 1
    place[axis] = np.clip(place[axis] + (step if forward else -step), 0, grid.shape[axis] - 1)
    return point(place)
