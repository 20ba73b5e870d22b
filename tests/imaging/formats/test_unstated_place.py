"""S1: an orientation or spacing that a file does not state is never guessed in silence."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.errors import FormatError, VolumeError
from segevolution.imaging.formats import read, read_labels

_ARRAY = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def bare_nifti(path: Path, zooms: tuple[float, float, float] = (1.5, 2.0, 2.5)) -> Path:
    """Neither of the two transforms is set."""
    image = nib.Nifti1Image(_ARRAY, None)
    image.header.set_zooms(zooms)
    nib.save(image, path)
    return path


def test_nifti_without_transforms_has_no_stated_orientation(tmp_path: Path) -> None:
    volume = read(bare_nifti(tmp_path / "bare.nii.gz"))
    assert not volume.orientation_stated
    assert volume.spacing_stated
    assert "does not say where its axes point; LAS was assumed" in volume.unstated[0]
    with pytest.raises(VolumeError, match=r'"left kidney" cannot be told from the other side.*--orientation LAS'):
        volume.require_sides("left kidney")
    volume.require_sides("liver")


def test_nifti_without_transforms_and_zooms_has_no_stated_spacing(tmp_path: Path) -> None:
    volume = read(bare_nifti(tmp_path / "bare.nii.gz", (1, 1, 1)))
    assert not volume.spacing_stated
    assert not volume.measurable
    assert "1 mm was assumed" in volume.unstated[1]


def test_what_a_person_states_is_taken(tmp_path: Path) -> None:
    path = bare_nifti(tmp_path / "bare.nii.gz", (1, 1, 1))
    for reader in (read, read_labels):
        volume = reader(path, orientation="R-A-S", spacing=(0.5, 1, 3))
        assert volume.grid.orientation == "RAS"
        assert volume.grid.spacing == (0.5, 1, 3)
        assert volume.orientation_stated
        assert volume.spacing_stated
        assert volume.unstated == ()
        np.testing.assert_array_equal(volume.array, _ARRAY)
        volume.require_sides("left kidney")
        np.testing.assert_allclose(volume.grid.to_mm([[1.5, 2, 2.5]]), [[0, 0, 0]], atol=1e-12)


@pytest.mark.parametrize("codes", ["RAS", "LAS", "PIR", "SAL"])
def test_every_orientation_can_be_stated(codes: str, tmp_path: Path) -> None:
    volume = read(bare_nifti(tmp_path / "bare.nii"), orientation=codes)
    assert volume.grid.orientation == codes
    assert volume.grid.spacing == (1.5, 2.0, 2.5)


@pytest.mark.parametrize("text", ["RRS", "ISL", "RA", "RASX", "XYZ", ""])
def test_an_orientation_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="is no orientation; name where the three axes"):
        read(bare_nifti(tmp_path / "bare.nii"), orientation=text)


def test_a_file_that_states_its_place_is_not_overruled(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(_ARRAY, np.diag([1.0, 2, 3, 1])), tmp_path / "image.nii")
    volume = read(tmp_path / "image.nii")
    assert volume.orientation_stated
    assert volume.spacing_stated
    assert read(tmp_path / "image.nii", orientation="ras", spacing=(1, 2, 3)).grid.close_to(volume.grid)
    with pytest.raises(FormatError, match="says itself that its axes point RAS"):
        read(tmp_path / "image.nii", orientation="LAS")
    with pytest.raises(FormatError, match="says itself that its voxels lie 1 x 2 x 3 mm apart"):
        read(tmp_path / "image.nii", spacing=(1, 1, 1))
