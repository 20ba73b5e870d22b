"""An anatomy: a label map that knows the name and the tissue of every label, before anything images it.

What images it (`ct.py`, `mri.py`) reads tissues; what trains on it reads structures. Several labels may carry one
name: the wall, the contents and the gas of a stomach are all "stomach".
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import VolumeError
from ...imaging.grid import Grid

Labels = npt.NDArray[np.uint8]

# Structures that datasets also know as a whole; a union exists when any of its parts does.
UNIONS: dict[str, tuple[str, ...]] = {
    "liver": ("liver", "hepatic vessels"),
    "kidney": ("right kidney", "left kidney"),
    "lung": ("right lung", "left lung"),
    "prostate": ("prostate", "prostate peripheral zone", "prostate transition zone"),
    "brain tumour": (
        "brain tumour",
        "brain tumour necrotic core",
        "brain tumour enhancing",
        "brain tumour non-enhancing core",
        "brain tumour oedema",
    ),
}

# Wider unions, made only where asked for: stores that exist were made without them.
WHOLES: dict[str, tuple[str, ...]] = {
    "spine": ("vertebrae", "intervertebral discs", "sacrum"),
    "brain": (
        "cerebral cortex",
        "cerebral white matter",
        "cerebellum",
        "brain stem",
        "thalamus",
        "caudate",
        "putamen",
        "pallidum",
        "hippocampus",
        "amygdala",
        "lateral ventricles",
        "third ventricle",
        "fourth ventricle",
        *UNIONS["brain tumour"],
    ),
}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """A label map with names and tissues.

    Attributes:
        labels: (X, Y, Z) uint8 on the grid; 0 is the air around the body.
        grid: shape and affine, in RAS order.
        names: label -> canonical structure name (`vocabulary.STRUCTURES`); labels may share a name.
        tissues: label -> tissue (`tissues.TISSUES`); covers every label above 0.

    Raises:
        VolumeError: shapes differ, or a label that occurs has no tissue.
    """

    labels: Labels
    grid: Grid
    names: Mapping[int, str]
    tissues: Mapping[int, str]

    def __post_init__(self) -> None:
        if self.labels.shape != self.grid.shape:
            raise VolumeError(f"the labels have shape {self.labels.shape} but their grid has {self.grid.shape}.")
        missing = {int(value) for value in np.unique(self.labels)} - {0} - set(self.tissues)
        if missing:
            raise VolumeError(f"labels {sorted(missing)} have no tissue; name one for each label that occurs.")

    def structures(self, *, wholes: bool = False) -> dict[str, tuple[int, ...]]:
        """Structure -> its labels, for every structure with a voxel here; unions (UNIONS) included.

        `wholes` adds the body and the unions of WHOLES.
        """
        present = {int(value) for value in np.unique(self.labels)} - {0}
        values_by_name: dict[str, tuple[int, ...]] = {}
        for value in sorted(present & set(self.names)):
            values_by_name[self.names[value]] = (*values_by_name.get(self.names[value], ()), value)
        if wholes and present:
            values_by_name["body"] = tuple(sorted(present))
        for union, parts in (UNIONS | (WHOLES if wholes else {})).items():
            values = tuple(sorted({value for part in parts for value in values_by_name.get(part, ())}))
            if values:
                values_by_name[union] = values
        return values_by_name

    def mask(self, structure: str) -> npt.NDArray[np.bool_]:
        """(X, Y, Z) mask of a structure; raises KeyError if this patient lacks it."""
        return np.isin(self.labels, self.structures()[structure])
