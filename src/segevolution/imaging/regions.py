"""Regions that a person draws (scribbles and lassos, each with a sign), and whole masks packed to one bit a voxel."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..errors import PromptError
from .grid import Array, Grid, Triple, Turn
from .masks import Mask, as_mask

Voxels = npt.NDArray[np.int32]

LONGEST_LINE = 500_000
"""Voxels along a scribble that is given by positions."""


@dataclass(frozen=True, eq=False)
class Region:
    """Voxels that were drawn over, each on the structure or off it.

    Attributes:
        voxels: (N, 3) int32 voxel indices, unique, sorted by x, then y, then z; given in any order.
        labels: (N,) uint8, 1 on the structure, 0 off it.

    Raises:
        PromptError: no voxel, a negative index, a label for other than each voxel, or a voxel with both labels.
    """

    voxels: Voxels
    labels: npt.NDArray[np.uint8]

    def __post_init__(self) -> None:
        voxels, labels = np.asarray(self.voxels), np.asarray(self.labels)
        if voxels.ndim != 2 or voxels.shape[1:] != (3,) or not len(voxels) or voxels.dtype.kind not in "iu":
            raise PromptError("a scribble or lasso needs voxels (x, y, z) in whole numbers, at least one.")
        if voxels.min() < 0 or voxels.max() > np.iinfo(np.int32).max:
            raise PromptError("a scribble or lasso has voxels outside the image; its indices begin at 0.")
        if labels.shape != voxels.shape[:1] or not np.isin(labels, (0, 1)).all():
            raise PromptError("each voxel of a scribble or lasso needs a label, 1 on the structure or 0 off it.")
        if not _ascending(voxels):
            order = np.lexsort((labels, *voxels.T[::-1]))
            voxels, labels = voxels[order], labels[order]
            same = (voxels[1:] == voxels[:-1]).all(axis=1)
            if (labels[1:] != labels[:-1])[same].any():
                raise PromptError("a voxel of a scribble or lasso is both on the structure and off it; decide for one.")
            fresh = np.concatenate([[True], ~same])
            voxels, labels = voxels[fresh], labels[fresh]
        for name, values in (("voxels", voxels.astype(np.int32)), ("labels", labels.astype(np.uint8))):
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    def __reduce__(self) -> tuple[type["Region"], tuple[Voxels, npt.NDArray[np.uint8]]]:
        return Region, (self.voxels, self.labels)  # made anew, so that a copy's arrays cannot be written to either

    @classmethod
    def of(cls, where: npt.ArrayLike, *, positive: bool = True) -> "Region":
        """From a boolean array on the grid (true where drawn), or positions (N, 3), each the voxel it lies in."""
        array = np.asarray(where)
        is_mask = array.ndim == 3 and array.dtype == np.bool_
        voxels: npt.NDArray[Any] = np.argwhere(array).astype(np.int32) if is_mask else _nearest(array)
        return cls(voxels, np.full(len(voxels), int(positive), np.uint8))

    @classmethod
    def along(cls, places: npt.ArrayLike, shape: Triple, *, positive: bool = True) -> "Region":
        """The voxels of a line through positions (N, 3) in their order, without gaps.

        Args:
            places: voxel indices (x, y, z) each.
            shape: of the image.
            positive: whether the line is on the structure.

        Raises:
            PromptError: a position lies outside the image, or the line is longer than LONGEST_LINE voxels.
        """
        stops = _positions(places)
        ends = np.floor(stops + 0.5)
        if (ends < 0).any() or (ends >= shape).any():
            raise PromptError(f"a scribble leaves the image of {' x '.join(map(str, shape))} voxels; draw within it.")
        ways = np.diff(stops, axis=0)
        lengths = np.abs(ways).max(axis=1, initial=0)
        if lengths.sum() > LONGEST_LINE:
            raise PromptError(
                f"a scribble of {lengths.sum():.0f} voxels is too long; draw it in parts of at most {LONGEST_LINE}."
            )
        steps = np.ceil(2 * lengths).astype(np.int64) + 1  # of half a voxel at most
        stretch = np.repeat(np.arange(len(ways)), steps)
        step = np.arange(1, len(stretch) + 1) - (np.cumsum(steps) - steps)[stretch]
        between = stops[stretch] + ways[stretch] * (step / steps[stretch])[:, None]
        passed = np.concatenate([ends[:1], np.floor(between + 0.5)]).astype(np.int64)
        # Clipped, since rounding may lead out of the image by a hair; unique, since a line may cross itself often.
        flat = np.unique(np.ravel_multi_index(tuple(passed.T), shape, mode="clip"))
        voxels = np.stack(np.unravel_index(flat, shape), axis=-1).astype(np.int32)
        return cls(voxels, np.full(len(voxels), int(positive), np.uint8))

    @property
    def positive(self) -> Voxels:
        """The voxels on the structure, (n, 3)."""
        return np.asarray(self.voxels[self.labels == 1])

    @property
    def negative(self) -> Voxels:
        """The voxels off the structure, (n, 3)."""
        return np.asarray(self.voxels[self.labels == 0])

    def inside(self, shape: Sequence[int]) -> bool:
        """Whether every voxel lies in an array of this shape."""
        return bool((self.voxels.max(axis=0) < np.asarray(shape)).all())

    def joined(self, later: "Region") -> "Region":
        """Both; where they contradict each other the later one counts."""
        voxels = np.concatenate([later.voxels, self.voxels])
        labels = np.concatenate([later.labels, self.labels])
        _, first = np.unique(voxels, axis=0, return_index=True)
        return Region(voxels[first], labels[first])

    def mask(self, shape: Triple, label: int = 1) -> Mask:
        """The voxels of one label as a boolean array."""
        array = np.zeros(shape, bool)
        array[tuple(self.voxels[self.labels == label].T)] = True
        return array

    def turned(self, turn: Turn) -> "Region":
        """The same voxels in the indices that `turn` leads to."""
        return Region(turn.apply_indices(self.voxels).astype(np.int64), self.labels)

    def moved(self, source: Grid, target: Grid) -> "Region | None":
        """The region on another grid of the same patient; None where nothing of it lies there.

        A voxel of the new grid belongs to it where its centre lies in one of the region's voxels, and so does the
        voxel that the centre of one of the region's voxels lies in, so that nothing drawn vanishes between voxels.
        """
        first, last = self.voxels.min(axis=0), self.voxels.max(axis=0)
        target_signs = np.zeros(last - first + 1, np.int8)
        target_signs[tuple((self.voxels - first).T)] = self.labels.astype(np.int8) + 1
        faces = np.stack(np.meshgrid(*zip(first - 0.5, last + 0.5, strict=True), indexing="ij"), -1).reshape(-1, 3)
        ends = target.to_voxel(source.to_mm(faces))
        low = np.clip(np.floor(ends.min(axis=0)), 0, target.shape).astype(int)
        high = np.clip(np.ceil(ends.max(axis=0)) + 1, low, target.shape).astype(int)
        fine = np.stack(np.meshgrid(*map(np.arange, low, high), indexing="ij"), -1).reshape(-1, 3)
        origin = np.floor(source.to_voxel(target.to_mm(fine)) + 0.5).astype(int) - first
        inside = ((origin >= 0) & (origin < target_signs.shape)).all(axis=1)
        labels = np.zeros(len(fine), np.int8)
        labels[inside] = target_signs[tuple(origin[inside].T)]
        centres = np.floor(target.to_voxel(source.to_mm(self.voxels)) + 0.5).astype(int)
        in_target = ((centres >= 0) & (centres < target.shape)).all(axis=1)
        voxels = np.concatenate([fine[labels > 0], centres[in_target]])
        if not len(voxels):
            return None
        signs = np.concatenate([labels[labels > 0] - 1, self.labels[in_target]])
        _, place = np.unique(voxels, axis=0, return_index=True)  # the first counts: by the new voxel's own centre
        return Region(voxels[place], signs[place])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"voxels": self.voxels.tolist(), "labels": self.labels.tolist()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Region":
        """What `to_json` described; raises PromptError, KeyError, TypeError or ValueError for anything else."""
        return cls(np.asarray(value["voxels"]), np.asarray(value["labels"]))

    @cached_property
    def digest(self) -> bytes:
        """Equal for equal regions only."""
        return hashlib.blake2b(self.voxels.tobytes() + self.labels.tobytes(), digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class PackedMask:
    """A mask at one bit a voxel.

    Attributes:
        shape: (X, Y, Z).
        bits: of `numpy.packbits`, in C order.

    Raises:
        PromptError: bits for another number of voxels.
    """

    shape: Triple
    bits: bytes = field(repr=False)

    def __post_init__(self) -> None:
        voxels = self.shape[0] * self.shape[1] * self.shape[2]
        if min(self.shape) < 1 or len(self.bits) != -(-voxels // 8):
            raise PromptError(f"a mask of shape {self.shape} cannot have {8 * len(self.bits)} voxels.")

    @classmethod
    def pack(cls, mask: Array) -> "PackedMask":
        """From an array (X, Y, Z); raises PromptError for another number of axes, VolumeError as `as_mask`."""
        if mask.ndim != 3:
            raise PromptError(f"a mask needs 3 dimensions, this one has {mask.ndim}.")
        x, y, z = mask.shape
        return cls((x, y, z), np.packbits(as_mask(mask)).tobytes())

    def unpack(self) -> Mask:
        """(X, Y, Z) boolean."""
        count = self.shape[0] * self.shape[1] * self.shape[2]
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=count).reshape(self.shape).view(np.bool_)

    @cached_property
    def reference(self) -> str:
        """A name that only this mask has."""
        return hashlib.blake2b(repr(self.shape).encode() + self.bits, digest_size=16).hexdigest()

    def __bool__(self) -> bool:
        return self.bits.count(0) < len(self.bits)

    def turned(self, turn: Turn) -> "PackedMask":
        """The same mask in the axis order that `turn` leads to."""
        return PackedMask.pack(turn.apply(self.unpack()))

    def moved(self, source: Grid, target: Grid) -> "PackedMask":
        """The mask on another grid of the same patient, by nearest voxel."""
        return PackedMask.pack(moved_mask(self.unpack(), source, target))

    def to_json(self, *, by_reference: bool = False) -> dict[str, Any]:
        """Plain values: the bits in base64, or the mask's `reference` alone."""
        if by_reference:
            return {"reference": self.reference}
        return {"shape": list(self.shape), "bits": base64.b64encode(self.bits).decode("ascii")}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], masks: Mapping[str, "PackedMask"]) -> "PackedMask":
        """What `to_json` described; `masks` are those known by their reference.

        Raises:
            PromptError: an unknown reference, or bits of another size; also KeyError, TypeError or ValueError.
        """
        if "reference" in value:
            if value["reference"] not in masks:
                raise PromptError(f"the prompt refers to a mask {value['reference']}, which is not here; give it too.")
            return masks[value["reference"]]
        x, y, z = (int(side) for side in value["shape"])
        return cls((x, y, z), base64.b64decode(value["bits"], validate=True))


def moved_mask(mask: Mask, source: Grid, target: Grid) -> Mask:
    """A mask on another grid of the same patient (another series, a resampled copy), by nearest voxel."""
    way = np.linalg.inv(source.affine) @ target.affine
    moved = ndimage.affine_transform(
        mask.astype(np.uint8), way[:3, :3], way[:3, 3], output_shape=target.shape, order=0, mode="grid-constant"
    )
    return np.asarray(moved, np.bool_)


def _ascending(voxels: npt.NDArray[np.integer]) -> bool:
    """Whether each voxel (N, 3) comes after the one before it, by x, then y, then z."""
    (x, y, z), (next_x, next_y, next_z) = voxels[:-1].T, voxels[1:].T
    return bool(((next_x > x) | ((next_x == x) & ((next_y > y) | ((next_y == y) & (next_z > z))))).all())


def _positions(places: npt.ArrayLike) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(places, np.float64)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim != 2 or array.shape[1] != 3 or not len(array) or not np.isfinite(array).all():
        raise PromptError("a scribble or lasso needs positions x,y,z in finite numbers, at least one.")
    return array


def _nearest(places: npt.ArrayLike) -> npt.NDArray[np.int64]:
    return np.floor(_positions(places) + 0.5).astype(np.int64)
