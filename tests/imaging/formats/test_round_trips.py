"""What is written lies exactly where it was drawn, in every format and orientation."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.errors import OutputError, VolumeError
from segevolution.imaging.formats import read, read_labels, write_mask, write_volume
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


def _signal(grid: Grid, seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 1000, grid.shape).astype(np.int16)
    return Volume(array, grid, name="signal")


def _small() -> Volume:
    return _signal(Grid((4, 5, 6), np.diag([-0.75, 1.5, 3.0, 1.0])))


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_mask_lies_on_the_input_grid_for_every_orientation(oriented_grid: Grid, suffix: str, tmp_path: Path) -> None:
    image = tmp_path / f"image{suffix}"
    write_volume(_signal(oriented_grid), image)
    volume = read(image)
    np.testing.assert_array_equal(volume.array, _signal(oriented_grid).array)
    assert volume.grid.orientation == oriented_grid.orientation
    assert volume.grid.close_to(oriented_grid, 1e-5)

    canonical, turn = volume.canonical()
    write_mask(turn.undo(canonical.array > 500), volume, tmp_path / f"mask{suffix}")
    mask = read_labels(tmp_path / f"mask{suffix}")
    np.testing.assert_array_equal(mask.array, volume.array > 500)
    np.testing.assert_array_equal(mask.grid.affine, volume.grid.affine)
    assert mask.grid.shape == volume.grid.shape


@pytest.mark.parametrize("target", _SUFFIXES)
@pytest.mark.parametrize("source", [".nii.gz", ".nrrd"])
def test_a_mask_in_another_format_lies_at_the_same_place(source: str, target: str, tmp_path: Path) -> None:
    write_volume(_small(), tmp_path / f"image{source}")
    volume = read(tmp_path / f"image{source}")
    write_mask(volume.array > 0, volume, tmp_path / f"mask{target}")
    mask = read_labels(tmp_path / f"mask{target}")
    assert mask.grid.close_to(volume.grid, 1e-5)
    np.testing.assert_array_equal(mask.array, volume.array > 0)


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_sheared_grid_survives(suffix: str, tmp_path: Path) -> None:
    affine = np.array([[1, 0.25, 0, 5], [0, 2, -0.5, 6], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    volume = _signal(Grid((4, 5, 6), affine))
    write_mask(volume.array > 0, volume, tmp_path / f"mask{suffix}")
    np.testing.assert_allclose(read_labels(tmp_path / f"mask{suffix}").grid.affine, affine, atol=1e-6)


@pytest.mark.parametrize("suffix", _SUFFIXES)
@pytest.mark.parametrize(("highest", "dtype"), [(1, np.uint8), (255, np.uint8), (256, np.uint16), (65535, np.uint16)])
def test_labels_are_bytes_unless_they_need_two(suffix: str, highest: int, dtype: type, tmp_path: Path) -> None:
    volume = _small()
    labels = np.zeros(volume.array.shape, np.int64)
    labels[1, 2, 3] = highest
    path = tmp_path / f"mask{suffix}"
    write_mask(labels, volume, path)
    stored = nib.load(path).get_data_dtype() if ".nii" in suffix else sitk.GetArrayFromImage(sitk.ReadImage(path)).dtype
    assert stored == dtype
    np.testing.assert_array_equal(read_labels(path).array, labels)


@pytest.mark.parametrize("suffix", _SUFFIXES)
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_signal_keeps_its_dtype_and_values(suffix: str, dtype: type, tmp_path: Path) -> None:
    array = (np.random.default_rng(0).random((4, 5, 6)) * 250).astype(dtype)
    write_volume(Volume(array, _small().grid), tmp_path / f"image{suffix}")
    again = read(tmp_path / f"image{suffix}").array
    assert again.dtype == dtype
    np.testing.assert_array_equal(again, array)


@pytest.mark.parametrize("image_class", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("sform_code", "qform_code"), [(1, 1), (2, 1), (0, 1), (4, 0), (0, 0)])
@pytest.mark.parametrize("unit", ["mm", "micron", "meter", "unknown"])
def test_a_mask_carries_the_units_and_both_transforms_of_its_nifti_image(
    image_class: type, sform_code: int, qform_code: int, unit: str, tmp_path: Path
) -> None:
    image = image_class(_small().array, None)
    angle = 0.2
    scanner = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = nib.affines.from_matvec(scanner @ np.diag([0.75, 1.5, 3.0]), [7, 8, 9])
    image.header.set_qform(affine, qform_code)
    if sform_code:
        # Registered elsewhere: the two transforms disagree, as they may.
        image.header.set_sform(np.diag([-0.8, 1.4, 3.1, 1.0]), sform_code)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "image.nii.gz")

    volume = read(tmp_path / "image.nii.gz")
    write_mask(volume.array > 0, volume, tmp_path / "mask.nii.gz")
    source, mask = nib.load(tmp_path / "image.nii.gz"), nib.load(tmp_path / "mask.nii.gz")
    assert type(mask) is image_class
    np.testing.assert_array_equal(mask.affine, source.affine)
    np.testing.assert_array_equal(mask.header.get_qform(), source.header.get_qform())
    assert mask.header.get_xyzt_units()[0] == unit
    for name in ("sform_code", "qform_code"):
        assert mask.header[name] == source.header[name]
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.nii.gz").grid.affine, volume.grid.affine)


def test_a_mask_of_scaled_big_endian_nifti_is_not_scaled(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    image = nib.Nifti1Image(_small().array, np.diag([2.0, 2, 2, 1]), header)
    image.header.set_slope_inter(0.5, -3)
    image.header["cal_max"] = 900
    nib.save(image, tmp_path / "image.nii")
    volume = read(tmp_path / "image.nii")
    assert volume.array.dtype.isnative
    labels = np.arange(120).reshape(4, 5, 6)
    write_mask(labels, volume, tmp_path / "mask.nii")
    mask = nib.load(tmp_path / "mask.nii")
    assert (mask.dataobj.slope, mask.dataobj.inter) == (1, 0)
    assert mask.header["cal_max"] == 0
    np.testing.assert_array_equal(np.asanyarray(mask.dataobj), labels)


def test_a_mask_for_a_turned_volume_does_not_take_the_old_header(tmp_path: Path) -> None:
    write_volume(_small(), tmp_path / "image.nii.gz")
    turned, _ = read(tmp_path / "image.nii.gz").canonical()
    write_mask(turned.array > 0, turned, tmp_path / "mask.nii.gz")
    mask = read_labels(tmp_path / "mask.nii.gz")
    assert mask.grid.orientation == "RAS"
    np.testing.assert_allclose(mask.grid.affine, turned.grid.affine, atol=1e-6)


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_an_existing_file_is_replaced_only_by_force(suffix: str, tmp_path: Path) -> None:
    volume, path = _small(), tmp_path / f"mask{suffix}"
    write_mask(volume.array > 0, volume, path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="--force"):
        write_mask(volume.array > 100, volume, path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    write_mask(volume.array > 100, volume, path, force=True)
    np.testing.assert_array_equal(read_labels(path).array, volume.array > 100)
    assert {file.name for file in tmp_path.iterdir()} == set(before)


def test_a_header_is_not_written_beside_foreign_voxels(tmp_path: Path) -> None:
    (tmp_path / "mask.zraw").write_bytes(b"someone else's")
    volume = _small()
    with pytest.raises(OutputError, match=r"mask\.zraw exists"):
        write_mask(volume.array > 0, volume, tmp_path / "mask.mhd")
    assert [file.name for file in tmp_path.iterdir()] == ["mask.zraw"]
    assert (tmp_path / "mask.zraw").read_bytes() == b"someone else's"


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_failed_write_leaves_nothing(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    volume = _small()
    with pytest.raises(OutputError, match="No space left"):
        write_mask(volume.array > 0, volume, tmp_path / f"mask{suffix}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["mask.png", "mask", "mask.nhdr", "mask.gz"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    volume = _small()
    with pytest.raises(OutputError, match=r"\.nii, \.nii\.gz, \.seg\.nrrd, \.nrrd, \.mha, \.mhd"):
        write_mask(volume.array > 0, volume, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    volume = _small()
    with pytest.raises(OutputError, match="is not a folder"):
        write_mask(volume.array > 0, volume, tmp_path / "file" / "mask.nii.gz")


@pytest.mark.parametrize(
    "bad",
    [np.zeros((4, 5, 7), bool), *(np.full((4, 5, 6), value) for value in (0.0, -1, np.nan, np.inf))],
)
def test_what_is_no_mask_of_the_image_is_refused(bad: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(VolumeError, match="mask"):
        write_mask(bad, _small(), tmp_path / "mask.nii.gz")
    assert list(tmp_path.iterdir()) == []
