"""S4, S5, X2, X4, X5: headers that lie, point elsewhere or ask for too much are refused in one sentence."""

import bz2
import gzip
import os
import time
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.errors import FormatError
from segevolution.imaging.formats import read

ARRAY = np.random.default_rng(0).integers(0, 900, (9, 10, 11)).astype("<i2")
RAW = ARRAY.tobytes(order="F")

META = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "1 0 0 0 1 0 0 0 1",
    "Offset": "0 0 0",
    "ElementSpacing": "1 2 3",
    "DimSize": "9 10 11",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
NRRD = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "9 10 11",
    "space directions": "(1,0,0) (0,2,0) (0,0,3)",
    "space origin": "(0,0,0)",
    "endian": "little",
    "encoding": "raw",
}


def meta(path: Path, data: bytes = RAW, **fields: str | None) -> Path:
    merged = META | fields
    merged |= {"ElementDataFile": merged.pop("ElementDataFile")}  # the last line of a header
    lines = [f"{name} = {value}" for name, value in merged.items() if value is not None]
    path.write_bytes("\n".join(lines).encode() + b"\n" + data)
    return path


def nrrd(path: Path, data: bytes = RAW, **fields: str | None) -> Path:
    renamed = {name.replace("_", " "): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in (NRRD | renamed).items() if value is not None]
    path.write_bytes(b"NRRD0005\n" + "\n".join(lines).encode() + b"\n\n" + data)
    return path


def nifti(path: Path, **fields: float) -> Path:
    image = nib.Nifti1Image(ARRAY, np.diag([1.0, 2, 3, 1]))
    nib.save(image, path)
    content = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(content)
    return path


def refused(path: Path, words: str) -> None:
    with pytest.raises(FormatError, match=words) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_the_files_that_the_tests_damage_are_sound(tmp_path: Path) -> None:
    for path in (meta(tmp_path / "a.mha"), nrrd(tmp_path / "a.nrrd"), nifti(tmp_path / "a.nii")):
        volume = read(path)
        np.testing.assert_array_equal(volume.array, ARRAY)
        assert volume.grid.spacing == (1, 2, 3)
        assert volume.orientation_stated
        assert volume.spacing_stated


# S4: noise accepted as an image


def test_compressed_metaimage_is_read_whether_or_not_it_says_its_compressed_size(tmp_path: Path) -> None:
    packed = zlib.compress(RAW)
    for size in (None, str(len(packed))):
        path = meta(tmp_path / "image.mha", packed, CompressedData="True", CompressedDataSize=size)
        np.testing.assert_array_equal(read(path).array, ARRAY)


@pytest.mark.parametrize("size", ["1", "99999999", "-5", "0", "1e3"])
def test_a_wrong_compressed_size_is_refused(size: str, tmp_path: Path) -> None:
    path = meta(tmp_path / "image.mha", zlib.compress(RAW), CompressedData="True", CompressedDataSize=size)
    refused(path, "compressed bytes|truncated|cannot be read")


def test_a_list_of_data_files_without_names_is_refused(tmp_path: Path) -> None:
    refused(meta(tmp_path / "image.mhd", b"", ElementDataFile="LIST"), "names none")
    refused(nrrd(tmp_path / "image.nhdr", b"", data_file="LIST"), "names none|is incomplete")


def test_slices_in_files_of_their_own_are_read(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / f"slice{number:03d}.raw").write_bytes(ARRAY[..., number].tobytes(order="F"))
    names = "\n".join(f"slice{number:03d}.raw" for number in range(11)) + "\n"
    for path in (
        meta(tmp_path / "list.mhd", names.encode(), ElementDataFile="LIST"),
        meta(tmp_path / "pattern.mhd", b"", ElementDataFile="slice%03d.raw 0 10 1"),
        nrrd(tmp_path / "pattern.nhdr", b"", data_file="slice%03d.raw 0 10 1"),
    ):
        np.testing.assert_array_equal(read(path).array, ARRAY)


# S5: header bytes as voxels, impossible numbers


@pytest.mark.parametrize("offset", [0, 100, 351, 353, 352.5, -16, 1e30, np.nan, np.inf, 2000])
def test_nifti_voxels_begin_after_the_header_and_end_with_the_file(offset: float, tmp_path: Path) -> None:
    refused(nifti(tmp_path / "image.nii", vox_offset=offset), "begin at byte|truncated|more bytes of voxels")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sizes": "1e3 10 11"}, "a number in it cannot be read"),
        ({"sizes": "9 10"}, "should hold 3 numbers"),
        ({"sizes": "9 10 -11"}, "is empty"),
        ({"sizes": "9 10 12"}, "truncated"),
        ({"sizes": "9 10 10"}, "more bytes of voxels"),
        ({"byte_skip": "-2"}, "byte skip"),
        ({"byte_skip": "2"}, "truncated"),
        ({"line_skip": "-1"}, "line skip"),
        ({"type": "int"}, "truncated"),
        ({"type": "shirt"}, "no data type"),
        ({"endian": None}, "does not say endian"),
        ({"encoding": "hex"}, "not supported"),
        ({"dimension": "4"}, "should hold 4 numbers"),
        ({"space_directions": "(1e30,0,0) (0,2,0) (0,0,3)"}, "no scan has"),
        ({"space_directions": "(1,0,0) (0,2,0)"}, "should hold 3 vectors"),
        ({"space_directions": None, "spacings": "-1 2 3"}, "voxel spacing of -1"),
        ({"space_origin": "(1e30,0,0)"}, "kilometre"),
    ],
)
def test_impossible_fields_of_nrrd_are_refused(fields: dict[str, str], words: str, tmp_path: Path) -> None:
    refused(nrrd(tmp_path / "image.nrrd", **fields), words)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ElementSpacing": "-1 2 3"}, "voxel spacing of -1"),
        ({"ElementSpacing": "1e30 2 3"}, "no scan has"),
        ({"DimSize": "9 10 1e1"}, "a number in it cannot be read"),
        ({"DimSize": "9 10 12"}, "truncated"),
        ({"DimSize": "9 10 10"}, "more bytes of voxels"),
        ({"NDims": "1000000000"}, "1000000000 dimensions"),
        ({"NDims": "0"}, "0 dimensions"),
        ({"TransformMatrix": "5 0 0 0 1 0 0 0 1"}, "directions of length 1"),
        ({"ElementType": "MET_INT"}, "truncated"),
        ({"HeaderSize": "-7"}, "HeaderSize is impossible"),
        ({"Offset": "1e30 0 0"}, "kilometre"),
    ],
)
def test_impossible_fields_of_metaimage_are_refused(fields: dict[str, str], words: str, tmp_path: Path) -> None:
    refused(meta(tmp_path / "image.mha", **fields), words)


@pytest.mark.parametrize(
    "fields",
    [
        {"bitpix": 8},
        {"datatype": 999},
        {"sizeof_hdr": 12},
        {"xyzt_units": 5},
        {"scl_slope": np.inf},
        {"scl_slope": 1, "scl_inter": np.nan},
        {"sform_code": 0, "qform_code": 1, "quatern_b": 7},
        {"sform_code": 0, "qform_code": 1, "pixdim": [-1, -1, 2, 3, 1, 1, 1, 1]},
        {"pixdim": [1, 1e30, 2, 3, 1, 1, 1, 1], "sform_code": 0},
        {"srow_x": [1e30, 0, 0, 0]},
        {"srow_x": [1, 0, 0, 1e30]},
    ],
)
def test_impossible_fields_of_nifti_are_refused_and_nothing_is_printed(
    fields: dict[str, float], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(nifti(tmp_path / "image.nii", **fields), "image.nii")
    assert capfd.readouterr() == ("", "")


def test_extensions_of_any_size_are_passed_over(tmp_path: Path) -> None:
    path = nifti(tmp_path / "image.nii", vox_offset=384)
    content = path.read_bytes()
    for size in (32, 0, -1, 2**31 - 1):
        extension = b"\1\0\0\0" + np.int32(size).tobytes() + bytes(28)
        path.write_bytes(content[:348] + extension + content[352:])
        np.testing.assert_array_equal(read(path).array, ARRAY)


def test_a_zero_sform_gives_way_to_a_good_qform(tmp_path: Path) -> None:
    path = nifti(tmp_path / "image.nii", srow_x=0, srow_y=0, srow_z=0, sform_code=1, qform_code=1)
    volume = read(path)
    assert volume.grid.spacing == (1, 2, 3)
    assert volume.grid.orientation == "RAS"
    assert volume.orientation_stated


# X2: header fields never reach a format string


@pytest.mark.parametrize(
    "name",
    ["f%s%s%n.raw 1 3 1", "a%1000000000d 1 3 1", "%d%d.raw 1 3 1", "x%5$d 1 3 1", "%n", "f%03d.raw 1 900000000 1"],
)
def test_names_of_data_files_format_nothing(name: str, tmp_path: Path) -> None:
    for path in (
        meta(tmp_path / "image.mhd", b"", ElementDataFile=name),
        nrrd(tmp_path / "image.nhdr", b"", data_file=name),
    ):
        refused(path, "pattern|not beside it|files")


# X4: data files stay in the header's folder


@pytest.mark.parametrize("outside", ["absolute", "upwards", "link"])
def test_a_data_file_outside_the_folder_is_read_only_where_allowed(outside: str, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret.raw").write_bytes(RAW)
    name = {"absolute": str(tmp_path / "secret.raw"), "upwards": "../secret.raw", "link": "link.raw"}[outside]
    if outside == "link":
        (inner / name).symlink_to(tmp_path / "secret.raw")
    for path in (
        meta(inner / "image.mhd", b"", ElementDataFile=name),
        nrrd(inner / "image.nhdr", b"", data_file=name),
    ):
        refused(path, "outside its own folder .* --allow-outside")
        np.testing.assert_array_equal(read(path, allow_outside=True).array, ARRAY)


# X5: memory and time have bounds


def test_a_pipe_or_a_device_is_no_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.raw")
    os.mkfifo(tmp_path / "pipe.nii")
    refused(meta(tmp_path / "image.mhd", b"", ElementDataFile="pipe.raw"), "no regular file")
    refused(nrrd(tmp_path / "image.nhdr", b"", data_file="pipe.raw"), "no regular file")
    refused(tmp_path / "pipe.nii", "no regular file")
    path = meta(tmp_path / "image.mhd", b"", ElementDataFile="/dev/zero")
    with pytest.raises(FormatError, match="no regular file"):
        read(path, allow_outside=True)


def test_what_needs_more_memory_than_there_is_is_refused_before_it_is_taken(tmp_path: Path) -> None:
    huge = "30000 30000 30000"
    path = tmp_path / "huge.nii.gz"
    nib.save(nib.Nifti1Image(ARRAY, np.eye(4)), path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    path.write_bytes(gzip.compress(bytes(content)))
    for bomb in (path, meta(tmp_path / "huge.mha", DimSize=huge), nrrd(tmp_path / "huge.nrrd", sizes=huge)):
        refused(bomb, r"needs 5e\+04 GB of memory, but .* --max-gigabytes")
    with pytest.raises(FormatError, match=r"but 0.0 GB may be used \(as --max-gigabytes says\)"):
        read(nrrd(tmp_path / "small.nrrd"), max_gigabytes=1e-6)


@pytest.mark.parametrize("packing", ["gzip", "bzip2"])
def test_a_file_that_unpacks_to_more_than_it_announces_is_refused(packing: str, tmp_path: Path) -> None:
    more = RAW + bytes(50_000_000)
    packed = gzip.compress(more) if packing == "gzip" else bz2.compress(more)
    refused(nrrd(tmp_path / "bomb.nrrd", packed, encoding=packing), "more bytes of voxels")
    whole = gzip.compress(RAW) if packing == "gzip" else bz2.compress(RAW)
    np.testing.assert_array_equal(read(nrrd(tmp_path / "image.nrrd", whole, encoding=packing)).array, ARRAY)


def test_half_a_million_lines_of_header_take_no_time(tmp_path: Path) -> None:
    start = time.process_time()
    path = nrrd(tmp_path / "image.nrrd")
    head, _, tail = path.read_bytes().partition(b"type")
    path.write_bytes(head + b"# nothing\n" * 500_000 + b"type" + tail)
    refused(path, "far too long")
    refused(meta(tmp_path / "image.mha", Comment="\nComment = x" * 500_000), "does not say")
    assert time.process_time() - start < 5


def test_voxels_written_as_text_are_read(tmp_path: Path) -> None:
    text = " ".join(map(str, ARRAY.ravel(order="F"))).encode()
    np.testing.assert_array_equal(read(nrrd(tmp_path / "a.nrrd", text, encoding="ascii")).array, ARRAY)
    np.testing.assert_array_equal(read(meta(tmp_path / "a.mha", text, BinaryData="False")).array, ARRAY)
    refused(nrrd(tmp_path / "b.nrrd", text[:-9], encoding="ascii"), "truncated")
    refused(nrrd(tmp_path / "c.nrrd", text[:-2] + b"x", encoding="ascii"), "no number")
    refused(nrrd(tmp_path / "d.nrrd", b"99999" + text[3:], encoding="ascii"), "does not fit")
