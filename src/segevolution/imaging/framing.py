"""From a volume to what a network sees, and the way back; training and inference share it.

A frame is the volume in canonical (RAS+) order, normalised, transposed to (D, H, W) = (Z, Y, X) and cropped to
its voxels above zero (SegVol's foreground crop). It remembers every step, so that coordinates and masks travel
both ways exactly. This is the only place where (X, Y, Z) becomes (D, H, W).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .grid import Array, Floats, Grid, Triple, Turn
from .intensity import Image, normalise
from .volume import Volume


@dataclass(frozen=True, eq=False)
class Frame:
    """A normalised image in network order and the way back to its volume.

    Attributes:
        image: (D, H, W) float32 in [0, 1], cropped.
        start: first voxel of the crop in the uncropped (D, H, W) array.
        turn: file order -> canonical order, both (X, Y, Z).
        grid: of the volume in file order.
    """

    image: Image
    start: Triple
    turn: Turn
    grid: Grid

    def indices(self, voxels: npt.ArrayLike) -> Floats:
        """File voxel indices (N, 3) as (x, y, z) -> frame voxels (N, 3) as (d, h, w); may lie outside the crop."""
        return np.asarray(self.turn.apply_indices(voxels)[:, ::-1] - self.start)

    def voxels(self, indices: npt.ArrayLike) -> Floats:
        """Frame voxels (N, 3) as (d, h, w) -> file voxel indices (N, 3) as (x, y, z)."""
        moved = np.asarray(indices, np.float64).reshape(-1, 3) + self.start
        return self.turn.undo_indices(moved[:, ::-1])

    def crop(self, array: Array) -> Array:
        """An array in file order (X, Y, Z), such as a label map -> (D, H, W) of this frame; a view."""
        ordered = self.turn.apply(array).transpose(2, 1, 0)
        return np.asarray(ordered[tuple(slice(s, s + n) for s, n in zip(self.start, self.image.shape, strict=True))])

    def restore(self, array: Array, fill: float = 0) -> Array:
        """(D, H, W) of this frame -> (X, Y, Z) in file order on the volume's own grid; `fill` outside the crop."""
        full_shape = tuple(self.grid.shape[axis] for axis in self.turn.axes)[::-1]
        full = np.full(full_shape, fill, array.dtype)
        full[tuple(slice(s, s + n) for s, n in zip(self.start, array.shape, strict=True))] = array
        return np.ascontiguousarray(self.turn.undo(full.transpose(2, 1, 0)))


def frame(volume: Volume, recipe: str) -> Frame:
    """Turn, normalise (see intensity.NORMALISERS), transpose and crop a volume.

    Raises:
        VolumeError: its voxels are constant or not finite.
    """
    volume.check_voxels()
    ordered, turn = volume.canonical()
    image = normalise(ordered.array, recipe, volume.modality).transpose(2, 1, 0)
    start, stop = foreground_box(image)
    cropped = image[tuple(slice(low, high) for low, high in zip(start, stop, strict=True))]
    return Frame(np.ascontiguousarray(cropped), start, turn, volume.grid)


def foreground_box(image: Array) -> tuple[Triple, Triple]:
    """First and one-past-last voxel of the box around voxels above 0; the whole image if there are none."""
    above = image > 0
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
    for length, wanted in zip(array.shape[-3:], shape, strict=True):
        scale = np.float32(length) / np.float32(wanted)
        places = (np.arange(wanted, dtype=np.float32) + np.float32(0.5 if exact else 0)) * scale
        indices.append(np.minimum(places.astype(np.int64), length - 1))
    d, h, w = np.ix_(*indices)
    return np.asarray(array[..., d, h, w])
