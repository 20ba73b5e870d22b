"""Logits of a network's window, carried to the frame trilinearly a few planes at a time.

At 512x512x800 voxels logits of the whole frame take 839 MB, so that nothing holds them whole where planes will do. The
planes are bit for bit those of one call of torch's interpolation: each is interpolated between its two source planes
by the same kernel, told a scale that gives it the same weights.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..models.backbone import Triple
from .windows import VoxelBlock

WHOLE = 1 << 25  # voxels that are carried in one piece: 134 MB
PLANES = 32  # that are carried together beyond


@dataclass(frozen=True, eq=False)
class StretchedLogits:
    """Logits on a frame: stretched coarse ones, and in a region others.

    Attributes:
        coarse: (d, h, w) float32 of the whole image squeezed into the network's window.
        shape: (D, H, W) of the frame.
        region: where other logits stand in their place; None for nowhere.
        inside: (D', H', W') of the region.
    """

    coarse: Tensor
    shape: Triple
    region: VoxelBlock | None = None
    inside: Tensor | None = None

    def whole(self) -> Tensor:
        """(D, H, W)."""
        logits = stretched(self.coarse, self.shape)
        if self.region is not None and self.inside is not None:
            logits[self.region.slices] = self.inside
        return logits

    def parts(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """The planes from `start` to before `stop`, some at a time: which, and (planes, H, W) of them."""
        for part, logits in stretched_parts(self.coarse, self.shape, start, self.shape[0] if stop is None else stop):
            if self.region is not None and self.inside is not None:
                depth, height, width = self.region.slices
                first, last = max(part.start, depth.start), min(part.stop, depth.stop)
                if first < last:
                    there = slice(first - part.start, last - part.start)
                    logits[there, height, width] = self.inside[first - depth.start : last - depth.start]
            yield part, logits

    def above(self) -> Tensor:
        """(D, H, W) bool: where logits are above 0."""
        mask = torch.empty(self.shape, dtype=torch.bool, device=self.coarse.device)
        for part, logits in self.parts():
            torch.gt(logits, 0, out=mask[part])
        return mask


def stretched(coarse: Tensor, shape: Triple) -> Tensor:
    """Logits (d, h, w) carried to a frame in one piece, in one step with the decoder's own upsampling."""
    return functional.interpolate(coarse[None, None], shape, mode="trilinear", align_corners=False)[0, 0]


def stretched_parts(coarse: Tensor, shape: Triple, start: int, stop: int) -> Iterator[tuple[slice, Tensor]]:
    """The same planes some at a time; in one piece where the frame is small, or not in the processor's memory."""
    if coarse.device.type != "cpu" or int(np.prod(shape)) <= WHOLE:
        yield slice(start, stop), stretched(coarse, shape)[start:stop]
        return
    planes = _Planes(coarse, shape)
    for first in range(start, stop, PLANES):
        part = slice(first, min(first + PLANES, stop))
        yield part, torch.stack([planes.plane(number) for number in range(part.start, part.stop)])


class _Planes:
    """The planes of a frame, each made of the two source planes that it lies between.

    Torch's kernel places plane `number` at scale * (number + 0.5) - 0.5 among the source planes. Between two of them
    alone, as plane 0 of one, it comes to the same place with the scale 1 + 2 * weight. That is a whole number of steps
    in single precision, except for some planes before the second source plane, which are made together.
    """

    def __init__(self, coarse: Tensor, shape: Triple) -> None:
        self._coarse, (self._depth, *self._sides) = coarse, shape
        self._last = len(coarse) - 1
        self._lows, self._weights = _places(len(coarse), self._depth)
        self._before_second: Tensor | None = None

    def plane(self, number: int) -> Tensor:
        """(H, W)."""
        if len(self._coarse) == self._depth:
            return self._interpolated(self._coarse[number : number + 1], 1, None)[0]
        low, scale = self._lows[number], 1 + 2 * self._weights[number]
        if float(np.float32(scale)) != scale:
            return self._first_planes()[number]
        return self._interpolated(self._pair(low), 1, scale)[0]

    def _pair(self, low: int) -> Tensor:
        return self._coarse[[min(low, self._last), min(low + 1, self._last)]]

    def _first_planes(self) -> Tensor:
        """(planes, H, W) of all that lie before the second source plane."""
        if self._before_second is None:
            count = self._lows.count(0)
            pair = self._pair(0)
            source = torch.cat([pair, pair[1:]]) if count == 2 else pair  # as many planes as asked for are only copied
            self._before_second = self._interpolated(source, count, _scale(len(self._coarse), self._depth))
        return self._before_second

    def _interpolated(self, source: Tensor, count: int, scale: float | None) -> Tensor:
        return _interpolated(source[None, None], (count, *self._sides), scale)[0, 0]


def _places(depth: int, wanted: int) -> tuple[list[int], list[float]]:
    """For each of `wanted` planes the source plane before it, and the weight of the one behind, as torch has them."""
    sources = depth + 1 + (wanted == depth + 1)  # one more, so that no place is cut off; never as many as are wanted
    columns = torch.eye(sources)[None, :, :, None, None]
    weights = _interpolated(columns, (wanted, 1, 1), _scale(depth, wanted))[0, :, :, 0, 0]
    lows = (weights != 0).to(torch.uint8).argmax(0)
    behind = weights.gather(0, (lows + 1).clamp(max=sources - 1)[None])[0]
    return lows.tolist(), behind.tolist()


def _scale(depth: int, wanted: int) -> float:
    """Source planes a plane, in single precision."""
    return float(np.float32(depth) / np.float32(wanted))


def _interpolated(source: Tensor, shape: tuple[int, ...], scale: float | None) -> Tensor:
    """Torch's trilinear interpolation, told the scale along the first axis; `functional.interpolate` cannot be."""
    planes: Tensor = torch.ops.aten.upsample_trilinear3d(
        source, list(shape), False, None if scale is None else 1.0 / scale, None, None
    )
    return planes
