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
from .usable_signal import usable_signal
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

    def match(self, volume: Volume) -> Volume:
        """The scan with this profile's intensities, said to be of its modality; float32 on the same grid."""
        own = np.maximum.accumulate(body_percentiles(volume))
        flat = np.concatenate([[True], np.diff(own) > 0])  # a curve needs each signal once
        array = np.interp(volume.array.astype(np.float64), own[flat], self.values[flat]).astype(np.float32)
        return replace(volume, array=array, modality=self.modality)


def body_percentiles(volume: Volume) -> npt.NDArray[np.float64]:
    """Signal at PERCENTILES within the body; of the whole scan where no air surrounds it."""
    signal = usable_signal(volume.array, volume.modality).image
    body = Body.of(volume)
    if body is not None:
        places = [
            np.minimum(np.arange(side) // step, coarse - 1)
            for side, step, coarse in zip(volume.grid.shape, body.steps, body.depth.shape, strict=True)
        ]
        inside = body.depth > max(body.spacing)  # its outermost voxels are half air
        signal = signal[inside[np.ix_(*places)]] if inside.any() else signal
    return np.asarray(np.percentile(signal, PERCENTILES), np.float64)
