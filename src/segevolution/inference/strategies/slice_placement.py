"""Where one slice of a frame lies in a 2-D network's window, and the way to the window and back."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from ...imaging.framing import resize_nearest
from ...imaging.grid import Array
from ...imaging.resizing import Resizing, area_taps
from ...models.backbone import Spec, Triple
from ..previous_answer import OUTSIDE
from ..windows import FrameImage, VoxelBlock, Window


@dataclass(frozen=True)
class SlicePlacement(Window):
    """One slice of the frame, stretched into the network's window.

    Attributes:
        size: (1, H, W) of the network's window.
        resizing: see Resizing.
        neighbours: slices on each side that are cut with it; beyond the image its last one, again.
    """

    size: Triple
    resizing: Resizing = "bilinear"
    neighbours: int = 0

    @classmethod
    def of(cls, number: int, shape: Triple, spec: Spec) -> "SlicePlacement":
        """Slice `number` of a frame (D, H, W); wider than the image where the network keeps proportions."""
        sides = shape[1:]
        if spec.keep_aspect:
            scale = max(side / window_side for side, window_side in zip(sides, spec.window[1:], strict=True))
            height, width = (
                max(side, round(scale * window_side)) for side, window_side in zip(sides, spec.window[1:], strict=True)
            )
        else:
            height, width = sides
        view = VoxelBlock((number, 0, 0), (number + 1, height, width))
        return cls(view, view.meet(VoxelBlock.whole(shape)), spec.window, spec.resizing, spec.neighbours)

    def at(self, by: int) -> "SlicePlacement":
        """The same part of a slice `by` further on."""
        return replace(self, view=self.view.shift((by, 0, 0)), content=self.content.shift((by, 0, 0)))

    @property
    def shown(self) -> tuple[slice, slice]:
        """Rows and columns of the window that show the content; the rest is padding."""
        rows, columns = (
            _covered(start - low, stop - low, side, window_side)
            for start, stop, low, side, window_side in zip(
                self.content.start[1:],
                self.content.stop[1:],
                self.view.start[1:],
                self.view.shape[1:],
                self.size[1:],
                strict=True,
            )
        )
        return rows, columns

    def cut(self, image: FrameImage, pad: float = 0.0) -> Tensor:
        """Its voxels (1 + 2 neighbours, H, W): the content resized as the network wants it, then padded."""
        _, height, width = self.content.slices
        plane = torch.as_tensor(image[self.numbers(image.shape[0]), height, width])
        rows, columns = self.shown
        resized = resized_plane(plane, (rows.stop - rows.start, columns.stop - columns.start), self.resizing)
        return self._laid(resized, pad)

    def numbers(self, depth: int) -> list[int]:
        """Of the slices that are cut, of an image with `depth` of them."""
        number = self.view.start[0]
        around = range(number - self.neighbours, number + self.neighbours + 1)
        return [min(max(each, 0), depth - 1) for each in around]

    def labels(self, labels: Array) -> Array:
        """A label map (1, h, w) of its slice -> (1, H, W), each pixel from the nearest voxel, 0 in the padding."""
        rows, columns = self.shown
        _, *content = self.content.slices
        inside = labels[(slice(None), *content)]
        laid = np.zeros(self.size, labels.dtype)
        laid[:, rows, columns] = resize_nearest(inside, (1, rows.stop - rows.start, columns.stop - columns.start))
        return laid

    def section(self, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> tuple[Triple, Triple]:
        """A block (d, h, w) of the frame, half-open -> its section in window pixels, at least one, all inside."""
        sides = zip(low[1:], high[1:], self.view.start[1:], self.view.shape[1:], self.size[1:], strict=True)
        (top, bottom), (left, right) = (
            (covered.start, covered.stop)
            for covered in (
                _covered(max(0, int(first) - origin), min(side, int(stop) - origin), side, window_side)
                for first, stop, origin, side, window_side in sides
            )
        )
        return (0, top, left), (1, bottom, right)

    def carry(self, answer: Tensor) -> Tensor:
        """Logits (1, H, W) of the network's size -> of the view's, bilinearly; OUTSIDE beyond the content."""
        content = functional.interpolate(
            answer[(..., *self.shown)][None], self.content.shape[1:], mode="bilinear", align_corners=False
        )[0]
        (_, top, left), (_, bottom, right) = (
            [abs(inner - outer) for inner, outer in zip(inside, outside, strict=True)]
            for inside, outside in ((self.content.start, self.view.start), (self.content.stop, self.view.stop))
        )
        return functional.pad(content, (left, right, top, bottom), value=OUTSIDE)

    def _laid(self, plane: Tensor, pad: float) -> Tensor:
        (rows, columns), (_, height, width) = self.shown, self.size
        margins = (columns.start, width - columns.stop, rows.start, height - rows.stop)
        return functional.pad(plane, margins, value=pad) if any(margins) else plane


def _covered(start: int, stop: int, side: int, wanted: int) -> slice:
    """The pixels, of `wanted` that a side is resized to, which a part of it covers; one at least."""
    first = min(math.floor(start * wanted / side + 0.5), wanted - 1)
    return slice(first, max(first + 1, min(math.floor(stop * wanted / side + 0.5), wanted)))


def resized_plane(plane: Tensor, shape: tuple[int, int], resizing: Resizing) -> Tensor:
    """Slices (n, h, w) at another size."""
    if resizing == "area":
        rows, columns = (
            torch.from_numpy(area_taps(length, target_length)).to(plane)
            for length, target_length in zip(plane.shape[1:], shape, strict=True)
        )
        return rows @ plane @ columns.T
    if resizing == "nearest":
        return functional.interpolate(plane[None], shape, mode="nearest")[0]
    return functional.interpolate(plane[None], shape, mode=resizing, antialias=True)[0]
