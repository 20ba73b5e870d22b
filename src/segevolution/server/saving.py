"""A label map as a file that a client takes away."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..imaging.formats import dicom_seg, write_mask, write_volume
from ..imaging.formats.base import SUFFIXES
from ..imaging.grid import Array
from ..imaging.legend import Label
from ..imaging.volume import Volume
from .faults import NotFound

FORMATS = ("nii.gz", "nii", "seg.nrrd", *(("dcm",) if dicom_seg.is_installed() else ()), "rtstruct.dcm")


@dataclass(frozen=True)
class SavedFile:
    """A file as bytes, with the name that it should get."""

    name: str
    content: bytes


def saved_labels(labels: Array, volume: Volume, key: Sequence[Label], form: str) -> SavedFile:
    """A label map (X, Y, Z) of a volume in one of FORMATS.

    Raises:
        NotFound: there is no such format.
        OutputError: "dcm" or "rtstruct.dcm", and the volume is no DICOM series.
    """
    if form not in FORMATS:
        raise NotFound(f'label maps are not saved as "{form[:20]}"; there are {", ".join(FORMATS)}.')
    name = f"{stem(volume.name)}_seg.{form}"
    with TemporaryDirectory(prefix="segevolution-saving-") as folder:
        path = Path(folder) / f"labels.{form}"
        write_mask(labels, volume, path, labels=key)
        return SavedFile(name, path.read_bytes())


def as_nifti(volume: Volume, *, compressed: bool) -> bytes:
    """A volume as NIfTI-1 whose voxels a browser can show: integers of at most 32 bits, or float32."""
    array, kind = volume.array, volume.array.dtype
    if kind == np.bool_:
        array = array.astype(np.uint8)
    elif kind.kind in "iu" and kind.itemsize == 8:
        fits = array.min() >= np.iinfo(np.int32).min and array.max() <= np.iinfo(np.int32).max
        array = array.astype(np.int32 if fits else np.float32)
    elif kind.kind == "f" and kind != np.float32:
        array = array.astype(np.float32)
    plain = Volume(array, volume.grid, volume.modality, volume.name)
    with TemporaryDirectory(prefix="segevolution-saving-") as folder:
        path = Path(folder) / ("image.nii.gz" if compressed else "image.nii")
        write_volume(plain, path)
        return path.read_bytes()


def stem(name: str) -> str:
    """A file's name without what says its format."""
    suffix = next((suffix for suffix in (*SUFFIXES, ".zip") if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)] or name
