"""Separate signal from fill and spikes, so that these set no scale.

Fill is one number in many voxels, far from all signal: the padding of a resampled or reassembled image. Spikes are
single voxels, or a small block, far above or below everything else. Both are found by gaps and tails that no scan of
tissue has; an image without them is handed on as it is, the very same array. The thresholds were set with a margin on
the real volumes of the project (largest tail of an MRI 2.8, of a CT 3.2; largest gap .07).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..vocabulary import Modality
from .grid import Array

Mask = npt.NDArray[np.bool_]

LEAST_FILL = 1e-3  # of the voxels; low fill is below zero
FILL_GAP = 0.25  # of the signal's range, between fill and the nearest signal
HIGH_FILL_GAP = 1.0
LOW_FILL = 0.1  # of the highest signal, below zero: fill with a rim that interpolation made
RIM = 0.05  # of the other voxels
TAIL_95, TAIL_97 = 6.0, 3.5  # the 99.5th percentile above the median, in units of the 95th and 97.5th
LONE_SPIKE = 12.0  # the highest signal above the median, in units of the 99.5th percentile
SMALL_BLOCK = 1e-3  # of the voxels
BORDER = 0.1  # of the outermost voxels hold fill that is brighter than signal
_COMPANY = 5.5  # voxels in the 3 x 3 x 3 round a spike, itself among them: the corner of a region has 8
_SAMPLE = 1 << 19


@dataclass(frozen=True, eq=False)
class UsableSignal:
    """An image whose every voxel can be shown to a network, and those that statistics may be taken of.

    Attributes:
        image: (X, Y, Z); the given array itself where nothing was excluded. Fill holds the lowest signal, a spike the
            median of its neighbourhood.
        excluded: where fill and spikes were; None for nowhere.
        fill: voxels of fill.
        spikes: voxels of spikes.
    """

    image: Array
    excluded: Mask | None = None
    fill: int = 0
    spikes: int = 0

    @property
    def measured(self) -> Array:
        """The voxels that are signal: the image itself, or (N,) of them."""
        return self.image if self.excluded is None else self.image[~self.excluded]


def usable_signal(image: Array, modality: Modality | None = None) -> UsableSignal:
    """Tell signal from fill and spikes.

    Args:
        image: (X, Y, Z), any real dtype, finite.
        modality: of a CT only a lone spike is looked for, since bone and air have tails of their own.
    """
    if image.size < 2:
        return UsableSignal(image)
    low, high = float(image.min()), float(image.max())
    if low == high:
        return UsableSignal(image)
    fill = _fill(image, low, high)
    if fill is not None and fill.all():
        return UsableSignal(image)
    signal = image
    if fill is not None:
        signal = image[~fill]
        low, high = float(signal.min()), float(signal.max())
    sample = sample_of(signal)
    bounds = _bounds(sample, low, high, modality)
    spikes = _spikes(image, fill, *bounds) if bounds is not None else None
    if fill is None and spikes is None:
        return UsableSignal(image)
    excluded = np.zeros(image.shape, np.bool_)
    for part in (fill, spikes):
        if part is not None:
            excluded |= part
    cleaned = image.copy()
    rest = image[~excluded]
    lowest, highest = rest.min(), rest.max()
    if fill is not None:
        cleaned[fill] = lowest
    if spikes is not None:
        around = ndimage.median_filter(cleaned, size=3)
        cleaned[spikes] = np.clip(around[spikes], lowest, highest)
    return UsableSignal(
        cleaned, excluded, 0 if fill is None else int(fill.sum()), 0 if spikes is None else int(spikes.sum())
    )


def _fill(image: Array, lowest: float, highest: float) -> Mask | None:
    """Where one number stands, the lowest or the highest, that is far from all signal."""
    sample = sample_of(image)
    fill: Mask | None = None
    for value, low_end in ((lowest, True), (highest, False)):
        part = _fill_of(image, sample, value, low_end=low_end)
        if part is not None:
            fill = part if fill is None else fill | part
    return fill


def _fill_of(image: Array, sample: Array, value: float, *, low_end: bool) -> Mask | None:
    """Where `value`, the lowest or highest of all, is fill; a sample clears nearly every image at once."""
    others = sample[sample != value]
    if others.size == 0 or sample.size - others.size < 0.5 * LEAST_FILL * sample.size:
        return None
    bottom, top = (float(number) for number in np.percentile(others, (1, 99)))
    span = top - bottom
    if span <= 0 or (low_end and value >= 0):  # 0 is air, and a scale that begins there is right
        return None
    if low_end and value < 0 < top and -value > LOW_FILL * top and np.mean(others < 0) < RIM:
        return np.asarray(image < 0)  # with the rim that interpolation left round it
    least_gap = (FILL_GAP if low_end else HIGH_FILL_GAP) * span
    if np.abs(others - value).min() <= least_gap:
        return None
    at_value = image == value
    nearest = image[~at_value]
    gap = abs(float(nearest.min() if low_end else nearest.max()) - value)
    enough = np.count_nonzero(at_value) >= LEAST_FILL * image.size
    return at_value if enough and gap > least_gap and (low_end or _round_the_image(at_value)) else None


def _bounds(sample: Array, lowest: float, highest: float, modality: Modality | None) -> tuple[float, float] | None:
    """Beyond which signal may be a spike; None where both tails are those of a scan."""
    middle = float(np.median(sample))
    low = _bound(middle - sample, middle - lowest, modality)
    high = _bound(sample - middle, highest - middle, modality)
    if low is None and high is None:
        return None
    return (-np.inf if low is None else middle - low), (np.inf if high is None else middle + high)


def _bound(distances: Array, farthest: float, modality: Modality | None) -> float | None:
    """How far above the median a tail may reach; None where it reaches no farther."""
    p95, p97, p995 = (float(value) for value in np.percentile(distances, (95, 97.5, 99.5)))
    if modality is not Modality.CT and p95 > 0 and (p995 > TAIL_95 * p95 or p995 > TAIL_97 * p97):
        return 1.5 * min(TAIL_95 * p95, TAIL_97 * p97)
    if p995 > 0 and farthest > LONE_SPIKE * p995:
        return 10 * p995
    return None


def _spikes(image: Array, fill: Mask | None, low: float, high: float) -> Mask | None:
    """Voxels beyond the bounds that stand alone, or whose numbers stand far from all others."""
    beyond = (image < low) | (image > high)
    if fill is not None:
        beyond &= ~fill
    if not beyond.any():
        return None
    company = ndimage.uniform_filter(beyond.astype(np.float32), size=3, mode="constant") * 3**image.ndim
    spikes = beyond & (company < _COMPANY)
    rest = image[~beyond] if fill is None else image[~beyond & ~fill]
    for end, side in ((float(rest.max()), image > high), (float(rest.min()), image < low)):
        block = beyond & side
        if 0 < np.count_nonzero(block) <= SMALL_BLOCK * image.size and rest.max() > rest.min():
            nearest = float(np.abs(image[block].astype(np.float64) - end).min())
            if nearest > float(rest.max()) - float(rest.min()):
                spikes |= block
    return spikes if spikes.any() else None


def _round_the_image(mask: Mask) -> bool:
    """Whether a mask holds much of the image's border: a bright organ inside does not."""
    inner = (slice(1, -1),) * mask.ndim
    border = mask.size - mask[inner].size
    return bool(np.count_nonzero(mask) - np.count_nonzero(mask[inner]) > BORDER * border)


def sample_of(signal: Array) -> npt.NDArray[Any]:
    """(N,) every so many voxels along each axis, about half a million, in double precision."""
    step = max(1, round((signal.size / _SAMPLE) ** (1 / signal.ndim)))
    return signal[(slice(None, None, step),) * signal.ndim].astype(np.float64).reshape(-1)
