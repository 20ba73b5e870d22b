"""Section 4 of the faults: forms of files that a user rightly expects to be read, and S12, names as typed."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import DeflatedExplicitVRLittleEndian

from segevolution.errors import FormatError
from segevolution.imaging.formats import read, read_labels, write_mask
from segevolution.imaging.formats.base import stem
from segevolution.imaging.formats.dicom_deflated import data_set_start

ARRAY = np.random.default_rng(0).integers(0, 900, (7, 8, 9)).astype(np.int16)
AFFINE = np.array([[0, 0, 2.0, -5], [-1.5, 0, 0, 7], [0, 1.0, 0, 9], [0, 0, 0, 1]])


@pytest.mark.parametrize("suffix", [".mgz", ".mgh"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_freesurfers_files_are_read(suffix: str, dtype: type, tmp_path: Path) -> None:
    array = (ARRAY // 4).astype(dtype)
    path = tmp_path / f"brain{suffix}"
    nib.save(nib.MGHImage(array, AFFINE), path)
    volume = read(path)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-5)
    assert volume.array.dtype == dtype
    assert volume.orientation_stated
    assert volume.name == "brain"
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="truncated"):
        read(path)


def test_a_freesurfer_file_that_states_no_place_is_not_taken_to_state_one(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(ARRAY, AFFINE), tmp_path / "brain.mgh")
    content = bytearray((tmp_path / "brain.mgh").read_bytes())
    content[28:30] = bytes(2)  # goodRASFlag
    (tmp_path / "brain.mgh").write_bytes(content)
    volume = read(tmp_path / "brain.mgh")
    assert not volume.orientation_stated
    assert volume.grid.orientation == "LIA"


@pytest.mark.parametrize("given", [".hdr", ".img"])
@pytest.mark.parametrize("packed", [False, True])
def test_nifti_in_two_files_is_read_by_either_name(given: str, packed: bool, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(ARRAY, AFFINE), tmp_path / "scan.img")
    if packed:
        (tmp_path / "scan.img.gz").write_bytes(gzip.compress((tmp_path / "scan.img").read_bytes()))
        (tmp_path / "scan.img").unlink()
    path = tmp_path / f"scan{given}{'.gz' if packed and given == '.img' else ''}"
    volume = read(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    np.testing.assert_allclose(volume.grid.affine, AFFINE, atol=1e-5)
    assert volume.name == "scan"
    write_mask(ARRAY > 450, volume, tmp_path / "mask.nii.gz")
    np.testing.assert_array_equal(nib.load(tmp_path / "mask.nii.gz").get_fdata() > 0, ARRAY > 450)
    assert read_labels(tmp_path / "mask.nii.gz").grid.close_to(volume.grid)


def test_analyze_is_read_and_states_no_orientation(tmp_path: Path) -> None:
    image = nib.AnalyzeImage(ARRAY, None)
    image.header.set_zooms((1, 2, 3))
    nib.save(image, tmp_path / "scan.img")
    volume = read(tmp_path / "scan.hdr")
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.grid.spacing == (1, 2, 3)
    assert not volume.orientation_stated
    (tmp_path / "scan.img").unlink()
    with pytest.raises(FormatError, match=r"no \.img lies beside it"):
        read(tmp_path / "scan.hdr")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mgz"])
def test_one_time_point_of_several_is_read(suffix: str, tmp_path: Path) -> None:
    series = np.stack([ARRAY, ARRAY + 1, ARRAY + 2], axis=-1)
    path = tmp_path / f"series{suffix}"
    if suffix in (".nrrd", ".mha"):
        sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(a.T.copy()) for a in np.moveaxis(series, -1, 0)]), path)
    else:
        nib.save(nib.MGHImage(series, AFFINE) if suffix == ".mgz" else nib.Nifti1Image(series, AFFINE), path)
    for time in range(3):
        np.testing.assert_array_equal(read(path, time=time).array, ARRAY + time)
    with pytest.raises(FormatError, match=r"4 dimensions \(7 x 8 x 9 x 3\).*--time 0 to --time 2"):
        read(path)
    with pytest.raises(FormatError, match="has no time point 3; it has 3, counted from 0"):
        read(path, time=3)


def test_nrrd_without_a_space_of_the_body_states_no_orientation(tmp_path: Path) -> None:
    path = tmp_path / "bare.nrrd"
    head = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 7 8 9\nendian: little\nencoding: raw\n"
    data = b"\n" + ARRAY.astype("<i2").tobytes(order="F")
    path.write_bytes(head + data)
    assert not read(path).orientation_stated
    assert not read(path).spacing_stated
    path.write_bytes(head + b"spacings: 1 2 3\n" + data)
    assert (read(path).orientation_stated, read(path).spacing_stated) == (False, True)
    assert read(path, orientation="RAS").grid.orientation == "RAS"
    path.write_bytes(head + b"space: left-posterior-superior\nspace directions: (1,0,0) (0,2,0) (0,0,3)\n" + data)
    assert read(path).orientation_stated
    assert read(path).grid.orientation == "LPS"


def test_metaimage_without_directions_states_no_orientation(tmp_path: Path) -> None:
    fields = "ObjectType = Image\nNDims = 3\nDimSize = 7 8 9\nElementType = MET_SHORT\n"
    data = b"ElementDataFile = LOCAL\n" + ARRAY.astype("<i2").tobytes(order="F")
    (tmp_path / "bare.mha").write_bytes(fields.encode() + data)
    volume = read(tmp_path / "bare.mha")
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert (volume.orientation_stated, volume.spacing_stated) == (False, False)


def test_a_link_keeps_the_name_that_was_typed(tmp_path: Path) -> None:
    """S12: git-annex and hub caches name the file behind a link after its checksum."""
    (tmp_path / "blobs").mkdir()
    blob = tmp_path / "blobs" / "MD5E-s1234.nii.gz"
    nib.save(nib.Nifti1Image(ARRAY, AFFINE), blob)
    link = tmp_path / "sub-01_T2w.nii.gz"
    link.symlink_to(blob)
    assert read(link).name == "sub-01_T2w"
    assert stem(link) == "sub-01_T2w"
    assert stem(Path()) == Path.cwd().name


Series = Callable[..., Path]


def test_padding_of_dicom_counts_as_the_lowest_signal(dicom_series: Series) -> None:
    """S3: 63536 is -2000 stored in 16 bits without a sign; rescaled it would be 62,512 HU."""
    for value, limit in ((63536, None), (-2000, None), (60000, 65535), (65535, 60000)):

        def own(number: int, value: int = value, limit: int | None = limit) -> dict[str, Any]:
            rows, columns = np.indices((5, 4))
            pixels = (1024 + 100 * number + 10 * rows + columns).astype(np.uint16)
            pixels[0, 0] = 63536
            tags: dict[str, Any] = {"PixelData": pixels.tobytes(), "PixelPaddingValue": value % 65536}
            return tags | ({} if limit is None else {"PixelPaddingRangeLimit": limit})

        volume = read(dicom_series(each=own))
        assert volume.array.min() == 1
        assert volume.array.max() == 343
        assert volume.array[0, 0].tolist() == [1, 1, 1, 1]
        assert "4 voxels hold DICOM's padding value" in volume.remarks[0]


def test_padding_among_real_signal_is_left(dicom_series: Series) -> None:
    volume = read(dicom_series(PixelPaddingValue=1024 + 111))
    assert volume.array.max() == 343
    assert volume.remarks == ()


def test_byte_identical_copies_in_a_folder_are_read_once(dicom_series: Series) -> None:
    folder = dicom_series()
    before = read(folder).array
    (folder / "copy.dcm").write_bytes((folder / "98.dcm").read_bytes())
    volume = read(folder)
    np.testing.assert_array_equal(volume.array, before)
    assert "1 files are byte-identical copies" in volume.remarks[0]


def test_pet_has_a_slope_for_each_slice(dicom_series: Series) -> None:
    folder = dicom_series(Modality="PT", RescaleIntercept=0, each=lambda number: {"RescaleSlope": 1 + number / 2})
    column, row, number = np.indices((4, 5, 4))
    expected = (1024 + 100 * number + 10 * row + column) * (1 + number / 2)
    np.testing.assert_allclose(read(folder).array, expected, rtol=1e-6)


@pytest.mark.parametrize("tags", [{"RescaleSlope": 1e38}, {"RescaleIntercept": 1e30}, {"RescaleSlope": 0}])
def test_an_impossible_slope_of_dicom_is_refused(tags: dict[str, float], dicom_series: Series) -> None:
    with pytest.raises(FormatError, match="rescale slope of"):
        read(dicom_series(**tags))


@pytest.mark.parametrize("length", [0, 2, 2**31, 2**32 - 1])
def test_a_damaged_group_length_of_dicom_is_no_traceback(length: int, dicom_series: Series) -> None:
    folder = dicom_series()
    file = folder / "97.dcm"
    content = bytearray(file.read_bytes())
    content[140:144] = length.to_bytes(4, "little")
    file.write_bytes(content)
    try:
        read(folder)
    except FormatError as error:
        assert "97.dcm" in str(error)  # noqa: PT017  # pydicom may mend it, or not


def test_a_dicom_file_that_unpacks_to_more_than_may_be_used_is_refused(dicom_series: Series) -> None:
    folder = dicom_series()
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        data.save_as(file)
    assert read(folder).array.shape == (4, 5, 4)
    content = (folder / "97.dcm").read_bytes()
    end = data_set_start(folder / "97.dcm")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(80_000_000)) + packer.flush()
    (folder / "97.dcm").write_bytes(content[:end] + bomb)
    with pytest.raises(FormatError, match="--max-gigabytes"):
        read(folder, max_gigabytes=0.05)
    (folder / "97.dcm").write_bytes(content[:end] + b"raw data under another name" * 9)
    with pytest.raises(FormatError, match=r"97\.dcm is truncated or damaged"):
        read(folder)
