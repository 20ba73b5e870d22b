"""Compressed DICOM series: every slice holds 10 row + column (+ 1024, where unsigned), however it was packed."""

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from segevolution.errors import FormatError
from segevolution.imaging.formats import read

Series = Callable[..., Path]

ROWS, COLUMNS = np.indices((5, 4))
UNSIGNED = (1024 + 10 * ROWS + COLUMNS).astype(np.uint16)
SIGNED = (10 * ROWS + COLUMNS - 20).astype(np.int16)  # stored in 12 bits

# Made from UNSIGNED and SIGNED with imagecodecs 2026.3.6 (jpegls_encode; ljpeg_encode; htj2k_encode; jpeg2k_encode,
# reversible, J2K; jpeg_encode, level 100, 12 bits, which happens to lose nothing here).
STREAMS = {
    "JPEG-LS": base64.b64decode(
        "/9j/6AAgU1BJRkYAAgAAAQAAAAUAAAAEChAGAQAAASwAAAEs/+gACAAAAAH/2P/3AAsQAAUABAEBEQD/+AANAf//ABIAQwEUAED/"
        "2gAIAQEAAAAAP/wBgDAMFIBQAgFCUAwGAEQgcDgCOhYOAP/Z"
    ),
    "JPEG-LS, signed": base64.b64decode(
        "/9j/6AAgU1BJRkYAAgAAAQAAAAUAAAAEChAGAQAAASwAAAEs/+gACAAAAAH/2P/3AAsQAAUABAEBEQD/+AANAf//ABIAQwEUAED/"
        "2gAIAQEAAAAAAPrwBgDAMFIBQAgEAAPtgBAEAIKQBQCgBBSAEAIA/9k="
    ),
    "JPEG Lossless, signed": base64.b64decode(
        "/9j/xAAYAAEBAAMAAAAAAAAAAAAAAAADAQQLDP/DAAsMAAUABAEAEQD/2gAIAQAABgAA39ltylVeAJ0AmgE0AmUqrlKqgP/Z"
    ),
    "JPEG, 12 bits": base64.b64decode(
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
        "AQEBAQEBAQEBAQEBAQH/wQALDAAFAAQBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAADf/EAB4QAAEBCQAAAAAAAAAAAAAAAAIAAQQG"
        "BxMiUWKj/9oACAEBAAA/AAO13klCVIbOAYZuv//Z"
    ),
    "JPEG 2000": base64.b64decode(
        "/0//UQApAAAAAAAEAAAABQAAAAAAAAAAAAAABAAAAAUAAAAAAAAAAAABDwEB/1IADAAAAAEAAAQEAAH/XAAEQID/ZAAlAAFDcmVh"
        "dGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAAwAAH/k8/8MHgRUE6V/pAAAYKa0XZ1Wkdd3lNJ58PH9Mmzv23r"
        "cn//2Q=="
    ),
    "HTJ2K": base64.b64decode(
        "/0//UQApQAAAAAAEAAAABQAAAAAAAAAAAAAABAAAAAUAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
        "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAADIAAf+TwAAm1fcFB3QAAADAABKAzgCHdADA"
        "ABIA+htzAMAAJAD4E+MA/9k="
    ),
}


def pack(folder: Path, syntax: pydicom.uid.UID, stream: bytes, **tags: object) -> Path:
    """Replace the pixels of every slice by one compressed stream."""
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.file_meta.TransferSyntaxUID = syntax
        data.PixelData = encapsulate([stream])
        data["PixelData"].VR = "OB"
        for name, value in tags.items():
            setattr(data, name, value)
        data.save_as(file)
    return folder


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("JPEG-LS", JPEGLSLossless),
        ("JPEG, 12 bits", JPEGExtended12Bit),
        ("JPEG 2000", JPEG2000Lossless),
        ("HTJ2K", HTJ2KLossless),
    ],
)
@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, 7), (0.5, 0)])
def test_a_compressed_series_is_rescaled_once(
    name: str, syntax: pydicom.uid.UID, slope: float, intercept: float, dicom_series: Series
) -> None:
    folder = dicom_series(RescaleSlope=slope, RescaleIntercept=intercept)
    volume = read(pack(folder, syntax, STREAMS[name], BitsStored=12, HighBit=11))
    assert volume.array.shape == (4, 5, 4)
    expected = UNSIGNED.T[:, :, None].astype(float) * slope + intercept
    np.testing.assert_array_equal(volume.array, np.broadcast_to(expected, (4, 5, 4)))


@pytest.mark.parametrize(
    ("name", "syntax"), [("JPEG-LS, signed", JPEGLSLossless), ("JPEG Lossless, signed", JPEGLossless)]
)
def test_signed_values_of_twelve_bits_keep_their_sign(name: str, syntax: pydicom.uid.UID, dicom_series: Series) -> None:
    folder = dicom_series(RescaleIntercept=0)
    volume = read(pack(folder, syntax, STREAMS[name], BitsStored=12, HighBit=11, PixelRepresentation=1))
    np.testing.assert_array_equal(volume.array[:, :, 2], SIGNED.T)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_jpeg_lossless_as_hospitals_store_it(photometric: str, dicom_series: Series, tmp_path: Path) -> None:
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(tmp_path / "one.dcm"))
    writer.Execute(sitk.GetImageFromArray(UNSIGNED[None]))
    one = pydicom.dcmread(tmp_path / "one.dcm")
    assert one.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    stream = next(pydicom.encaps.generate_frames(one.PixelData, number_of_frames=1))
    volume = read(pack(dicom_series(), JPEGLosslessSV1, stream, PhotometricInterpretation=photometric))
    np.testing.assert_array_equal(volume.array[:, :, 0], UNSIGNED.T.astype(int) - 1024)


def test_run_lengths_are_read(dicom_series: Series) -> None:
    folder = dicom_series()
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        data.compress(RLELossless, generate_instance_uid=False)
        data.save_as(file)
    assert read(folder).array[2, 1, 3] == 312


def test_frames_of_a_compressed_multi_frame_file_are_read(
    dicom_dataset: Callable[..., pydicom.Dataset], tmp_path: Path
) -> None:
    data = dicom_dataset(SIGNED, BitsStored=12, HighBit=11, Modality="MR", NumberOfFrames=3, RescaleIntercept=None)
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.PixelData = encapsulate([STREAMS["JPEG-LS, signed"]] * 3)
    data["PixelData"].VR = "OB"
    orientation, measures, shared = (pydicom.Dataset() for _ in range(3))
    orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [1.5, 0.75]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    groups = []
    for number in range(3):
        position, group = pydicom.Dataset(), pydicom.Dataset()
        position.ImagePositionPatient = [0, 0, 3 * number]
        group.PlanePositionSequence = [position]
        groups.append(group)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], groups
    data.save_as(tmp_path / "enhanced.dcm")
    array = read(tmp_path / "enhanced.dcm").array
    np.testing.assert_array_equal(array, np.repeat(SIGNED.T[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("name", "syntax", "said"),
    [
        ("JPEG-LS", JPEGLSLossless, "JPEG-LS Lossless Image Compression"),
        ("JPEG 2000", JPEG2000Lossless, "JPEG 2000 Image Compression"),
        ("JPEG Lossless, signed", JPEGLossless, "JPEG Lossless"),
    ],
)
def test_a_stream_that_ends_early_is_refused_and_nothing_else_is_printed(
    name: str, syntax: pydicom.uid.UID, said: str, dicom_series: Series, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = STREAMS[name]
    folder = pack(dicom_series(), syntax, stream[: len(stream) * 2 // 3], BitsStored=12, HighBit=11)
    with pytest.raises(FormatError, match=rf"9\d\.dcm is compressed as {said} and cannot be decompressed; copy"):
        read(folder)
    assert capfd.readouterr() == ("", "")


def test_a_stream_that_was_closed_early_is_refused_although_the_decoder_fills_it_up(
    dicom_series: Series, capfd: pytest.CaptureFixture[str]
) -> None:
    stream = STREAMS["JPEG Lossless, signed"]
    folder = pack(dicom_series(), JPEGLossless, stream[:-12] + b"\xff\xd9", BitsStored=12, HighBit=11)
    with pytest.raises(FormatError, match=r"9\d\.dcm is damaged: its compressed pixels end early"):
        read(folder)
    assert capfd.readouterr() == ("", "")


def test_a_stream_of_another_size_is_refused(dicom_series: Series) -> None:
    folder = pack(dicom_series(), JPEGLSLossless, STREAMS["JPEG-LS"], BitsStored=12, HighBit=11, Rows=6)
    with pytest.raises(FormatError, match=r"9\d\.dcm"):
        read(folder)


def test_a_film_is_no_volume(dicom_series: Series) -> None:
    folder = pack(dicom_series(), MPEG2MPML, b"\x00\x00\x01\xb3" + bytes(60))
    with pytest.raises(FormatError, match=r"9\d\.dcm is compressed as MPEG2 .* cannot be decompressed; copy"):
        read(folder)
