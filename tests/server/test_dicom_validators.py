"""What is written as DICOM, judged by other projects' programs: dciodvfy (dicom3tools), dcmqi and plastimatch.

apt-get install dicom3tools plastimatch        # dcmqi is in requirements-server.lock
python -m pytest -m server tests/server/test_dicom_validators.py
"""

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dicom_objects import OBLIQUE, Stack, series
from segevolution.data.sources.pairs import place_labels
from segevolution.imaging.formats import read, read_labels, write_mask
from segevolution.imaging.grid import Array
from segevolution.imaging.legend import legend
from segevolution.imaging.volume import Volume

pytestmark = pytest.mark.server

NAMES = ["right kidney", "liver tumour", "my lesion"]


def _program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def image(tmp_path: Path) -> Volume:
    described = {"PatientName": "Doe^Jane", "StudyDate": "20260102", "StudyID": "1", "SeriesNumber": 1}
    return read(series(tmp_path / "ct", Stack(rows=24, columns=20, slices=8, cosines=OBLIQUE), **described))


def _labels(image: Volume) -> Array:
    """Three structures, one with a hole, one of two pieces; the outermost slices are empty."""
    array = np.zeros(image.grid.shape, np.uint8)
    array[2:12, 3:15, 1:6] = 1
    array[5:8, 6:9, 2:4] = 0
    array[5:7, 6:8, 3] = 2
    array[15:18, 18:22, 4:7] = 3
    array[14, 1, 1] = 3
    return array


@pytest.mark.parametrize("name", ["mask.dcm", "mask.rtstruct.dcm"])
def test_dciodvfy_finds_no_error(name: str, image: Volume, tmp_path: Path) -> None:
    program = _program("dciodvfy")
    pytest.importorskip("highdicom")
    write_mask(_labels(image), image, tmp_path / name, labels=legend(NAMES))
    words = subprocess.run([program, "-new", tmp_path / name], capture_output=True, text=True, check=False)
    lines = (words.stdout + words.stderr).splitlines()
    assert any(line.strip() in ("Segmentation", "RTStructureSet") for line in lines), lines
    assert [line for line in lines if line.startswith("Error")] == []


def test_dcmqi_reads_back_every_voxel_in_its_place(image: Volume, tmp_path: Path) -> None:
    program = _program("segimage2itkimage")
    pytest.importorskip("highdicom")
    array = _labels(image)
    write_mask(array, image, tmp_path / "mask.dcm", labels=legend(NAMES))
    words = [program, "--inputDICOM", tmp_path / "mask.dcm", "--outputDirectory", tmp_path, "--outputType", "nifti"]
    subprocess.run(words, check=True, capture_output=True)
    for number, name in enumerate(NAMES, start=1):
        voxels = nib.load(tmp_path / f"{number}.nii.gz")
        found = np.argwhere(np.asarray(voxels.dataobj))
        assert len(found) == (array == number).sum(), name
        places = nib.affines.apply_affine(voxels.affine, found)
        expected = image.grid.to_mm(np.argwhere(array == number))
        np.testing.assert_allclose(_sorted(places), _sorted(expected), atol=1e-2)


def test_plastimatch_fills_the_contours_to_the_same_voxels(shared_data: Path, tmp_path: Path) -> None:
    program = _program("plastimatch")
    # Its own reader of series wants tags that a made series lacks, so a real one is taken.
    case = shared_data / "mr_prostate_prostatex" / "ProstateX-0000"
    image = read(case / "dicom")
    array = place_labels(image, read_labels(case / "zones.nii.gz"))
    write_mask(array, image, tmp_path / "mask.rtstruct.dcm", labels=legend(["one", "two"]))
    words = ["convert", "--input", tmp_path / "mask.rtstruct.dcm", "--referenced-ct", case / "dicom"]
    words += ["--output-prefix", tmp_path / "filled", "--prefix-format", "nii.gz"]
    subprocess.run([program, *words], check=True, capture_output=True)
    for number, name in enumerate(("one", "two"), start=1):
        filled = place_labels(image, read_labels(tmp_path / "filled" / f"{name}.nii.gz"))
        np.testing.assert_array_equal(filled > 0, array == number)


def _sorted(places: np.ndarray) -> np.ndarray:
    return places[np.lexsort(np.round(places, 2).T)]
