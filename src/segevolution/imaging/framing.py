"""Convert a volume to the array that a network sees, and answers back; training and inference share this.

A frame is the volume in canonical (RAS+) order, or in another that its network asks for, normalised, transposed to
(D, H, W) = (Z, Y, X), cropped to its voxels above zero where zero means that nothing is there (SegVol's foreground
crop), and resampled where the network has a spacing of its own. It remembers every step, so that coordinates and
masks travel both ways exactly. This is the only place where (X, Y, Z) becomes (D, H, W).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..memory import MemoryBudget
from .grid import BODY_AXIS, CANONICAL, Array, Floats, Grid, Triple, Turn
from .intensity import NORMALISERS, Image, normalise
from .resampling import Resampling
from .table_image import TableImage
from .volume import Volume

Spacing = tuple[float, float, float]
Logits = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Frame:
    """A normalised image in network order and the way back to its volume.

    Attributes:
        image: (D, H, W) float32, cropped, then resampled if it is; see `without_copy`.
        start: first voxel of the crop in the uncropped (D, H, W) array.
        turn: file order -> the frame's order, both (X, Y, Z).
        grid: of the volume in file order.
        resampling: from the crop, in the volume's own voxels, to the image; None = the image is the crop.
        pad: the number that stands outside the image.
        bounds: the smallest and largest number that it may hold: its normaliser's, else its own.
    """

    image: Image | TableImage
    start: Triple
    turn: Turn
    grid: Grid
    resampling: Resampling | None = None
    pad: float = 0.0
    bounds: tuple[float, float] = (0.0, 1.0)

    def without_copy(self, signal: Array) -> "Frame":
        """The same frame, whose image is looked up in the signal where that is possible and spares much memory.

        Args:
            signal: of the volume, (X, Y, Z) in file order.
        """
        if self.resampling is not None or isinstance(self.image, TableImage):
            return self
        table = TableImage.of(self.image, self.crop(signal))
        return self if table is None else replace(self, image=table)

    @property
    def cropped(self) -> Triple:
        """(D, H, W) of the crop in the volume's own voxels."""
        return _whole(self.image.shape) if self.resampling is None else self.resampling.source

    @property
    def spacing(self) -> Spacing:
        """Distance of neighbouring frame voxels along (D, H, W), in millimetres."""
        cropped_spacing = np.asarray([self.grid.spacing[axis] for axis in self.turn.axes][::-1])
        d, h, w = (cropped_spacing if self.resampling is None else cropped_spacing * self.resampling.step).tolist()
        return d, h, w

    def indices(self, voxels: npt.ArrayLike) -> Floats:
        """File voxel indices (N, 3) as (x, y, z) -> frame voxels (N, 3) as (d, h, w); may lie outside the crop."""
        frame_indices = np.asarray(self.turn.apply_indices(voxels)[:, ::-1] - self.start)
        return frame_indices if self.resampling is None else self.resampling.forth(frame_indices)

    def voxels(self, indices: npt.ArrayLike) -> Floats:
        """Frame voxels (N, 3) as (d, h, w) -> file voxel indices (N, 3) as (x, y, z)."""
        frame_voxels = np.asarray(indices, np.float64).reshape(-1, 3)
        frame_voxels = frame_voxels if self.resampling is None else self.resampling.back(frame_voxels)
        return self.turn.undo_indices((frame_voxels + self.start)[:, ::-1])

    def block(self, low: Sequence[float], high: Sequence[float]) -> tuple[Triple, Triple]:
        """A box of file voxels (x, y, z), both corners included -> first and one-past-last frame voxel (d, h, w).

        What of it lies in the cropped margin moves to the frame's border.
        """
        corners = np.asarray(self.turn.apply_indices([low, high])[:, ::-1] - self.start)
        if self.resampling is not None:
            first, last = self.resampling.block(corners.min(axis=0), corners.max(axis=0))
            return _whole(first), _whole(last)
        nearest = np.clip(np.rint(corners), 0, np.asarray(self.image.shape, np.float64) - 1)
        return _whole(nearest.min(axis=0)), _whole(nearest.max(axis=0) + 1)

    def crop(self, array: Array) -> Array:
        """An array in file order (X, Y, Z), such as a label map -> (D, H, W) of the crop, not resampled; a view."""
        ordered = self.turn.apply(array).transpose(2, 1, 0)
        return np.asarray(ordered[tuple(slice(s, s + n) for s, n in zip(self.start, self.cropped, strict=True))])

    def restore(self, array: Array, fill: float = 0) -> Array:
        """(D, H, W) of the crop -> (X, Y, Z) in file order on the volume's own grid; `fill` outside the crop."""
        full = np.full(self.grid.shape, fill, array.dtype)
        self.crop(full)[...] = array
        return full

    def labels(self, array: Array) -> Array:
        """A label map in file order (X, Y, Z) -> (D, H, W) of this frame, each voxel from the nearest one."""
        cropped = self.crop(array)
        return cropped if self.resampling is None else self.resampling.labels(cropped)

    def on_crop(self, logits: Logits) -> Logits:
        """Logits (D, H, W) of the frame -> of the crop, trilinearly; themselves where nothing was resampled."""
        return logits if self.resampling is None else self.resampling.image_back(logits.astype(np.float32, copy=False))


def frame(
    volume: Volume,
    recipe: str,
    spacing: Spacing | None = None,
    order: str = CANONICAL,
    budget: MemoryBudget | None = None,
) -> Frame:
    """Turn, normalise, transpose, crop and resample a volume.

    Args:
        volume: signal as measured.
        recipe: a name in intensity.NORMALISERS.
        spacing: millimetres along the body's axes (x, y, z) to resample to; None keeps the volume's own.
        order: the frame's orientation, as axis codes of (X, Y, Z), before it is transposed.
        budget: what resampling may take; None takes half of the free memory.

    Raises:
        VolumeError: its voxels are constant or not finite, or resampling needs more memory than the budget.
    """
    volume.check_voxels()
    normaliser = NORMALISERS[recipe]
    ordered, turn = volume.canonical(order)
    scan = normaliser.matched(ordered)
    image = normalise(scan.array, recipe, scan.modality).transpose(2, 1, 0)
    start, stop = foreground_box(image) if normaliser.crops else ((0, 0, 0), _whole(image.shape))
    cropped = np.ascontiguousarray(image[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))])
    pad, bounds = normaliser.pad_of(image), normaliser.bounds_of(image)
    if spacing is None:
        return Frame(cropped, start, turn, volume.grid, None, pad, bounds)
    target_spacing = [spacing[BODY_AXIS[code]] for code in order]
    resampling = Resampling.to_spacing(
        _whole(cropped.shape), ordered.grid.spacing[::-1], target_spacing[::-1], turn.flips[::-1]
    )
    sides = " x ".join(map(str, resampling.target[::-1]))
    subject = f"{volume.name}, which has {sides} voxels at the spacing that this model works at,"
    (budget or MemoryBudget.of()).require(resampling.bytes_needed, subject, VolumeError)
    return Frame(resampling.image(cropped), start, turn, volume.grid, resampling, pad, bounds)


def _whole(values: Sequence[int] | Floats) -> Triple:
    d, h, w = (int(value) for value in values)
    return d, h, w


def foreground_box(image: Array) -> tuple[Triple, Triple]:
    """First and one-past-last voxel of the box around voxels above 0; the whole image if there are none."""
    above = image if image.dtype == np.bool_ else image > 0
    starts, stops = [], []
    for axis in range(3):
        hits = np.flatnonzero(above.any(axis=tuple(other for other in range(3) if other != axis)))
        starts.append(int(hits[0]) if hits.size else 0)
        stops.append(int(hits[-1]) + 1 if hits.size else image.shape[axis])
    return (starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2])


def resize_nearest(array: Array, shape: Triple, *, exact: bool = True) -> Array:
    """Resize the last three axes by picking voxels, as torch's "nearest-exact" (or "nearest") does.

    Source index floor((i + 0.5) * n / m) with `exact`, else floor(i * n / m); float32 arithmetic as in torch.
    """
    indices = []
    for length, target_length in zip(array.shape[-3:], shape, strict=True):
        scale = np.float32(length) / np.float32(target_length)
        places = (np.arange(target_length, dtype=np.float32) + np.float32(0.5 if exact else 0)) * scale
        indices.append(np.minimum(places.astype(np.int64), length - 1))
    d, h, w = np.ix_(*indices)
    return np.asarray(array[..., d, h, w])
