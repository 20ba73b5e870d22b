"""NIfTI, NRRD and MetaImage: what is accepted, and the sentence for what is not."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.errors import FormatError, VocabularyError, VolumeError
from segevolution.imaging.formats import read, read_labels, write_volume
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

_ARRAY = np.random.default_rng(0).integers(-1000, 1000, (9, 10, 11)).astype(np.int16)
_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")


def _nifti(path: Path, array: np.ndarray = _ARRAY, affine: np.ndarray | None = None, **header: float) -> Path:
    image = nib.Nifti1Image(array, np.diag([1.0, 2, 3, 1]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def _write(path: Path) -> Path:
    write_volume(Volume(_ARRAY, Grid(_ARRAY.shape, np.diag([1.0, 2, 3, 1]))), path)
    return path


def _refused(path: Path, words: str, reader: Callable[[Path], Volume] = read) -> None:
    """The error is one sentence or two, on one line, and begins with the file."""
    with pytest.raises(VolumeError, match=words) as caught:
        reader(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(".")
    assert "\n" not in message


def _replace_bytes(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


def test_scl_slope_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "scaled.nii.gz"
    image = nib.Nifti1Image(_ARRAY, np.eye(4))
    image.header.set_slope_inter(1.6, -125)
    nib.save(image, path)
    assert nib.load(path).dataobj.slope == pytest.approx(1.6)
    stored = np.asarray(nib.load(path).dataobj.get_unscaled())
    volume = read(path)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, stored * 1.6 - 125, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(
    ("stored", "slope", "intercept", "dtype"),
    [
        (np.uint16, 1, -1024, np.int16),
        (np.int16, 2, 7, np.int16),
        (np.uint8, 1000, 0, np.int32),
        (np.int32, -(2**30), 5, np.int64),
        (np.float32, 2, 1, np.float64),
        (np.int16, 1e30, 0, np.float32),
    ],
)
def test_whole_slopes_keep_integers(stored: type, slope: float, intercept: float, dtype: type, tmp_path: Path) -> None:
    array = np.array([[[3, 100, 200]]], stored)
    path = _nifti(tmp_path / "image.nii", array)
    data = bytearray(path.read_bytes())
    data[112:120] = np.array([slope, intercept], "<f4").tobytes()
    path.write_bytes(data)
    volume = read(path)
    assert volume.array.dtype == dtype
    slope, intercept = (float(np.float32(value)) for value in (slope, intercept))
    assert volume.array.ravel().tolist() == pytest.approx([v * slope + intercept for v in (3, 100, 200)], rel=1e-6)


def test_wide_integers_with_a_slope_are_not_rounded(tmp_path: Path) -> None:
    array = np.array([[[2**30 + 1, 2**30 + 2]]], np.int32)
    image = nib.Nifti1Image(array, np.eye(4))
    image.header.set_slope_inter(0.5, 0)
    nib.save(image, tmp_path / "wide.nii")
    assert read(tmp_path / "wide.nii").array.ravel().tolist() == [2**29 + 0.5, 2**29 + 1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
def test_signal_without_slope_keeps_its_dtype(dtype: type, tmp_path: Path) -> None:
    path = _nifti(tmp_path / "image.nii", (np.abs(_ARRAY) // 4).astype(dtype))
    assert read(path).array.dtype == dtype


def test_modality_is_what_was_said(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "image.nii.gz")
    assert read(path).modality is None
    assert read(path, modality=Modality.MRI).modality is Modality.MRI
    assert read(path).name == "image"


def test_a_trailing_axis_of_one_is_dropped(tmp_path: Path) -> None:
    assert read(_nifti(tmp_path / "image.nii", _ARRAY[..., None])).array.shape == _ARRAY.shape
    image = sitk.JoinSeries([sitk.GetImageFromArray(_ARRAY.T.copy())])
    for name in ("image.nrrd", "image.mha"):
        sitk.WriteImage(image, tmp_path / name)
        np.testing.assert_array_equal(read(tmp_path / name).array, _ARRAY)


def test_a_header_without_either_transform_uses_its_spacing(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_ARRAY, None)
    image.header.set_zooms((1.5, 2.0, 2.5))
    nib.save(image, tmp_path / "bare.nii.gz")
    grid = read(tmp_path / "bare.nii.gz").grid
    assert grid.orientation == "LAS"
    assert grid.spacing == (1.5, 2.0, 2.5)


def test_microns_become_millimetres(tmp_path: Path) -> None:
    image = nib.Nifti1Image(_ARRAY, np.diag([500.0, 600, 700, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "small.nii")
    assert read(tmp_path / "small.nii").grid.spacing == pytest.approx((0.5, 0.6, 0.7))


def test_nrrd_in_ras_and_in_lps_lie_at_the_same_place(tmp_path: Path) -> None:
    path = _write(tmp_path / "lps.nrrd")
    before = read(path).grid.affine
    header, _, _ = path.read_bytes().partition(b"\n\n")
    data = path.read_bytes()[len(header) :]
    ras = header.replace(b"left-posterior-superior", b"right-anterior-superior").replace(
        b"space directions: (-1,0,0) (0,-2,0)", b"space directions: (1,0,0) (0,2,0)"
    )
    assert ras != header
    (tmp_path / "ras.nrrd").write_bytes(ras + data)
    np.testing.assert_allclose(read(tmp_path / "ras.nrrd").grid.affine, before)
    np.testing.assert_allclose(before, np.diag([1.0, 2, 3, 1]))


def test_content_decides_where_the_suffix_says_nothing(tmp_path: Path) -> None:
    for suffix in (".nii", ".nii.gz", ".nrrd", ".mha"):
        bare = tmp_path / f"scan{suffix.replace('.', '_')}"
        _write(tmp_path / f"image{suffix}").rename(bare)
        np.testing.assert_array_equal(read(bare).array, _ARRAY)


@pytest.mark.parametrize("suffix", [*_SUFFIXES, "", ".dcm"])
def test_a_missing_file_is_said_to_be_missing(suffix: str, tmp_path: Path) -> None:
    _refused(tmp_path / f"nowhere{suffix}", "does not exist")


@pytest.mark.parametrize("suffix", [*_SUFFIXES, ".txt", ".dcm"])
def test_text_under_an_images_name_is_not_an_image(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"notes{suffix}"
    path.write_text("the liver is fine\n" * 100)
    _refused(path, "is not a")
    path.write_bytes(b"")
    _refused(path, "empty|is not a")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.98])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_a_truncated_file_is_refused(suffix: str, keep: float, tmp_path: Path) -> None:
    path = _write(tmp_path / f"image{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    _refused(path, "truncated")
    _refused(path, "truncated", read_labels)


def test_a_truncated_file_is_refused_when_not_compressed(tmp_path: Path) -> None:
    for name in ("image.nrrd", "image.mha"):
        sitk.WriteImage(sitk.GetImageFromArray(_ARRAY), tmp_path / name, useCompression=False)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[:-10])
        _refused(tmp_path / name, "truncated")


def test_metaimage_without_its_data_file_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.mhd")
    data = (tmp_path / "image.zraw").read_bytes()
    (tmp_path / "image.zraw").write_bytes(data[:100])
    _refused(path, "truncated")
    (tmp_path / "image.zraw").unlink()
    _refused(path, r"image\.zraw is not beside it")


def test_a_damaged_byte_in_compressed_nifti_is_noticed(tmp_path: Path) -> None:
    path = _write(tmp_path / "image.nii.gz")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    _refused(path, "damaged")


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_two_dimensions_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"slice{suffix}"
    if ".nii" in suffix:
        _nifti(path, _ARRAY[..., 0])
    else:
        sitk.WriteImage(sitk.GetImageFromArray(_ARRAY[..., 0].T.copy()), path)
    _refused(path, r"2 dimensions \(9 x 10\); a volume needs 3")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_a_time_series_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"series{suffix}"
    if ".nii" in suffix:
        _nifti(path, np.stack([_ARRAY, _ARRAY], -1))
    else:
        sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(_ARRAY.T.copy())] * 2), path)
    _refused(path, r"4 dimensions \(9 x 10 x 11 x 2\)")


@pytest.mark.parametrize("number", [0.0, np.nan, np.inf])
def test_impossible_nifti_spacing_is_refused(number: float, tmp_path: Path) -> None:
    path = _nifti(tmp_path / "image.nii")
    data = bytearray(path.read_bytes())
    data[84:88] = np.float32(number).tobytes()  # pixdim[2]
    path.write_bytes(data)
    _refused(path, "voxel spacing")
    data[84:88] = np.float32(2).tobytes()
    data[284:288] = np.float32(0 if number == 0 else number).tobytes()  # srow_x[1] ...
    data[280:284] = np.float32(0 if number == 0 else 1).tobytes()  # ... and srow_x[0]
    path.write_bytes(data)
    _refused(path, "spacing is zero|NaN or infinity")


@pytest.mark.parametrize("number", [b"0", b"nan"])
def test_impossible_itk_spacing_is_refused(number: bytes, tmp_path: Path) -> None:
    path = _write(tmp_path / "image.mha")
    _refused(_replace_bytes(path, b"ElementSpacing = 1 2 3", b"ElementSpacing = 1 " + number + b" 3"), "voxel spacing")
    path = _write(tmp_path / "image.nrrd")
    _refused(_replace_bytes(path, b"(0,-2,0)", b"(0," + number + b",0)"), "voxel spacing")


def test_a_header_with_letters_for_numbers_is_refused(tmp_path: Path) -> None:
    _refused(
        _replace_bytes(_write(tmp_path / "image.mha"), b"ElementSpacing = 1", b"ElementSpacing = x"), "damaged header"
    )
    _refused(_replace_bytes(_write(tmp_path / "image.nrrd"), b"(0,-2,0)", b"(0,-x,0)"), "damaged header")


@pytest.mark.parametrize("suffix", _SUFFIXES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused_in_images_and_labels(bad: float, suffix: str, tmp_path: Path) -> None:
    array = _ARRAY.astype(np.float32)
    array[0, 0, 0] = bad
    path = tmp_path / f"image{suffix}"
    write_volume(Volume(array, Grid(array.shape, np.eye(4))), path)
    _refused(path, "holds NaN or infinity in 1 voxels")
    _refused(path, "no label map", read_labels)


@pytest.mark.parametrize("suffix", _SUFFIXES)
def test_a_constant_image_is_refused_but_empty_labels_are_not(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    write_volume(Volume(np.zeros((4, 5, 6), np.int16), Grid((4, 5, 6), np.eye(4))), path)
    _refused(path, "constant")
    assert not read_labels(path).array.any()


def test_colour_and_vectors_are_refused(tmp_path: Path) -> None:
    colour = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.save(nib.Nifti1Image(colour, np.eye(4)), tmp_path / "colour.nii.gz")
    _refused(tmp_path / "colour.nii.gz", "colours")
    _refused(_nifti(tmp_path / "vector.nii.gz", np.zeros((4, 5, 6, 1, 3), np.float32)), "5 dimensions")
    for suffix in (".nrrd", ".mha"):
        image = sitk.GetImageFromArray(np.zeros((6, 5, 4, 3), np.uint8), isVector=True)
        sitk.WriteImage(image, tmp_path / f"colour{suffix}")
        _refused(tmp_path / f"colour{suffix}", "3 values a voxel")


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    _refused(_nifti(tmp_path / "phase.nii", _ARRAY.astype(np.complex64)), "complex")


def test_an_unknown_data_type_is_refused(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "image.nii")
    data = bytearray(path.read_bytes())
    data[70:72] = np.int16(999).tobytes()
    path.write_bytes(data)
    _refused(path, "cannot be read as NIfTI")


def test_labels_may_be_whole_floats_and_become_narrow_integers(tmp_path: Path) -> None:
    labels = np.zeros((4, 5, 6))
    labels[1, 2, 3], labels[2, 2, 2] = 7, 300
    volume = read_labels(_nifti(tmp_path / "labels.nii.gz", labels))
    assert volume.array.dtype == np.uint16
    np.testing.assert_array_equal(volume.array, labels)
    labels[0, 0, 0] = 0.5
    _refused(_nifti(tmp_path / "labels.nii.gz", labels), "not whole numbers", read_labels)
    labels[0, 0, 0] = -1
    _refused(_nifti(tmp_path / "labels.nii.gz", labels), "holds the label -1", read_labels)


def test_a_series_is_asked_only_of_dicom(tmp_path: Path) -> None:
    path = _nifti(tmp_path / "image.nii")
    with pytest.raises(FormatError, match="no DICOM folder"):
        read(path, series="1.2.3")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".mhd"])
def test_one_wrong_bit_in_compressed_voxels_is_found(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 50, (12, 13, 14)).astype(np.int16)
    path = tmp_path / f"image{suffix}"
    write_volume(Volume(noise, Grid(noise.shape, np.eye(4))), path)
    voxels = path.with_suffix(".zraw") if suffix == ".mhd" else path
    sound = voxels.read_bytes()
    for back in (2, len(sound) // 4, len(sound) // 3):
        data = bytearray(sound)
        data[-back] ^= 0x10
        voxels.write_bytes(data)
        _refused(path, "damaged: its compressed voxels cannot be unpacked|truncated")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wanted", "instead", "words"),
    [
        (b"NDims = 3", b"NDims = 9", "DimSize should hold 9 numbers"),
        (b"NDims = 3", b"NDims = x", "a number in it cannot be read"),
        (b"DimSize", b"DimSixe", "does not say DimSize"),
        (b"ElementDataFile", b"ElementDatafile", "does not say ElementDataFile"),
        (b"BinaryData = True", b"BinaryData = Tree", "BinaryData should be True or False"),
        (b"Offset = 0 ", b"Offset = ", "Offset should hold 3 numbers"),
        (b"MET_SHORT", b"MET_SHIRT", 'MET_SHIRT" is no data type of voxels'),
    ],
)
def test_a_damaged_metaimage_header_is_refused_and_nothing_else_is_printed(
    wanted: bytes, instead: bytes, words: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _refused(_replace_bytes(_write(tmp_path / "image.mha"), wanted, instead), words)
    assert capfd.readouterr() == ("", "")


def test_a_modality_may_be_given_by_its_name(tmp_path):
    path = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), path)
    assert read(path, modality="mr").modality is Modality.MRI
    with pytest.raises(VocabularyError, match="XR"):
        read(path, modality="XR")
