"""Grids of every orientation, and small DICOM series that a test may damage."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from segevolution.imaging.grid import Grid

ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def _axis_codes(orientation: tuple[tuple[int, ...], tuple[int, ...]]) -> str:
    return "".join("RAS"[axis] if sign > 0 else "LPI"[axis] for axis, sign in zip(*orientation, strict=True))


@pytest.fixture(params=ORIENTATIONS, ids=_axis_codes)
def oriented_grid(request: pytest.FixtureRequest) -> Grid:
    """One grid for each of the 48 orientations; sides and spacings all differ, and it lies a little obliquely."""
    axes, signs = request.param
    turn = np.zeros((3, 3))
    turn[list(axes), range(3)] = signs
    tilt = np.array([[0.9978, -0.0487, 0.0450], [0.0510, 0.9974, -0.0511], [-0.0424, 0.0533, 0.9977]])
    affine = np.eye(4)
    affine[:3, :3] = tilt @ turn @ np.diag([0.75, 1.5, 3.0])
    affine[:3, 3] = -21.5, 30.25, 7.0
    return Grid((5, 6, 7), affine.astype(np.float32))


def _dataset(pixels: np.ndarray, **tags: Any) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("slice.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality, data.SeriesInstanceUID, data.SeriesDescription = "CT", "1.2.3", "small"
    data.ImageOrientationPatient, data.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 0.75]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.Rows, data.Columns = pixels.shape[:2]
    data.BitsAllocated = data.BitsStored = pixels.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsAllocated - 1, int(pixels.dtype.kind == "i")
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = pixels.tobytes()
    for name, value in tags.items():
        if value is None:
            if name in data:
                delattr(data, name)
        else:
            setattr(data, name, value)
    return data


@pytest.fixture
def dicom_dataset() -> Callable[..., pydicom.Dataset]:
    """(pixels, **tags) -> a data set, not yet on disk; a tag of None is taken away."""
    return _dataset


@pytest.fixture
def dicom_series(tmp_path: Path) -> Callable[..., Path]:
    """Write a series of 5 rows x 4 columns; slice k at 2 mm * k holds values 100 k + 10 row + column."""

    def write(
        heights: tuple[float, ...] = (0, 2, 4, 6),
        name: str = "series",
        each: Callable[[int], dict[str, Any]] = lambda number: {},
        **tags: Any,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for number, height in enumerate(heights):
            rows, columns = np.indices((5, 4))
            pixels = (1024 + 100 * number + 10 * rows + columns).astype(np.uint16)
            own = {"ImagePositionPatient": [-10, -20, height], "InstanceNumber": number} | tags | each(number)
            # File names run against the stack: only positions may order it.
            _dataset(pixels, **own).save_as(folder / f"{99 - number:02d}.dcm")
        return folder

    return write
