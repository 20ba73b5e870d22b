"""Windows of a network: blocks of voxels, the region around a coarse mask, and the windows that scan it.

Everything is in voxels (d, h, w) of a frame; blocks are half-open. The scan follows MONAI's sliding window
(`monai.inferers.sliding_window_inference`), on which SegVol's published inference rests.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..imaging.grid import triple
from ..imaging.table_image import TableImage
from ..models.backbone import Triple

FrameImage = Tensor | TableImage

OVERLAP = 0.5  # of neighbouring windows, as published
FOCUS_MARGIN = 1.5  # of what it looks at, at least, a focus view's sides
FOCUS_LEAST = 0.375  # of the array's sides


@dataclass(frozen=True)
class VoxelBlock:
    """A box of voxels (d, h, w), half-open; it may reach outside an array and may be empty."""

    start: Triple
    stop: Triple

    @property
    def shape(self) -> Triple:
        """Voxels along each axis; zero, never negative, where the block is empty."""
        return triple(max(0, high - low) for low, high in zip(self.start, self.stop, strict=True))

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """To cut the block out of an array that holds it."""
        d, h, w = (slice(low, high) for low, high in zip(self.start, self.stop, strict=True))
        return d, h, w

    @property
    def empty(self) -> bool:
        """Whether it holds no voxel."""
        return 0 in self.shape

    def meet(self, other: "VoxelBlock") -> "VoxelBlock":
        """The voxels of both."""
        return VoxelBlock(
            triple(map(max, self.start, other.start)),
            triple(map(min, self.stop, other.stop)),
        )

    def join(self, other: "VoxelBlock") -> "VoxelBlock":
        """The smallest block that holds both."""
        return VoxelBlock(
            triple(map(min, self.start, other.start)),
            triple(map(max, self.stop, other.stop)),
        )

    def shift(self, by: Sequence[int], sign: int = 1) -> "VoxelBlock":
        """Moved by `sign * by` voxels."""
        return VoxelBlock(
            triple(low + sign * step for low, step in zip(self.start, by, strict=True)),
            triple(high + sign * step for high, step in zip(self.stop, by, strict=True)),
        )

    def holds(self, other: "VoxelBlock") -> bool:
        """Whether every voxel of the other is in this one."""
        return self.meet(other) == other

    @classmethod
    def whole(cls, shape: Sequence[int]) -> "VoxelBlock":
        """All of an array."""
        return cls((0, 0, 0), triple(shape))


@dataclass(frozen=True)
class Window:
    """One view of the network.

    Attributes:
        view: the block it looks at; the size of the network's window, possibly reaching outside the frame.
        content: the part of it that shows the image; the rest is padding.
    """

    view: VoxelBlock
    content: VoxelBlock

    def cut(self, image: FrameImage, pad: float = 0.0) -> Tensor:
        """Its voxels (..., D, H, W) of an image (..., d, h, w), `pad` where it shows nothing."""
        inside = torch.as_tensor(image[(..., *self.content.slices)])
        margins = [
            margin
            for axis in (2, 1, 0)
            for margin in (
                self.content.start[axis] - self.view.start[axis],
                self.view.stop[axis] - self.content.stop[axis],
            )
        ]
        return functional.pad(inside, margins, value=pad) if any(margins) else inside

    def carry(self, answer: Tensor) -> Tensor:
        """What the network says of this view (D, H, W), in voxels of the frame: as it is."""
        return answer


@dataclass(frozen=True)
class Focus(Window):
    """A view whose block is not of the network's size but squeezed or stretched into it.

    Attributes:
        size: (D, H, W) of the network's window.
    """

    size: Triple

    @classmethod
    def on(cls, block: VoxelBlock, size: Triple) -> "Focus":
        """A block inside the frame."""
        return cls(block, block, size)

    def cut(self, image: FrameImage, pad: float = 0.0) -> Tensor:
        """Its voxels picked to the network's size, as the whole image's are."""
        return picked(image, self.content, self.size)

    def carry(self, answer: Tensor) -> Tensor:
        """Logits of the network's size -> of the block's, trilinearly."""
        return functional.interpolate(answer[None, None], self.content.shape, mode="trilinear", align_corners=False)[
            0, 0
        ]


def picked(image: FrameImage, block: VoxelBlock, size: Triple) -> Tensor:
    """The voxels (D, H, W) of a block of an image, picked to a size as torch's "nearest-exact" does."""
    if isinstance(image, Tensor):
        return functional.interpolate(image[block.slices][None, None], size, mode="nearest-exact")[0, 0]
    places = []
    for first, side, wanted_side in zip(block.start, block.shape, size, strict=True):
        numbers = torch.arange(side, dtype=torch.float32)[None, None]
        places.append(first + functional.interpolate(numbers, wanted_side, mode="nearest-exact")[0, 0].long().numpy())
    return torch.from_numpy(image[np.ix_(*places)])


def tight(mask: Tensor) -> VoxelBlock | None:
    """The smallest block around the true voxels of a mask (D, H, W); None if there are none."""
    starts, stops = [], []
    for axis in range(3):
        first, second = (other for other in range(3) if other != axis)
        hits = torch.nonzero(mask.any(dim=second).any(dim=first)).flatten().tolist()
        if not hits:
            return None
        starts.append(int(hits[0]))
        stops.append(int(hits[-1]) + 1)
    return VoxelBlock(triple(starts), triple(stops))


def region_around(block: VoxelBlock, window: Triple, shape: Triple) -> VoxelBlock:
    """The block grown evenly to at least a window a side, and moved inside the array, so that it shows image.

    An axis shorter than the window is taken whole. (The published region is not moved: beside a border it stays
    short and is filled with zeros; see `published_region`.)
    """
    starts, stops = [], []
    for low, high, window_side, length in zip(block.start, block.stop, window, shape, strict=True):
        side = min(max(window_side, high - low), length)
        start = min(max(low - (side - (high - low)) // 2, 0), length - side)
        starts.append(start)
        stops.append(start + side)
    return VoxelBlock(triple(starts), triple(stops))


def focus_around(block: VoxelBlock, window: Triple, shape: Triple) -> VoxelBlock:
    """The block with what surrounds it, inside the array, in the array's own proportions.

    The same share of every side, so that the network sees what the whole image showed it, only larger; no less than
    FOCUS_LEAST of a side, nor half a window. Shares are whole eighths and places sixteenths of a side, so that a prompt
    that is corrected mostly keeps its view.
    """
    sides = zip(block.start, block.stop, shape, strict=True)
    focus_scale = max(FOCUS_LEAST, *((high - low) * FOCUS_MARGIN / length for low, high, length in sides))
    share = min(1.0, math.ceil(8 * focus_scale) / 8)
    starts, stops = [], []
    for low, high, least, length in zip(block.start, block.stop, window, shape, strict=True):
        side = min(length, max(math.ceil(share * length), math.ceil(least / 2), high - low))
        step = length / 16
        start = round(round(((low + high) / 2 - side / 2) / step) * step)
        start = min(max(start, 0, high - side), low, length - side)
        starts.append(start)
        stops.append(start + side)
    return VoxelBlock(triple(starts), triple(stops))


def published_region(block: VoxelBlock, window: Triple, shape: Triple) -> VoxelBlock:
    """The region of SegVol's code: both ends move by (window - side) // 2 and are cut at the array's border.

    So an odd difference leaves it one voxel short of the window, and a border leaves it shorter still.
    """
    starts, stops = [], []
    for low, high, window_side, length in zip(block.start, block.stop, window, shape, strict=True):
        margin = max(0, window_side - (high - low)) // 2
        starts.append(max(0, low - margin))
        stops.append(min(length, high + margin))
    return VoxelBlock(triple(starts), triple(stops))


def padding(shape: Triple, window: Triple) -> tuple[tuple[int, int], ...]:
    """Zeros before and after each axis that fill a window; the odd one comes after."""
    missing = [max(0, window_side - length) for window_side, length in zip(window, shape, strict=True)]
    return tuple((total // 2, total - total // 2) for total in missing)


def scan(shape: Triple, window: Triple, overlap: float = OVERLAP) -> list[Triple]:
    """First voxels of the windows over an array at least a window large, D slowest.

    Windows step by (1 - overlap) of their size, truncated; the last of an axis is moved back to end with it.
    """
    axes = []
    for length, side in zip(shape, window, strict=True):
        step = side if length == side else max(1, int(side * (1 - overlap)))
        count = -(-(length - side) // step) + 1
        axes.append([min(number * step, length - side) for number in range(count)])
    return [triple(start) for start in itertools.product(*axes)]


def windows_over(region: VoxelBlock, window: Triple, overlap: float = OVERLAP) -> list[Window]:
    """The windows that scan a region, in order; they show the region only, padding beyond it."""
    margins = padding(region.shape, window)
    padded = triple(side + sum(margin) for side, margin in zip(region.shape, margins, strict=True))
    origin = triple(low - margin[0] for low, margin in zip(region.start, margins, strict=True))
    views = (VoxelBlock.whole(window).shift(start).shift(origin) for start in scan(padded, window, overlap))
    return [Window(view, view.meet(region)) for view in views]


def central(windows: Sequence[Window], block: VoxelBlock) -> list[Window]:
    """Of a scan's windows the fewest for a block: along each axis the one in whose middle it lies, if one holds it.

    Along an axis where none holds the block, all stay, as they overlap there for its sake.
    """
    views = [window.view for window in windows]
    for axis in range(3):
        low, high = block.start[axis], block.stop[axis]
        sides = {(view.start[axis], view.stop[axis]) for view in views}
        holding = [side for side in sides if side[0] <= low and high <= side[1]]
        if holding:
            best = min(holding, key=lambda side: (abs(side[0] + side[1] - low - high), side))
            views = [view for view in views if (view.start[axis], view.stop[axis]) == best]
    return [window for window in windows if window.view in views]
