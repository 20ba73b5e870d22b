"""Signal against what is said of it: a CT that is not in Hounsfield units, an MRI that is a CT, no contrast.

Each check is a rule of thumb with its numbers in sight, and answers with a sentence; none of them fires on any real
volume of the project. They judge what a network would otherwise read as tissue without a word.
"""

from collections.abc import Callable

import numpy as np

from ..vocabulary import Modality
from .grid import Array
from .tissue_peaks import FAT, misplaced_peaks, tissue_peaks
from .usable_signal import UsableSignal, sample_of, usable_signal
from .volume import Volume

_SATURATED = 0.05  # of the voxels at the highest signal
_ONE_NUMBER = 0.97  # of the voxels
_NORMALISED = 20.0  # no CT of a body lies within so few HU
_NARROW = 50.0  # between the lowest and the highest value: half of what lies between fat and soft tissue
_SQUEEZED = (-50.0, 60.0, 5.0)  # air and bone within the first two, the lowest fifth within the third: 1000 HU in 100
_BYTE = 255
_SIGNED_BYTE = (-128, 127)
_HIGHEST_HU = 4500.0  # of the 99th percentile: metal lies higher, in few voxels
_LOWEST_HU = -3100.0  # of the 0.5th percentile: air is -1000, and scanners fill with -3024 at the lowest
_MOST_BONE = 0.25  # of the voxels
_SOFT = (-200.0, 300.0)  # HU of fat, water, muscle and contrast
_LEAST_SOFT = 0.02  # of the voxels
_SHIFTED = (850.0, 1200.0)  # where soft tissue lies after 1000 or 1024 was added
_AIR = (-1100.0, -850.0)

Check = Callable[[Array], str | None]


def signal_warnings(volume: Volume, usable: UsableSignal | None = None) -> tuple[str, ...]:
    """What a person should know of a volume's signal before trusting an answer, a sentence each.

    Args:
        volume: signal as measured; its modality as stated, None for not stated.
        usable: of its array, where it is known.
    """
    usable = usable or usable_signal(volume.array, volume.modality)
    sentences = []
    if usable.fill:
        share = 100 * usable.fill / volume.array.size
        sentences.append(f"{share:.0f} % of the voxels are fill, not signal; they were left out of every statistic")
    if usable.spikes:
        sentences.append(
            f"{usable.spikes} voxels are spikes far beyond all other signal; they were replaced by their surroundings"
        )
    return (*sentences, *_doubts(sample_of(usable.measured), volume.modality))


def signal_doubts(volume: Volume) -> tuple[str, ...]:
    """Those of `signal_warnings` that doubt the signal as a whole; fill and spikes, which are mended, are left out."""
    return _doubts(sample_of(usable_signal(volume.array, volume.modality).measured), volume.modality)


def _doubts(sample: Array, modality: Modality | None) -> tuple[str, ...]:
    checks = (*_CHECKS.get(modality, ()), _without_contrast, _saturated)
    return tuple(sentence for check in checks if (sentence := check(sample)) is not None)


def _not_in_hounsfield(sample: Array) -> str | None:
    """CT whose numbers cannot be HU: normalised, 8-bit, shifted, scaled, stretched or inverted."""
    low, high = float(sample.min()), float(sample.max())
    advice = "give the scan in Hounsfield units, or its answers mean nothing"
    if max(abs(low), abs(high)) <= _NORMALISED:
        return f"this CT is not in HU: its values run from {low:g} to {high:g}, as if normalised; {advice}"
    if (low >= 0 and _BYTE - 5 <= high <= _BYTE) or (low >= _SIGNED_BYTE[0] and high == _SIGNED_BYTE[1]):
        return f"this CT is not in HU: its values run from {low:g} to {high:g}, as in a picture of 8 bits; {advice}"
    body = sample[sample > 400]
    shifted = _share(body, *_SHIFTED) if body.size else 0.0
    if float(np.percentile(sample, 0.5)) > -100 and shifted > 0.5 and body.size > _LEAST_SOFT * sample.size:
        middle = float(np.median(body))
        return (
            f"this CT is not in HU: its soft tissue lies near {middle:.0f} instead of 40, as if 1024 or 1000 had been "
            "added; subtract that first, or its answers mean nothing"
        )
    if float(np.percentile(sample, 99)) > _HIGHEST_HU:
        return f"this CT is not in HU: its values reach {high:g}, far above bone; {advice}"
    if float(np.percentile(sample, 0.5)) < _LOWEST_HU:
        return f"this CT is not in HU: its values go down to {low:g}, far below air; {advice}"
    if _share(sample, *_SOFT) < _LEAST_SOFT:
        return f"this CT is not in HU: almost no voxel lies between -200 and 300, where soft tissue does; {advice}"
    if _share(sample, *_SHIFTED) > _MOST_BONE:
        return f"this CT is not in HU: too many voxels lie near 1000 to be bone, as if it were inverted; {advice}"
    if low < 0 and high - low < _NARROW:
        return f"this CT may not be in HU: its values only run from {low:g} to {high:g}; {advice}"
    first, fifth, last = (float(value) for value in np.percentile(sample, (1, 20, 99)))
    if first <= _SQUEEZED[0] and last <= _SQUEEZED[1] and fifth - first <= _SQUEEZED[2]:
        return (
            f"this CT may not be in HU: nearly all values lie between {first:.0f} and {last:.0f}, where air and bone "
            f"are 1000 apart; {advice}"
        )
    peaks = misplaced_peaks(sample)
    if peaks is not None:
        return (
            f"this CT may not be in HU: its fat and soft tissue seem to lie near {peaks.fat:.0f} and {peaks.soft:.0f}, "
            f"where -100 and 50 are usual, as if it were scaled or shifted; {advice}"
        )
    if low >= 0:
        return f"this CT may not be in HU: no voxel lies below 0, where air and fat do; {advice}"
    return None


def _like_ct(sample: Array) -> str | None:
    """MRI that has the air, or the fat, and the tissue of a CT."""
    low, high = np.percentile(sample, (0.5, 99))
    plausible = -3100 < low < -850 and high < _HIGHEST_HU
    if plausible and _share(sample, *_AIR) > 0.05 and _share(sample, -150, 250) > 0.1:
        return (
            f"this MRI looks like a CT: its values go down to {low:.0f}, where the air of a CT lies; "
            "say --modality CT if it is one"
        )
    peaks = tissue_peaks(sample) if -300 < sample.min() < -100 else None
    if peaks and np.percentile(sample, 20) == sample.min() and FAT[0] <= peaks.fat <= FAT[1] and 20 < peaks.soft < 200:
        return (
            f"this MRI looks like a CT: it is cut off at {sample.min():.0f}, and its fat and soft tissue lie near "
            f"{peaks.fat:.0f} and {peaks.soft:.0f}; say --modality CT if it is one"
        )
    return None


def _without_contrast(sample: Array) -> str | None:
    values, counts = np.unique(sample, return_counts=True)
    most = int(counts.argmax())
    share = counts[most] / sample.size
    if share > _ONE_NUMBER:
        return f"{100 * share:.0f} % of the voxels hold {values[most]:g}: hardly anything of this image is signal"
    return None


def _saturated(sample: Array) -> str | None:
    """Much signal cut off at the highest number; a label map or a mask also looks so."""
    share = float(np.mean(sample == sample.max()))
    if share > _SATURATED and np.unique(sample[: 1 << 16]).size > 2:
        return (
            f"{100 * share:.0f} % of the voxels hold the highest value, {sample.max():g}: the signal is cut off there, "
            "and structures may be lost"
        )
    return None


def _share(sample: Array, low: float, high: float) -> float:
    return float(np.mean((sample >= low) & (sample <= high)))


_CHECKS: dict[Modality | None, tuple[Check, ...]] = {Modality.CT: (_not_in_hounsfield,), Modality.MRI: (_like_ct,)}
