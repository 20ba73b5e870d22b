"""A DICOM file's pixels as stored, decompressed where they are compressed (DICOM PS3.5, 8.2 and annex A.4).

pydicom unpacks what is not compressed, RLE, JPEG Baseline and JPEG 2000. GDCM, which SimpleITK brings along, unpacks
the rest: JPEG Lossless, JPEG-LS, 12-bit JPEG and high-throughput JPEG 2000. It would also rescale the values and turn
MONOCHROME1 over, so it is given a copy that holds nothing but the pixels: what comes back is what was stored. Which
of the two unpacks what does not depend on the plugins of pydicom that happen to be installed: with pyjpegls, signed
JPEG-LS of 12 bits would lose its sign.
"""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless, SecondaryCaptureImageStorage

from ...errors import FormatError
from ...memory import MemoryBudget
from ...on_use import ModuleOnUse
from ..grid import Array
from .native_stderr import caught

if TYPE_CHECKING:
    import SimpleITK as sitk
else:
    sitk = ModuleOnUse("SimpleITK")

_KEPT = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "PixelData",
)
_ANY_UID = UID("1.2.3")
_BY_PYDICOM = frozenset({RLELossless, JPEGBaseline8Bit, JPEG2000Lossless, JPEG2000})
_DAMAGE = ("premature end", "bad Huffman code")  # what libjpeg says of a stream that it fills up with inventions


def stored_pixels(data: pydicom.Dataset, file: Path) -> Array:
    """(rows, columns), or (frames, rows, columns) of a multi-frame file; integers, slope and intercept not applied.

    Args:
        data: one grey value a pixel.
        file: for messages.

    Raises:
        FormatError: the pixels are compressed and cannot be decompressed, or are damaged.
    """
    syntax = data.file_meta.TransferSyntaxUID
    if not (syntax.is_compressed and syntax.is_encapsulated):
        return np.asarray(data.pixel_array)
    if _pydicom_decodes(syntax):
        try:
            return np.asarray(data.pixel_array)
        except (RuntimeError, ValueError, NotImplementedError, AttributeError, OSError):
            pass  # GDCM may do better, and says so if it does not
    return _by_gdcm(data, file)


def stored_frames(data: pydicom.Dataset, file: Path, memory: MemoryBudget) -> Iterator[Array]:
    """The frames (rows, columns) of a file one after another, as `stored_pixels` has them.

    Frames that are not compressed are unpacked one at a time, so that a file of many bits needs no memory for all.

    Raises:
        FormatError: as `stored_pixels`, or the frames need more memory than may be used.
    """
    syntax = data.file_meta.TransferSyntaxUID
    pixels = int(data.Rows) * int(data.Columns) * max(1, int(data.BitsAllocated) // 8)
    if syntax.is_compressed and syntax.is_encapsulated:
        memory.require(2 * pixels * int(data.get("NumberOfFrames", None) or 1), str(file))
        frames = stored_pixels(data, file)
        yield from frames if frames.ndim == 3 else frames[np.newaxis]
        return
    memory.require(4 * pixels, str(file))
    yield from _frames_of_bits(data, file) if int(data.BitsAllocated) == 1 else iter_pixels(data)


def _frames_of_bits(data: pydicom.Dataset, file: Path) -> Iterator[Array]:
    """Frames of one bit a pixel; they follow one another without a gap, so a frame may begin within a byte.

    pydicom 3.0 unpacks all of them right at once, and one at a time only where they begin with a byte.
    """
    rows, columns, count = int(data.Rows), int(data.Columns), int(data.get("NumberOfFrames", None) or 1)
    size, packed = rows * columns, np.frombuffer(data.PixelData, np.uint8)
    if packed.size * 8 < size * count:
        raise FormatError(f"{file} is truncated: it holds fewer pixels than it announces; copy it again.")
    for first in range(0, size * count, size):
        whole = np.unpackbits(packed[first // 8 : (first + size + 7) // 8], bitorder="little")
        yield whole[first % 8 : first % 8 + size].reshape(rows, columns)


def _pydicom_decodes(syntax: UID) -> bool:
    return syntax in _BY_PYDICOM and bool(get_decoder(syntax).is_available)


def _by_gdcm(data: pydicom.Dataset, file: Path) -> Array:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "pixels.dcm"
        _bare(data).save_as(copy)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(copy))
        with caught() as captured:
            try:
                image = reader.Execute()
            except RuntimeError as error:
                raise FormatError(
                    f"{file} is compressed as {_short(data.file_meta.TransferSyntaxUID)} and cannot be decompressed; "
                    "copy it again if it is damaged, else decompress the series first, for instance with "
                    "gdcmconv --raw."
                ) from error
    if any(sign in captured.text for sign in _DAMAGE):
        raise FormatError(f"{file} is damaged: its compressed pixels end early or make no sense; copy it again.")
    pixels = np.asarray(sitk.GetArrayFromImage(image))
    frames = int(data.get("NumberOfFrames", None) or 1)
    expected = (frames, int(data.Rows), int(data.Columns))
    if pixels.size != np.prod(expected):
        raise FormatError(f"{file} is damaged: its compressed pixels are not {data.Columns} x {data.Rows}.")
    return pixels.reshape(expected if frames > 1 else expected[1:])


def _short(syntax: UID) -> str:
    """ "JPEG Lossless" for "JPEG Lossless, Non-Hierarchical (Process 14)"."""
    return re.split(r",| \(", syntax.name)[0]


def _bare(data: pydicom.Dataset) -> pydicom.Dataset:
    """A copy that holds the pixels, and neither the patient nor anything that changes their values."""
    bare = pydicom.Dataset()
    for name in _KEPT:
        if name in data:
            bare[name] = data[name]
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, _ANY_UID
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    bare.file_meta.MediaStorageSOPInstanceUID = _ANY_UID
    bare.preamble = b"\0" * 128
    return bare
