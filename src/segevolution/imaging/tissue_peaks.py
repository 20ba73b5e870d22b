"""Where fat and soft tissue lie in the histogram of a CT: two peaks that tell whether its numbers are Hounsfield units.

Fat lies near -100 HU and soft tissue 90 to 250 HU above it, whatever the scanner. In the real CT of the project that
shows both, fat's peak lies between -111 and -77. Who scales or shifts a CT moves the two peaks with it.
"""

import itertools
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from .grid import Array, Floats

FAT = (-125.0, -60.0)  # HU, with a margin on what the real volumes show
_RANGE = (-400.0, 500.0)  # HU: air, lung and dense bone stay out
_BIN, _BLUR = 2.0, 4.0  # HU, bins
_CONSTANT = 0.05  # of the voxels at one number: background or clipping, no tissue
_LEAST_INNER = 0.1  # of the voxels: fewer are no body
_LEAST_PEAK = 0.2  # of the highest
_DEEPEST_VALLEY = 0.85  # of the lower of two peaks, between them
_SOFT_ABOVE_FAT = (90.0, 250.0)  # HU, where all was shifted
_SOFT_TO_FAT = (0.2, 2.0)  # soft tissue over minus fat, where all was scaled


class TissuePeaks(NamedTuple):
    """The numbers at which fat and soft tissue are most frequent, if these two peaks are fat and soft tissue."""

    fat: float
    soft: float


def tissue_peaks(sample: Array) -> TissuePeaks | None:
    """The lowest clear peak of tissue and the highest peak above it; None where there are no two.

    Args:
        sample: (N,) signal.
    """
    values, counts = np.unique(sample, return_counts=True)
    tissue = sample[~np.isin(sample, values[counts > _CONSTANT * sample.size])]
    tissue = tissue[(tissue > max(_RANGE[0], float(values[0]))) & (tissue < min(_RANGE[1], float(values[-1])))]
    if tissue.size < _LEAST_INNER * sample.size or not tissue.size:
        return None
    edges = np.arange(_RANGE[0], _RANGE[1] + _BIN, _BIN)
    density: Floats = ndimage.gaussian_filter1d(np.histogram(tissue, edges)[0].astype(np.float64), _BLUR)
    inner = density[1:-1]
    places = np.flatnonzero((inner > density[:-2]) & (inner >= density[2:]) & (inner >= _LEAST_PEAK * inner.max())) + 1
    for low, _ in itertools.pairwise(places.tolist()):
        above = places[places > low]
        high = int(above[density[above].argmax()])
        if density[low:high].min() <= _DEEPEST_VALLEY * min(density[low], density[high]):
            return TissuePeaks(float(edges[low] + _BIN / 2), float(edges[high] + _BIN / 2))
    return None


def misplaced_peaks(sample: Array) -> TissuePeaks | None:
    """The peaks of fat and soft tissue where they lie elsewhere than in a CT; None where nothing is wrong or sure.

    Only an image with air, or with a background that was cut off, below its tissue is judged: within a body, organs
    full of contrast medium have two peaks as well.

    Args:
        sample: (N,) signal of a CT.
    """
    peaks = tissue_peaks(sample)
    if peaks is None or FAT[0] <= peaks.fat <= FAT[1]:
        return None
    apart = peaks.soft - peaks.fat
    lowest, fifth = (float(value) for value in np.percentile(sample, (0.5, 20)))
    has_air = fifth - lowest <= 0.1 * apart or peaks.fat - fifth > 2 * apart
    shifted = _SOFT_ABOVE_FAT[0] <= apart <= _SOFT_ABOVE_FAT[1]
    scaled = peaks.fat < 0 < peaks.soft and _SOFT_TO_FAT[0] <= -peaks.soft / peaks.fat <= _SOFT_TO_FAT[1]
    return peaks if has_air and (shifted or scaled) else None
