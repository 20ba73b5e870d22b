"""One patient's volume and its named masks."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from .grid import Array
from .volume import Volume


@dataclass(frozen=True, eq=False)
class Case:
    """A volume with a label map on its grid.

    Attributes:
        name: unique within its dataset, such as "BRATS_001_t1".
        patient: unique within its dataset; several cases may share one.
        dataset: such as "msd_hippocampus".
        volume: signal as measured.
        labels: (X, Y, Z) unsigned integers on the volume's grid; 0 is background.
        structures: canonical structure name -> the label values that form it. Values may serve several
            structures (a prostate is the union of its zones). A structure that this patient lacks is absent.
        sequence: such as "T2-SPIR"; None when not known.
        site: hospital or sub-collection; None when not known.
    """

    name: str
    patient: str
    dataset: str
    volume: Volume
    labels: Array
    structures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sequence: str | None = None
    site: str | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != self.volume.array.shape:
            raise VolumeError(
                f"{self.name}: the label map has shape {self.labels.shape}, the image {self.volume.array.shape}."
            )

    def mask(self, structure: str) -> npt.NDArray[np.bool_]:
        """(X, Y, Z) boolean mask of a structure; raises KeyError if this case does not carry it."""
        return np.isin(self.labels, self.structures[structure])
