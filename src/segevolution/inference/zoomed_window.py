"""A part of an image at a coarser resolution, for networks that look at more than their window shows at its own.

Signal is interpolated, drawn prompts are averaged, masks are picked. Everything is done along one axis after the other
by small matrices, so that what lies outside the image is never built. Source: nnInteractive (Isensee et al. 2025,
arXiv:2503.08373), which squeezes with torch's "trilinear", "area" and "nearest".
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ..models.backbone import Triple
from ..models.prompt_maps import CHANNELS, DrawnPrompt, MapKind
from .refinement import round_place
from .windows import FrameImage, VoxelBlock, Window

Squeeze = Literal["linear", "area"]


@dataclass(frozen=True)
class ZoomedWindow(Window):
    """A view whose block is squeezed into the network's window; zeros outside the image.

    Attributes:
        size: (D, H, W) of the network's window.
        zoom: voxels a window voxel, before sides were rounded.
    """

    size: Triple
    zoom: float

    @classmethod
    def round(cls, place: list[int], zoom: float, patch: Triple, shape: Triple) -> "ZoomedWindow":
        """With a voxel in its middle, `zoom` window sides wide.

        Args:
            place: (d, h, w).
            zoom: at least 1; 1 looks at the image's own voxels.
            patch: (D, H, W) of the network's window.
            shape: of the image.
        """
        d, h, w = (round(side * zoom) for side in patch)
        view = round_place(place, (d, h, w))
        return cls(view, view.meet(VoxelBlock.whole(shape)), patch, zoom)

    def cut(self, image: FrameImage, pad: float = 0.0) -> Tensor:
        """Its voxels (D, H, W) of an image; `pad` must be 0."""
        return self.squeezed(torch.as_tensor(image[self.content.slices]), self.content, "linear")

    def squeezed(self, values: Tensor, block: VoxelBlock, how: Squeeze) -> Tensor:
        """Float values of a block inside the view, 0 in the rest of it -> (D, H, W) of the window."""
        if self.view.shape == self.size:
            return _laid(values, block, self.view)
        for axis in range(3):
            low = block.start[axis] - self.view.start[axis]
            part = slice(low, low + block.shape[axis])
            weights = _weights(self.view.shape[axis], self.size[axis], how)[:, part].to(values)
            values = torch.tensordot(values, weights, dims=([0], [1]))  # the axis goes to the end: three turns
        return values

    def picked(self, mask: Tensor) -> Tensor:
        """A mask (D, H, W) of the image -> of the window, the nearest voxel of each, False outside the image."""
        answer = mask[self.content.slices]
        for axis in range(3):
            side, window_side = self.view.shape[axis], self.size[axis]
            places = torch.tensor(
                [min(math.floor(number * side / window_side), side - 1) for number in range(window_side)]
            )
            places = places + self.view.start[axis] - self.content.start[axis]
            inside = (places >= 0) & (places < answer.shape[axis])
            answer = answer.index_select(axis, places.clamp(0, answer.shape[axis] - 1).to(mask.device))
            answer = answer & inside.to(mask.device).reshape([-1 if other == axis else 1 for other in range(3)])
        return answer

    def spread(self, mask: Tensor) -> Tensor:
        """A mask (D, H, W) of the window -> of the content, trilinearly, from one half on."""
        _, rows, columns = self.content.shift(self.view.start, -1).slices
        side, window_side = self.view.shape[0], self.size[0]
        planes = functional.interpolate(mask.float()[:, None], self.view.shape[1:], mode="bilinear")[
            :, 0, rows, columns
        ]
        answer = torch.zeros(self.content.shape, dtype=torch.bool, device=mask.device)
        for number in range(self.content.shape[0]):
            place = number + self.content.start[0] - self.view.start[0]
            low, share = _between(place, side, window_side)
            answer[number] = (1 - share) * planes[low] + share * planes[min(low + 1, window_side - 1)] >= 0.5
        return answer

    def maps(self, drawn: DrawnPrompt, previous: Tensor) -> Tensor:
        """(7, D, H, W): an earlier answer (a mask of the image) and the channels of a prompt, as the network sees them.

        Points and scribbles grow before they are averaged, so that they do not fade away.
        """
        channels = [self.squeezed(previous[self.content.slices].float(), self.content, "area")]
        for number in range(CHANNELS):
            channels.append(self._channel(drawn, number, previous.device))
        return torch.stack(channels)

    def _channel(self, drawn: DrawnPrompt, number: int, device: torch.device) -> Tensor:
        spans = [VoxelBlock(*stroke.span).meet(self.content) for stroke in drawn.strokes if stroke.channel == number]
        spans = [span for span in spans if not span.empty]
        if not spans:
            return torch.zeros(self.size, device=device)
        block = spans[0]
        for span in spans[1:]:
            block = block.join(span)
        values = drawn.seen(number, block.start, block.stop, device)
        assert values is not None
        reach = 0 if number // 2 == MapKind.REGION else _growth(self.zoom) // 2
        if reach and self.view.shape != self.size:
            wide = VoxelBlock(
                (block.start[0] - reach, block.start[1] - reach, block.start[2] - reach),
                (block.stop[0] + reach, block.stop[1] + reach, block.stop[2] + reach),
            ).meet(self.view)
            values = _laid(values, block, wide)
            values = functional.max_pool3d(values[None, None], 2 * reach + 1, 1, reach)[0, 0]
            block = wide
        return self.squeezed(values, block, "area")


def _laid(values: Tensor, block: VoxelBlock, wide: VoxelBlock) -> Tensor:
    """Values of a block in a larger one, zeros in the rest of it."""
    margins = [
        margin
        for axis in (2, 1, 0)
        for margin in (block.start[axis] - wide.start[axis], wide.stop[axis] - block.stop[axis])
    ]
    return functional.pad(values, margins)


def _growth(zoom: float) -> int:
    """Voxels along a side by which points and scribbles grow: the odd number nearest to 2 zoom - 1."""
    least_growth = 2 * zoom - 1
    for number in (math.ceil(least_growth), math.floor(least_growth), round(least_growth) + 1):
        if number % 2:
            return number
    return 1


def _weights(side: int, wanted: int, how: Squeeze) -> Tensor:
    """(wanted, side): what each old voxel gives to each new one along an axis."""
    weights = torch.zeros(wanted, side)
    for number in range(wanted):
        if how == "area":
            first, stop = number * side // wanted, -(-(number + 1) * side // wanted)
            weights[number, first:stop] = 1 / (stop - first)
        else:
            low, share = _between(number, wanted, side)
            weights[number, low] += 1 - share
            weights[number, min(low + 1, side - 1)] += share
    return weights


def _between(number: int, wanted: int, side: int) -> tuple[int, float]:
    """Where voxel `number` of `wanted` lies among `side` of them: the one before it, and how far behind that.

    In float32, as torch has it: where a mask is spread, one half is met often, and exactly.
    """
    scale = np.float32(side) / np.float32(wanted)
    place = max(np.float32(0), scale * (np.float32(number) + np.float32(0.5)) - np.float32(0.5))
    low = min(int(place), side - 1)
    return low, float(np.float32(place) - np.float32(low))
