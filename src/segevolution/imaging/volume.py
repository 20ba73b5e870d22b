"""A volume: signal as measured, where it lies, and how it was acquired."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import VolumeError
from ..vocabulary import Modality, has_side
from .grid import CANONICAL, Array, Floats, Grid, Turn

if TYPE_CHECKING:
    import pydicom

WITHOUT_PLACE = "npy"


@dataclass(frozen=True, eq=False)
class DicomSource:
    """What a DICOM series said beside pixels, kept so that a segmentation can refer to it when its files are gone.

    Attributes:
        headers: the data sets of its files without pixels and private tags; one a slice, or one in all, whose frames
            are the slices.
        order: which header, or which frame of the one, is slice 0, 1, 2 ... of the volume.
        affine: (4, 4), (column, row, slice) -> RAS+ millimetres.
    """

    headers: "tuple[pydicom.Dataset, ...]"
    order: tuple[int, ...]
    affine: Floats


@dataclass(frozen=True)
class Origin:
    """What a file said besides voxels, kept so that a mask written for it carries the same header.

    Attributes:
        path: the file or DICOM folder.
        format: "nifti", "nrrd", "metaimage", "dicom", "m3d-seg", or "npy" for voxels without any place, whose grid is
            the identity at 1 mm because something must stand there.
        header: a NIfTI header as it stood in the file, with its units and both of its transforms.
        series: SeriesInstanceUID of a DICOM series.
        orientation: what a person said of the axes where the file did not, such as "LAS".
        source: what a DICOM series said.
    """

    path: Path
    format: str
    header: bytes | None = field(default=None, repr=False)
    series: str | None = None
    orientation: str | None = None
    source: DicomSource | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Volume:
    """One 3-D image in its file's own axis order.

    Attributes:
        array: (X, Y, Z), any real dtype; HU for CT, arbitrary units for MR. Never normalised.
        grid: shape and affine; its shape is the array's.
        modality: or its name, as `Modality.parse` reads it; None when not known.
        name: for messages and output names.
        origin: the file it came from, if any.
        orientation_stated: whether a file or a person said where the axes point. Where nobody did, the grid holds a
            guess, and left may be right.
        spacing_stated: whether a file or a person said how far voxels lie apart. Where nobody did, the grid has 1 mm.
        remarks: what its reader changed or left out, a sentence each.

    Raises:
        VolumeError: the array is none of numpy's, not of real numbers, not 3-D, or its shape is not the grid's.
        VocabularyError: the modality is none that is known.
    """

    array: Array
    grid: Grid
    modality: Modality | None = None
    name: str = "volume"
    origin: Origin | None = field(default=None, repr=False)
    orientation_stated: bool = True
    spacing_stated: bool = True
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.array, np.ndarray):
            kind = type(self.array).__name__
            raise VolumeError(f"{self.name} is a {kind}; a volume is an array of numpy, such as numpy.asarray makes.")
        if self.array.dtype.kind not in "biuf":
            raise VolumeError(f"{self.name} holds {self.array.dtype}; the voxels of a volume are real numbers.")
        if self.modality is not None and not isinstance(self.modality, Modality):
            object.__setattr__(self, "modality", Modality.parse(str(self.modality)))
        if self.array.ndim != 3:
            shape = " x ".join(map(str, self.array.shape))
            raise VolumeError(f"{self.name} has {self.array.ndim} dimensions ({shape}); a volume needs 3.")
        if self.array.shape != self.grid.shape:
            raise VolumeError(f"{self.name} has shape {self.array.shape} but its grid has {self.grid.shape}.")

    @property
    def measurable(self) -> bool:
        """Whether its millimetres mean anything; voxels that came without any place or spacing have none."""
        return self.spacing_stated and (self.origin is None or self.origin.format != WITHOUT_PLACE)

    def require_sides(self, structure: str) -> None:
        """Refuse a structure of one side of the body where nobody said which side is which.

        Args:
            structure: a name such as "left kidney".

        Raises:
            VolumeError: the name says a side ("left", "kidney_r", "lh cortex"), and the orientation is not stated.
        """
        if not self.orientation_stated and has_side(structure):
            raise VolumeError(
                f'{self.name} does not say where its axes point, so "{structure}" cannot be told from the other side; '
                f"state it, for instance with --orientation {self.grid.orientation}."
            )

    @property
    def unstated(self) -> tuple[str, ...]:
        """What nobody said of its place, a sentence each; empty where all is stated."""
        sentences = []
        if not self.orientation_stated:
            sentences.append(
                f"{self.name} does not say where its axes point; {self.grid.orientation} was assumed, so left may be "
                "right, and up down: state it with --orientation"
            )
        if not self.spacing_stated:
            sentences.append(
                f"{self.name} does not say how far its voxels lie apart; 1 mm was assumed, so millimetres and "
                "millilitres mean nothing: state it with --spacing"
            )
        return tuple(sentences)

    def canonical(self, order: str = CANONICAL) -> tuple["Volume", Turn]:
        """The same voxels in the axis order nearest to RAS+, or to another (a view), and the turn that leads there."""
        grid, turn = self.grid.canonical(order)
        return replace(self, array=turn.apply(self.array), grid=grid), turn

    def check_voxels(self) -> None:
        """Raise VolumeError if the voxels hold NaN, infinity, or one value only."""
        if self.array.size == 0:
            raise VolumeError(f"{self.name} is empty ({' x '.join(map(str, self.array.shape))} voxels).")
        if np.issubdtype(self.array.dtype, np.inexact):
            bad = int(np.size(self.array) - np.isfinite(self.array).sum())
            if bad:
                raise VolumeError(f"{self.name} holds NaN or infinity in {bad} voxels; replace them first.")
        low, high = self.array.min(), self.array.max()
        if low == high:
            raise VolumeError(f"{self.name} is constant (every voxel is {low}); there is nothing to segment.")
