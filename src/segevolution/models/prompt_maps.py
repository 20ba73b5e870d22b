"""Prompts drawn as channels beside the image, for networks that read them so.

Each prompt of a dialogue is one stroke: a point, a filled region (a flat box or a lasso), or a scribble, on the
structure or off it. Points become small balls that fade to their rim; regions and scribbles are filled. Newer strokes
are stronger: the newest is 1, and each one before it `decay` times the next. So nnInteractive (Isensee et al. 2025,
arXiv:2503.08373) was trained. Values are rounded to float16 once, as its code keeps them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..imaging.grid import Triple

Span = tuple[Triple, Triple]  # first voxel and the one after the last, (d, h, w)


class MapKind(IntEnum):
    """What a stroke is; each kind has one channel for what is on the structure, and one for what is off it."""

    REGION = 0
    POINT = 1
    SCRIBBLE = 2


CHANNELS = 2 * len(MapKind)


@dataclass(frozen=True)
class PromptMaps:
    """How a network wants its prompts drawn.

    Attributes:
        point_radius: of a point's ball, in voxels.
        decay: of a stroke for each one that came after it, above 0 and up to 1.
    """

    point_radius: int = 4
    decay: float = 0.98


@dataclass(frozen=True, eq=False)
class Stroke:
    """One prompt.

    Attributes:
        kind: of its channel.
        positive: whether it lies on the structure.
        span: of a flat box or a ball's tight box; what it holds of voxels lies inside.
        voxels: (N, 3) int64 of a lasso or scribble; None = the whole span, or a point's ball.
    """

    kind: MapKind
    positive: bool
    span: Span
    voxels: Tensor | None = None

    @classmethod
    def point(cls, place: Sequence[float], *, positive: bool, radius: int) -> "Stroke":
        """A ball round the voxel that is nearest to a place (d, h, w)."""
        d, h, w = (round(value) for value in place)
        first, last = (d - radius, h - radius, w - radius), (d + radius + 1, h + radius + 1, w + radius + 1)
        return cls(MapKind.POINT, positive, (first, last))

    @classmethod
    def filled(cls, kind: MapKind, voxels: Tensor, *, positive: bool) -> "Stroke":
        """All of some voxels (N, 3), at least one."""
        first, last = voxels.amin(0).tolist(), (voxels.amax(0) + 1).tolist()
        return cls(kind, positive, ((first[0], first[1], first[2]), (last[0], last[1], last[2])), voxels)

    @property
    def channel(self) -> int:
        """Its place among the CHANNELS."""
        return 2 * self.kind + (0 if self.positive else 1)


def flat(first: Sequence[int], stop: Sequence[int]) -> Span:
    """A box (d, h, w), half-open, as the network can be told it: one voxel thick.

    It reads flat boxes only. A box that is flat along some axis stays as it is; of any other its middle slice is told,
    across the first axis.
    """
    low, high = [int(value) for value in first], [int(value) for value in stop]
    if all(end - start > 1 for start, end in zip(low, high, strict=True)):
        low[0] = round((low[0] + high[0]) / 2 - 0.25)  # of an even number of slices the lower of the two in the middle
        high[0] = low[0] + 1
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


@lru_cache(maxsize=8)
def ball(radius: int) -> Tensor:
    """(2 r + 1)^3 float32: distance to the outside over the largest one; 1 in the middle, 0 outside."""
    axis = np.arange(-radius, radius + 1)
    d, h, w = np.meshgrid(axis, axis, axis, indexing="ij")
    depth = ndimage.distance_transform_edt(np.pad(d**2 + h**2 + w**2 <= radius**2, 1))[1:-1, 1:-1, 1:-1]
    return torch.from_numpy((depth / depth.max()).astype(np.float32))


class DrawnPrompt:
    """The channels of one prompt, drawn where they are looked at and kept nowhere.

    Args:
        strokes: the oldest first.
        settings: see PromptMaps.
    """

    def __init__(self, strokes: Sequence[Stroke], settings: PromptMaps) -> None:
        self.strokes, self.settings = tuple(strokes), settings

    @property
    def intensity(self) -> float:
        """Of the newest stroke, as the published code stores it; what the network sees is divided by it."""
        return self._intensities()[-1] if self.strokes else 1.0

    def stored(self, channel: int, first: Triple, stop: Triple, device: torch.device) -> Tensor | None:
        """One channel of a block, float16, as the published code stores it; None where nothing was drawn in it.

        Args:
            channel: see Stroke.channel.
            first, stop: of the block (d, h, w), half-open.
            device: of the answer.
        """
        values: Tensor | None = None
        for stroke, intensity in zip(self.strokes, self._intensities(), strict=True):
            if stroke.channel != channel:
                continue
            low = [max(*pair) for pair in zip(stroke.span[0], first, strict=True)]
            high = [min(*pair) for pair in zip(stroke.span[1], stop, strict=True)]
            if any(start >= end for start, end in zip(low, high, strict=True)):
                continue
            if values is None:
                shape = [end - start for start, end in zip(first, stop, strict=True)]
                values = torch.zeros(shape, dtype=torch.float16, device=device)
            _draw(values, stroke, intensity, self.settings, first, (low, high))
        return values

    def seen(self, channel: int, first: Triple, stop: Triple, device: torch.device) -> Tensor | None:
        """One channel of a block as the network sees it, float32; None where nothing was drawn in it."""
        values = self.stored(channel, first, stop, device)
        return None if values is None else values.float() / self.intensity

    def _intensities(self) -> list[float]:
        return [self.settings.decay ** -(number + 1) for number in range(len(self.strokes))]


def _draw(
    values: Tensor, stroke: Stroke, intensity: float, settings: PromptMaps, origin: Triple, part: tuple[list[int], ...]
) -> None:
    """Draw the part of a stroke that a block shows, in place; boxes replace what was there, all else adds to it."""
    low, high = part
    where = tuple(slice(start - by, end - by) for start, end, by in zip(low, high, origin, strict=True))
    if stroke.voxels is not None:
        inside = ((stroke.voxels >= torch.tensor(low)) & (stroke.voxels < torch.tensor(high))).all(1)
        d, h, w = (stroke.voxels[inside] - torch.tensor(origin)).to(values.device).T
        values[d, h, w] = values[d, h, w].clamp_min(intensity)
    elif stroke.kind is MapKind.POINT:
        cut = tuple(slice(start - by, end - by) for start, end, by in zip(low, high, stroke.span[0], strict=True))
        fresh = (ball(settings.point_radius)[cut] * intensity).to(values)
        values[where] = torch.maximum(values[where], fresh)
    else:
        values[where] = intensity


def possible(settings: PromptMaps) -> bool:
    """Whether the settings can be."""
    return 1 <= settings.point_radius <= 64 and math.isfinite(settings.decay) and 0.5 <= settings.decay <= 1
