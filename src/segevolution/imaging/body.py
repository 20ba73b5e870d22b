"""Where the body is in a scan and how deep under its surface a place lies.

The body is the largest region brighter than air, without holes in any axial slice. Everything is measured on a grid of
about four millimetres, which takes a fraction of a second and is as much as a warning needs.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..vocabulary import Modality
from .grid import Array
from .usable_signal import UsableSignal, usable_signal
from .volume import Volume

Mask = npt.NDArray[np.bool_]

_COARSE = 4.0  # millimetres
_AIR_OF_CT = -300.0  # HU: above it is tissue, the lowest fat included
_ABOVE_CUT_AIR = 4.0  # HU: above air in a CT whose values were cut below, such as at -125 HU
_HIGHEST_CUT = -100.0  # HU
_DARK = 0.06  # of the brightest signal; what is darker is air in an MRI
_BRIGHT = 98.0  # percentile
_LEAST_AIR = 0.03  # share of the volume that must be air for "outside" to mean anything


@dataclass(frozen=True, eq=False)
class Body:
    """The body of one volume on a coarse grid, in the volume's own axis order.

    Attributes:
        depth: (X', Y', Z') float32 millimetres from each voxel to the nearest one outside the body; 0 outside. The
            border of the image is no surface of the body.
        steps: (x, y, z) voxels of the volume that one coarse voxel joins.
        shape: (X, Y, Z) of the volume.
        axis: of the array that runs from feet to head.
        spacing: (x, y, z) millimetres of coarse voxels.
    """

    depth: npt.NDArray[np.float32] = field(repr=False)
    steps: tuple[int, int, int]
    shape: tuple[int, int, int]
    axis: int
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, volume: Volume, usable: UsableSignal | None = None) -> "Body | None":
        """Find the body; None where the scan shows no air, or says no spacing, so that nothing lies outside.

        Args:
            volume: signal as measured.
            usable: of its array, where it is known.
        """
        if not volume.measurable:
            return None
        spacing = volume.grid.spacing
        steps = tuple(
            min(side, max(1, int(_COARSE / step + 0.5))) for side, step in zip(volume.grid.shape, spacing, strict=True)
        )
        usable = usable or usable_signal(volume.array, volume.modality)
        coarse = _coarse_signal(usable.image, steps)
        bright = coarse > _level_of_air(coarse, volume.modality)
        if 1 - bright.mean() < _LEAST_AIR:
            return None
        axis = _body_axis(volume)
        inside = filled_body(np.moveaxis(bright, axis, 2))
        x, y, z = (step * size for step, size in zip(steps, spacing, strict=True))
        depth = ndimage.distance_transform_edt(np.moveaxis(inside, 2, axis), sampling=(x, y, z))
        i, j, k = steps
        return cls(np.asarray(depth, np.float32), (i, j, k), volume.grid.shape, axis, (x, y, z))

    def depths(self, mask: Mask) -> npt.NDArray[np.float32]:
        """Depth in millimetres of the voxels (N,) of a mask (X, Y, Z) of the volume's shape; 0 outside the body."""
        return self.depths_at(np.argwhere(mask))

    def depths_at(self, voxels: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        """Depth in millimetres of voxels (N, 3), indices into the volume; 0 outside the body."""
        places = np.minimum(voxels // self.steps, np.array(self.depth.shape) - 1)
        return np.asarray(self.depth[tuple(places.T)])

    def cross_section_cm2(self, mask: Mask) -> float:
        """Mean area of the body, square centimetres, across the slices that a mask lies in, weighted by its voxels."""
        others = tuple(axis for axis in range(3) if axis != self.axis)
        voxels = mask.sum(axis=others)
        areas = (self.depth > 0).sum(axis=others) * np.prod([self.spacing[axis] for axis in others]) / 100
        slices = np.minimum(np.arange(len(voxels)) // self.steps[self.axis], len(areas) - 1)
        return float(np.average(areas[slices], weights=voxels))


def filled_body(bright: Mask) -> Mask:
    """The largest bright region (X, Y, Z), with a voxel of margin and without holes in any slice along Z."""
    regions, count = ndimage.label(bright)
    if count > 1:
        bright = regions == 1 + int(np.bincount(regions.ravel())[1:].argmax())
    grown = ndimage.binary_dilation(bright, iterations=1)
    return np.stack([ndimage.binary_fill_holes(grown[:, :, z]) for z in range(grown.shape[2])], axis=2)


def _coarse_signal(array: Array, steps: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Every `steps` voxels as one, their mean; what is over at the far ends joins the last."""
    for axis, step in enumerate(steps):
        starts = np.arange(0, max(1, array.shape[axis] // step) * step, step)
        sizes = np.diff([*starts, array.shape[axis]])
        sums = np.add.reduceat(array.astype(np.float32, copy=False), starts, axis=axis)
        array = sums / sizes.reshape([-1 if other == axis else 1 for other in range(3)])
    return np.asarray(array, np.float32)


def _level_of_air(coarse: npt.NDArray[np.float32], modality: Modality | None) -> float:
    """Signal above which a voxel is tissue."""
    lowest = float(coarse.min())
    if modality is Modality.CT:
        cut = _AIR_OF_CT < lowest < _HIGHEST_CUT
        return lowest + _ABOVE_CUT_AIR if cut else _AIR_OF_CT
    return lowest + _DARK * (float(np.percentile(coarse, _BRIGHT)) - lowest)


def _body_axis(volume: Volume) -> int:
    """The array's axis that runs from feet to head."""
    return int(np.argmax([code in "SI" for code in volume.grid.orientation]))
