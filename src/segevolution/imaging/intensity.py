"""Signal to the numbers a network reads: each network's Spec names one recipe of NORMALISERS.

The store keeps signal as measured; normalisation happens once, here, at the network's door.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..vocabulary import Modality
from .grid import Array
from .intensity_matching import CT_ABDOMEN, IntensityProfile
from .usable_signal import usable_signal
from .volume import Volume

Image = npt.NDArray[np.float32]
Number = TypeVar("Number", float, np.float32)

HERMES_WINDOW = (-991.0, 500.0)  # HU
BYTE_WINDOW = (-160.0, 240.0)  # HU; level 40, width 400
SOFT_TISSUE_WINDOW = (-125.0, 275.0)  # HU; the window in which nnU-Net's and Swin UNETR's BTCV recipes lie
# MR magnitude is never negative, so a signal this low can only be HU.
LOWEST_SIGNAL_OF_MR = -100.0
# Of signal: beyond it the squares that make a deviation leave single precision.
HIGHEST_SIGNAL = 1e12
LEAST_SPAN = 1e-12  # from the lowest to the highest signal; below it those squares vanish
_PLANES = 32  # of an image, worked on at a time


def foreground_normalise(
    image: Array, low: float = 0.05, high: float = 99.95, *, measured: Array | None = None
) -> Image:
    """Clip to foreground percentiles and standardise by foreground statistics.

    Foreground is every voxel above the image mean; mean and (population) standard deviation are those of its
    unclipped voxels. This is the M3D-Seg recipe (Bai et al. 2024, arXiv:2404.00578) as its code has it: the
    paper's prose says the 5th and 95th percentile, the released data and code use 0.05 and 99.95.

    Args:
        image: any real dtype and shape, arbitrary units (HU or MR signal).
        low: lower percentile of the foreground, in [0, 100].
        high: upper percentile.
        measured: the voxels that statistics are taken of; None = all. See usable_signal.py.

    Returns:
        float32, same shape, about zero mean and unit variance over the foreground.

    Raises:
        VolumeError: the image is constant or empty, or holds NaN or infinity.
    """
    signal = np.asarray(image, np.float32)
    if signal.size == 0 or not np.isfinite(signal).all():
        raise VolumeError("an image that is empty or holds NaN or infinity cannot be normalised.")
    sample = _sample(image, signal, measured)
    foreground = sample[sample > sample.mean()]
    if foreground.size == 0:
        raise VolumeError("a constant image cannot be normalised.")
    lowest, highest = np.percentile(foreground, (low, high))
    mean, deviation = foreground.mean(), _divisor(foreground.std())
    del foreground
    standardised = np.empty(signal.shape, np.float32) if np.may_share_memory(signal, image) else signal
    for start in range(0, len(signal), _PLANES):  # by parts, as each step takes as much memory as what it works on
        part = slice(start, start + _PLANES)
        standardised[part] = (np.clip(signal[part], lowest, highest) - mean) / deviation
    return standardised


def _sample(image: Array, signal: Image, measured: Array | None) -> Image:
    """What statistics are taken of, in single precision; `signal`, which is the image so, where that is all of it."""
    return signal if measured is None or measured is image else np.asarray(measured, np.float32)


def _divisor(spread: Number) -> Number:
    """What a signal is divided by; 1 where it has no spread, so that a map of 1e-9 m2/s is scaled as any other."""
    return spread if spread > 0 else type(spread)(1)


def min_max(image: Array) -> Image:
    """Scale linearly to [0, 1]; a constant image becomes zero. float32, same shape."""
    signal = np.asarray(image, np.float32)
    low, high = signal.min(), signal.max()
    scaled = np.asarray(signal - low)
    scaled /= _divisor(high - low)
    return scaled


def z_score(image: Array, *, measured: Array | None = None) -> Image:
    """Zero mean and unit variance over the voxels above 0 (all voxels if there are none). float32, same shape.

    Args:
        measured: the voxels that statistics are taken of; None = all. See usable_signal.py.
    """
    signal = np.asarray(image, np.float32)
    sample = _sample(image, signal, measured)
    body = sample[sample > 0] if (sample > 0).any() else sample
    mean, deviation = body.mean(), _divisor(body.std())
    del body  # before the result is made, and that in place: at the size of a large CT each copy is 839 MB
    standardised = np.asarray(signal - mean, np.float32)
    standardised /= deviation
    return standardised


def scaled_signal(image: Array, *, measured: Array | None = None) -> Image:
    """Signal over the deviation of its voxels above 0, for networks that standardise each window themselves.

    What is 0 stays 0, and every sign stays, so that the voxels above 0 are still known. float32, same shape.

    Args:
        measured: the voxels that statistics are taken of; None = all. See usable_signal.py.
    """
    signal = np.asarray(image, np.float32)
    sample = _sample(image, signal, measured)
    body = sample[sample > 0] if (sample > 0).any() else sample
    deviation = _divisor(body.std())
    del body
    return np.asarray(signal / deviation, np.float32)


def nonzero_box_z_score(image: Array) -> Image:
    """Zero mean and unit (unbiased) deviation over the tight box of the voxels that are not 0, all voxels in it.

    nnInteractive's recipe (Isensee et al. 2025, arXiv:2503.08373); nothing is clipped. float32, same shape.

    Args:
        image: any real dtype, shape (X, Y, Z).
    """
    signal = np.asarray(image, np.float32)
    places = [np.flatnonzero((signal != 0).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    box = (
        signal[tuple(slice(positions[0], positions[-1] + 1) for positions in places)]
        if all(map(len, places))
        else signal
    )
    deviation = float(box.std(dtype=np.float64, ddof=1)) if box.size > 1 else 0.0
    return np.asarray((signal - box.mean(dtype=np.float64)) / _divisor(deviation), np.float32)


def window(image: Array, low: float, high: float) -> Image:
    """Clip to [low, high] and scale to [0, 1]. float32, same shape; takes the memory of its result and no more."""
    scaled = np.array(image, np.float32)
    np.clip(scaled, low, high, out=scaled)
    scaled -= low
    scaled /= _divisor(high - low)
    return scaled


def _likely_modality(modality: Modality | None, signal: Array) -> Modality | None:
    """What is said; CT where nothing is and the signal goes lower than MR can."""
    return Modality.CT if modality is None and float(np.min(signal)) < LOWEST_SIGNAL_OF_MR else modality


def soft_tissue(image: Array, modality: Modality | None = None, *, measured: Array | None = None) -> Image:
    """CT in a fixed soft-tissue window (-125 to 275 HU); anything else between its 0.5 and 99.5 percentiles.

    A CT keeps its absolute scale this way, which foreground percentiles lose. With `modality` None, a signal that
    goes below -100 is taken for HU. Percentiles are those of `measured`, where it is given.
    """
    sample = image if measured is None else measured
    modality = _likely_modality(modality, sample)
    if modality is Modality.CT:
        return window(image, *SOFT_TISSUE_WINDOW)
    low, high = np.percentile(sample, (0.5, 99.5))
    return window(image, float(low), float(high))


def _foreground(image: Array, modality: Modality | None, measured: Array) -> Image:
    return min_max(foreground_normalise(image, measured=measured))


def _soft_tissue(image: Array, modality: Modality | None, measured: Array) -> Image:
    return soft_tissue(image, modality, measured=measured)


def _z_score(image: Array, modality: Modality | None, measured: Array) -> Image:
    return z_score(image, measured=measured)


def _scaled_signal(image: Array, modality: Modality | None, measured: Array) -> Image:
    return scaled_signal(image, measured=measured)


def _nonzero_box_z_score(image: Array, modality: Modality | None, measured: Array) -> Image:
    return nonzero_box_z_score(image)


def eight_bits(image: Array, modality: Modality | None = None, *, measured: Array | None = None) -> Image:
    """Whole numbers from 0 to 255, as MedSAM makes bytes of a volume.

    CT is cut to level 40, width 400 (-160 to 240 HU); anything else to the 0.5 and 99.5 percentiles of its voxels above
    0, while what is 0 stays 0. Then the cut volume's own minimum and maximum become 0 and 255; fractions are dropped.
    With `modality` None, a signal that goes below -100 is taken for HU. Statistics are those of `measured`, where it
    is given.
    """
    signal = np.asarray(image, np.float32)
    sample = _sample(image, signal, measured)
    modality = _likely_modality(modality, sample)
    if modality is Modality.CT:
        return _bytes_of(np.clip(signal, *BYTE_WINDOW))
    body = sample[sample > 0]
    low, high = np.percentile(body, (0.5, 99.5)) if body.size else (signal.min(), signal.max())
    del body
    scaled = _bytes_of(np.clip(signal, low, high))
    scaled[signal == 0] = 0
    return scaled


def _bytes_of(cut: Array) -> Image:
    """Scaled to whole numbers from 0 to 255, in place: at the size of a large CT each copy is 839 MB."""
    scaled = min_max(cut)
    scaled *= 255
    return np.floor(scaled, out=scaled)


def _eight_bits(image: Array, modality: Modality | None, measured: Array) -> Image:
    return eight_bits(image, modality, measured=measured)


def clipped_z_score(image: Array, modality: Modality | None = None, *, measured: Array | None = None) -> Image:
    """Clip, then zero mean and unit variance over all voxels, air too. float32, same shape.

    Hermes' recipe (Gao et al. 2024, arXiv:2306.02416): CT is clipped to -991 to 500 HU, anything else to its 2nd and
    98th percentile. With `modality` None, a signal that goes below -100 is taken for HU. Statistics are those of
    `measured`, where it is given.
    """
    sample = image if measured is None else measured
    modality = _likely_modality(modality, sample)
    low, high = HERMES_WINDOW if modality is Modality.CT else np.percentile(sample, (2, 98))
    low, high = float(low), float(high)  # a number of numpy's would make the image float64
    clipped = np.clip(np.asarray(sample, np.float32), low, high)
    mean, deviation = float(clipped.mean(dtype=np.float64)), float(clipped.std(dtype=np.float64))
    standardised = clipped if sample is image else np.clip(np.asarray(image, np.float32), low, high)
    standardised -= mean
    standardised /= _divisor(deviation)
    return standardised


def _clipped_z_score(image: Array, modality: Modality | None, measured: Array) -> Image:
    return clipped_z_score(image, modality, measured=measured)


@dataclass(frozen=True)
class Normaliser:
    """A recipe from signal to the numbers that a network reads, and what is known of those numbers.

    Attributes:
        function: (signal (X, Y, Z), modality, the voxels of it that statistics are taken of) -> float32 (X, Y, Z).
        low: the smallest number it can give; None where there is no bound.
        high: the largest; None where there is no bound.
        pad: the number that stands outside the image; None = the image's own smallest, which is air.
        profile: a scan of another modality is given these intensities first and is of that modality from then on; None
            = scans are taken as they are.
    """

    function: Callable[[Array, Modality | None, Array], Image]
    low: float | None
    high: float | None
    pad: float | None
    profile: IntensityProfile | None = None

    def matched(self, volume: Volume) -> Volume:
        """The scan with the profile's intensities; itself where it is of that modality or there is no profile.

        A scan whose modality is not said is taken for CT where its signal goes below -100, as `soft_tissue` does.
        """
        return self.profile.match(volume) if self.profile is not None and self.changes(volume) else volume

    def changes(self, volume: Volume) -> bool:
        """Whether a scan is given the profile's intensities before anything else."""
        return self.profile is not None and (
            _likely_modality(volume.modality, volume.array) is not self.profile.modality
        )

    def exchanged(self, image: Image) -> Image:
        """A normalised image of a scan that was given the profile's intensities, with bright and dark exchanged.

        Raises:
            ValueError: there is no profile.
        """
        if self.profile is None:
            raise ValueError("greys are exchanged along a profile, and there is none.")
        signal, exchanged = self.profile.reversed_curve()
        modality = self.profile.modality
        greys, others = (self.function(part.astype(np.float32), modality, part) for part in (signal, exchanged))
        out = np.empty(image.shape, np.float32)
        for start in range(0, len(image), _PLANES):  # by parts: a curve is double precision
            out[start : start + _PLANES] = np.interp(image[start : start + _PLANES], greys, others)
        return out

    @property
    def crops(self) -> bool:
        """Whether its smallest number means that nothing is there, so that a margin of it may be cut away."""
        return self.low is not None and self.low == self.pad

    def pad_of(self, image: Image) -> float:
        """The number that stands outside this normalised image."""
        return float(image.min()) if self.pad is None else self.pad

    def bounds_of(self, image: Image) -> tuple[float, float]:
        """The smallest and largest number that this normalised image may hold; its own where there is no bound."""
        low, high = self.low, self.high
        return float(image.min()) if low is None else low, float(image.max()) if high is None else high


NORMALISERS: dict[str, Normaliser] = {
    "foreground": Normaliser(_foreground, 0, 1, pad=0),  # SegVol as published
    "soft_tissue": Normaliser(_soft_tissue, 0, 1, pad=0),  # segvol-mini
    "matched_soft_tissue": Normaliser(_soft_tissue, 0, 1, pad=0, profile=CT_ABDOMEN),  # segvol-mini-2
    "eight_bits": Normaliser(_eight_bits, 0, 255, pad=-1),  # the SAM family; -1 says what is no image
    "z_score": Normaliser(_z_score, None, None, pad=None),
    "scaled_signal": Normaliser(_scaled_signal, None, None, pad=0),  # SAM-Med3D; what is no image is 0 to it
    "nonzero_box_z_score": Normaliser(_nonzero_box_z_score, None, None, pad=0),  # nnInteractive
    "clipped_z_score": Normaliser(_clipped_z_score, None, None, pad=0),  # Hermes
}


def _differ(low: float, high: float) -> bool:
    return high - low >= LEAST_SPAN and bool(np.float32(low) < np.float32(high))


def normalise(image: Array, recipe: str, modality: Modality | None) -> Image:
    """Apply a recipe of NORMALISERS to signal (X, Y, Z); fill and spikes set no scale, see usable_signal.py.

    Raises:
        VolumeError: the image is empty, holds NaN or infinity, or runs over numbers that single precision, in which
            networks compute, cannot tell apart.
    """
    if image.size == 0 or (image.dtype.kind == "f" and not np.isfinite(image).all()):
        raise VolumeError("an image that is empty or holds NaN or infinity cannot be normalised.")
    usable = usable_signal(image, modality)
    low, high = float(usable.image.min()), float(usable.image.max())
    if max(-low, high) > HIGHEST_SIGNAL or (low < high and not _differ(low, high)):
        raise VolumeError(
            f"an image whose signal runs from {low!r} to {high!r} cannot be normalised in single precision; scale it "
            "first, for instance to 0 to 1000."
        )
    return NORMALISERS[recipe].function(usable.image, modality, usable.measured)
