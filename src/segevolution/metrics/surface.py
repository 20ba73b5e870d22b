"""Distances between the surfaces of two masks, in millimetres.

A surface runs along the corners at which eight voxels meet (four in two dimensions): a corner belongs to it when its
voxels are neither all foreground nor all background. Each such corner stands for a piece of surface, whose area
depends on how its voxels are filled and on the spacing (surface_elements.py), so that thick slices do not count more
or less than they should; where boundary voxels all weigh the same, NSD and HD95 depend on how the grid cuts the organ.
The definitions are those of DeepMind's `surface-distance` (Nikolov et al. 2021, arXiv:1809.04430).

Arrays have three axes or two; spacing is in the arrays' own axis order. Where both masks are empty every number is
nan; where only one is empty, nothing lies within any tolerance: NSD 0, distances infinite.
"""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..errors import VolumeError
from ..imaging.masks import Mask
from .overlap import as_masks, check_spacing
from .surface_elements import element_areas

Numbers = NDArray[np.float64]
SLACK = 1e-6  # mm, since 3 x 0.1 is not 0.3 in floating point


@dataclass(frozen=True)
class SurfaceDistances:
    """Every piece of both surfaces: how far it lies from the other surface, and how large it is.

    Attributes:
        predicted: (N,) mm from each piece of the predicted surface to the true one, ascending; inf without one.
        truth: (M,) mm from each piece of the true surface to the predicted one, ascending; inf without one.
        predicted_areas: (N,) square mm (mm in two dimensions) of each piece.
        true_areas: (M,) likewise.
    """

    predicted: Numbers
    truth: Numbers
    predicted_areas: Numbers
    true_areas: Numbers

    def nsd(self, tolerance: float) -> float:
        """See `nsd`."""
        if not isinstance(tolerance, Real) or not (math.isfinite(tolerance) and tolerance >= 0):
            raise VolumeError(f"a tolerance of {tolerance!r} mm is impossible; give a number from 0.")
        reach = tolerance + SLACK
        within = self.predicted_areas[self.predicted <= reach].sum() + self.true_areas[self.truth <= reach].sum()
        whole = self.predicted_areas.sum() + self.true_areas.sum()
        return float(within / whole) if whole > 0 else math.nan

    def hausdorff(self, percentile: float = 95.0) -> float:
        """See `hd95`; raises VolumeError for a percentile outside [0, 100]."""
        if not isinstance(percentile, Real) or not 0 <= percentile <= 100:
            raise VolumeError(f"there is no percentile {percentile!r}; give a number from 0 to 100.")
        if not len(self.predicted) and not len(self.truth):
            return math.nan
        return max(
            _percentile(self.predicted, self.predicted_areas, percentile),
            _percentile(self.truth, self.true_areas, percentile),
        )

    def average(self) -> float:
        """See `assd`."""
        whole = self.predicted_areas.sum() + self.true_areas.sum()
        if not whole > 0:
            return math.nan
        total = (self.predicted * self.predicted_areas).sum() + (self.truth * self.true_areas).sum()
        return float(total / whole)


def nsd(predicted: ArrayLike, truth: ArrayLike, spacing: tuple[float, ...], tolerance: float) -> float:
    """Normalised surface Dice: the share of both surfaces that lies within `tolerance` mm of the other.

    It asks what a person would have to redraw. Two experts differ by about 1 mm at an adrenal gland and by 3 mm or
    more at a liver, so state the tolerance beside the number.

    Args:
        predicted, truth: masks of one shape, two or three axes.
        spacing: millimetres, one number an axis.
        tolerance: millimetres, not negative.

    Returns:
        In [0, 1]; nan when both masks are empty, 0 when only one is.

    Raises:
        VolumeError: as `surface_distances`.
    """
    return surface_distances(predicted, truth, spacing).nsd(tolerance)


def hd95(predicted: ArrayLike, truth: ArrayLike, spacing: tuple[float, ...]) -> float:
    """95th percentile of the surface distances in mm, the larger of the two directions.

    The plain Hausdorff distance is its 100th percentile, and a single stray voxel decides it.

    Returns:
        nan when both masks are empty, inf when only one is.

    Raises:
        VolumeError: as `surface_distances`.
    """
    return surface_distances(predicted, truth, spacing).hausdorff(95.0)


def assd(predicted: ArrayLike, truth: ArrayLike, spacing: tuple[float, ...]) -> float:
    """Average symmetric surface distance in mm: the mean over both surfaces together, weighted by area.

    Returns:
        nan when both masks are empty, inf when only one is.

    Raises:
        VolumeError: as `surface_distances`.
    """
    return surface_distances(predicted, truth, spacing).average()


def surface_distances(predicted: ArrayLike, truth: ArrayLike, spacing: tuple[float, ...]) -> SurfaceDistances:
    """Measure once, then ask for several numbers; the work is done on the box that holds both masks.

    Raises:
        VolumeError: the masks have different shapes, or other than two or three axes, or the spacing does not fit them.
    """
    predicted_mask, true_mask = as_masks(predicted, truth)
    if true_mask.ndim not in (2, 3):
        raise VolumeError(f"masks have a surface in two or three axes; these have {true_mask.ndim}.")
    steps = check_spacing(spacing, true_mask.ndim)
    box = _box(predicted_mask | true_mask)
    predicted_areas = element_areas(np.pad(predicted_mask[box], 1), steps)
    true_areas = element_areas(np.pad(true_mask[box], 1), steps)
    forth, back = _sorted(predicted_areas, true_areas, steps), _sorted(true_areas, predicted_areas, steps)
    return SurfaceDistances(forth[0], back[0], forth[1], back[1])


def _box(mask: Mask) -> tuple[slice, ...]:
    """The slices that hold all foreground; empty ones where there is none."""
    bounds = ndimage.find_objects(mask.astype(np.uint8)) if mask.size else []
    return bounds[0] if bounds else (slice(0, 0),) * mask.ndim


def _sorted(of: Numbers, to: Numbers, steps: tuple[float, ...]) -> tuple[Numbers, Numbers]:
    """(distances, areas) of the surface `of`, nearest to the surface `to` first."""
    areas = of[of > 0]
    if not (to > 0).any():
        return np.full(len(areas), math.inf), areas
    distances = ndimage.distance_transform_edt(to == 0, sampling=steps)[of > 0]
    order = np.argsort(distances, kind="stable")
    return distances[order], areas[order]


def _percentile(distances: Numbers, areas: Numbers, percentile: float) -> float:
    """The smallest distance within which `percentile` per cent of the area lies; inf for a missing surface."""
    if not len(distances):
        return math.inf
    reached = np.cumsum(areas) / areas.sum()
    return float(distances[min(int(np.searchsorted(reached, percentile / 100)), len(distances) - 1)])
