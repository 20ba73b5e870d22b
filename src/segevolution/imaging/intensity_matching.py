"""Percentile matching: give a scan the distribution of intensities that other scans have, by a curve that only rises.

Histogram specification on percentiles within the body, so that the air round a patient has no say (Nyul and Udupa
1999; Nyul, Udupa and Zhang 2000, with as many landmarks as percentiles). It learns nothing, and what is brighter than
something else stays so: an organ that is dark where the others have it bright stays dark.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..vocabulary import Modality
from .body import Body
from .grid import Array
from .usable_signal import UsableSignal, usable_signal
from .volume import Volume

PERCENTILES: npt.NDArray[np.float64] = np.linspace(0.5, 99.5, 100)


@dataclass(frozen=True, eq=False)
class IntensityProfile:
    """How bright scans are.

    Attributes:
        values: signal at PERCENTILES within the body, the mean over scans.
        modality: of the scans.
    """

    values: npt.NDArray[np.float64]
    modality: Modality | None

    @classmethod
    def of(cls, volumes: Iterable[Volume]) -> "IntensityProfile":
        """The profile of scans of one modality.

        Raises:
            VolumeError: there is no scan, or they are of several modalities.
        """
        profiles, modalities = [], set()
        for volume in volumes:
            profiles.append(body_percentiles(volume))
            modalities.add(volume.modality)
        if len(modalities) != 1:
            raise VolumeError("an intensity profile is of one or more scans of one modality.")
        return cls(np.mean(profiles, axis=0), modalities.pop())

    def reversed_curve(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Signal of a matched scan and what becomes of it with bright and dark exchanged, for `numpy.interp`.

        What lay at the n-th percentile of the body gets the value of the (100 - n)-th, so that the body keeps the
        profile. The lowest signal stays: it is air.
        """
        signal, ranks = rising_curve(self.values, PERCENTILES)
        exchanged = np.interp(100 - ranks, PERCENTILES, self.values)
        exchanged[0] = signal[0]
        return signal, exchanged

    def match(self, volume: Volume) -> Volume:
        """The scan with this profile's intensities, said to be of its modality; float32 on the same grid.

        Fill gets the profile's lowest value, a spike that of its neighbourhood, see usable_signal.py.
        """
        usable = usable_signal(volume.array, volume.modality)
        curve = rising_curve(body_percentiles(volume, usable), self.values)
        array = np.empty(volume.array.shape, np.float32)
        for plane, signal in zip(array, usable.image, strict=True):  # by parts: a curve is double precision
            plane[...] = np.interp(signal, *curve)
        return replace(volume, array=array, modality=self.modality)


def rising_curve(own: Array, target: Array) -> tuple[Array, Array]:
    """Signal and what becomes of it, each signal once, as `numpy.interp` takes them: percentiles to percentiles."""
    own = np.maximum.accumulate(own)
    rising = np.concatenate([[True], np.diff(own) > 0])
    return own[rising], target[rising]


def body_percentiles(volume: Volume, usable: UsableSignal | None = None) -> npt.NDArray[np.float64]:
    """Signal at PERCENTILES within the body; of the whole scan where no air surrounds it.

    Args:
        volume: signal as measured.
        usable: of its array, where it is known.
    """
    usable = usable or usable_signal(volume.array, volume.modality)
    signal = usable.image
    body = Body.of(volume, usable)
    if body is not None:
        places = [
            np.minimum(np.arange(side) // step, coarse - 1)
            for side, step, coarse in zip(volume.grid.shape, body.steps, body.depth.shape, strict=True)
        ]
        inside = body.depth > max(body.spacing)  # its outermost voxels are half air
        signal = signal[inside[np.ix_(*places)]] if inside.any() else signal
    return np.asarray(np.percentile(signal, PERCENTILES), np.float64)


# Mean of the 21 BTCV patients that segvol-mini was trained on (`IntensityProfile.of`), whose files are cut to -125 to
# 275 HU; whole HU at PERCENTILES.
CT_ABDOMEN = IntensityProfile(
    np.array(
        [
            -125, -125, -125, -125, -125, -125, -125, -124, -124, -123, -122, -121, -120, -118, -116, -115, -113,
            -111, -109, -107, -106, -104, -102, -101, -99, -98, -96, -94, -92, -91, -89, -87, -85, -82,
            -80, -78, -75, -72, -69, -67, -64, -60, -57, -54, -50, -46, -42, -38, -34, -30, -27,
            -22, -18, -14, -10, -6, -2, 2, 6, 10, 14, 18, 22, 26, 30, 34, 37, 41,
            45, 49, 53, 57, 60, 64, 68, 72, 75, 79, 82, 86, 89, 92, 96, 99, 102,
            105, 109, 114, 118, 125, 132, 140, 150, 161, 177, 196, 220, 249, 271, 275,
        ],
        np.float64,
    ),
    Modality.CT,
)  # fmt: skip
