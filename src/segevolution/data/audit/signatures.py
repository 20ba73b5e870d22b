"""Signatures of volumes that survive copying: resampling, cropping, re-windowing, compression, mirroring.

A signature holds the volume on coarse isotropic grids, each voxel relative to its neighbourhood, and there the
strongest extrema with a descriptor each. Comparing neighbourhoods rather than volumes is what survives cutting, and
what tells two patients of like shape apart. In the manner of 3-D SIFT-Rank (Toews and Wells 2013), which found
duplicates in public sets of brain MRI (Chauvin et al. 2020); here without rotations, since a store's axes are
canonical.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...imaging.grid import Array, Triple
from .coarse import Spacing, coarsened

# Millimetres a voxel. A volume is described on those grids where its longest side has as many voxels as these.
SPACINGS = (0.75, 1.5, 3.0, 6.0)
_SIDES = (16, 90)

POINTS = 150
REACH, STEP = 4, 2  # of a descriptor, in coarse voxels: 5 x 5 x 5 samples
_NEIGHBOURHOOD = 3.0  # standard deviation, in coarse voxels
_FLOOR = 0.15  # of the whole volume's deviation: flat regions stay flat
_STRENGTH = 0.3  # of an extremum
_SCALE = 32.0  # detail is kept in 8 bits
_RANKS = 1001
_DARK = 0.15  # of the range of brightness; what is darker is air, or was cut off

Bytes = npt.NDArray[np.int8]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Level:
    """A volume on one coarse grid.

    Attributes:
        spacing: of the grid, millimetres.
        detail: (X, Y, Z), brightness relative to the neighbourhood, in 1/32 of its deviation.
        points: (N, 3) voxels of the extrema, strongest first.
        descriptors: (N, 5, 5, 5), zero mean and unit length each.
    """

    spacing: float
    detail: Bytes
    points: npt.NDArray[np.int16]
    descriptors: Singles


@dataclass(frozen=True, eq=False)
class Signature:
    """What two volumes are compared by.

    Attributes:
        values: digest of all voxel values that does not depend on their order, nor, where voxels share values, on a
            monotone change of scale: equal for the same voxels turned, mirrored, or standardised.
        levels: fine to coarse; at least one.
    """

    values: str
    levels: tuple[Level, ...]

    def at(self, spacing: float) -> Level | None:
        """The level of a spacing, if it has it."""
        return next((level for level in self.levels if level.spacing == spacing), None)


def signature(signal: Array, spacing: Spacing) -> Signature:
    """The signature of a volume.

    Args:
        signal: (X, Y, Z), any real dtype.
        spacing: millimetres.
    """
    longest = max(side * step for side, step in zip(signal.shape, spacing, strict=True))
    coarse_spacings = [coarse for coarse in SPACINGS if _SIDES[0] <= longest / coarse <= _SIDES[1]]
    if not coarse_spacings:
        coarse_spacings = [SPACINGS[-1] if longest > SPACINGS[-1] * _SIDES[1] else SPACINGS[0]]
    return Signature(values_digest(signal), tuple(_level(signal, spacing, coarse) for coarse in coarse_spacings))


def values_digest(signal: Array) -> str:
    """SHA-256 of how often each value occurs, in order of the values.

    Where hardly any value occurs twice, as in resampled floats, or there are only a few, the values themselves count
    too.
    """
    values, counts = np.unique(signal, return_counts=True)
    digest = hashlib.sha256(repr(sorted(signal.shape)).encode())
    digest.update(counts.astype(np.int64).tobytes())
    if len(values) > signal.size / 4 or len(values) < 16:
        digest.update(values.astype(np.float64).tobytes())
    return digest.hexdigest()


def _level(signal: Array, spacing: Spacing, coarse: float) -> Level:
    detail = _detail(coarsened(signal, spacing, coarse))
    points, descriptors = _extrema(detail)
    quantised = np.clip(np.rint(detail * _SCALE), -127, 127).astype(np.int8)
    return Level(coarse, quantised, points, descriptors)


def _detail(array: Singles) -> Singles:
    """Brightness less that of the neighbourhood, over the neighbourhood's deviation.

    Brightness is the rank among all that is not dark, so that a CT cut to its soft tissue window stays like the whole.
    """
    low, high = np.percentile(array, (0.5, 99.5))
    bright = array > low + _DARK * (high - low)
    values = array[bright]
    array = np.zeros_like(array)
    if len(values):
        steps = np.quantile(values, np.linspace(0, 1, _RANKS))
        ranks = np.searchsorted(steps, values, "left") + np.searchsorted(steps, values, "right")
        array[bright] = ranks / (2 * _RANKS)
    apart = array - ndimage.gaussian_filter(array, _NEIGHBOURHOOD, mode="nearest")
    deviation = np.sqrt(ndimage.gaussian_filter(apart * apart, _NEIGHBOURHOOD, mode="nearest"))
    return np.asarray(apart / (deviation + _FLOOR * float(array.std()) + 1e-6), np.float32)


def _extrema(detail: Singles) -> tuple[npt.NDArray[np.int16], Singles]:
    smooth = ndimage.gaussian_filter(detail, 0.7)
    strength = np.abs(smooth)
    top = (strength == ndimage.maximum_filter(strength, 5, mode="constant")) & (strength > _STRENGTH)
    points = np.argwhere(top)
    points = points[np.argsort(-strength[top], kind="stable")[:POINTS]]
    padded = np.pad(smooth, REACH)
    steps = np.arange(0, 2 * REACH + 1, STEP)
    x, y, z = (points[:, axis, None] + steps for axis in range(3))
    neighbourhoods = padded[x[:, :, None, None], y[:, None, :, None], z[:, None, None, :]]
    neighbourhoods = neighbourhoods - neighbourhoods.mean((1, 2, 3), keepdims=True)
    neighbourhoods = neighbourhoods / (np.sqrt((neighbourhoods**2).sum((1, 2, 3), keepdims=True)) + 1e-6)
    return points.astype(np.int16), neighbourhoods.astype(np.float32)


def shape_of(level: Level) -> Triple:
    """(X, Y, Z) of the coarse grid."""
    x, y, z = level.detail.shape
    return x, y, z
