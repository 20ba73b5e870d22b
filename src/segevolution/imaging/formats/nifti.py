"""NIfTI-1 and NIfTI-2 (.nii, .nii.gz) by nibabel, with the faults that nibabel mends silently turned into sentences.

The affine is the sform where its code is set, else the qform where its code is set; with neither it is made from the
spacing alone, x running to the left and the origin in the middle, as nibabel does. Spatial units of metres or microns
become millimetres.
"""

import gzip
import io
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ...errors import FormatError, OutputError
from ...files import replacing
from ..grid import Array, Floats
from ..volume import Origin, Volume
from .base import Format, ReadOptions, check_dimensions, check_spacing, make_volume, scaled_whole

_COLOURS = {128, 2304}
_COMPLEX = {32, 1792, 2048}
_MOST_WHOLE = 2**31  # of a slope or intercept: 32 bits times it stay within 64
_MILLIMETRES = {"meter": 1000.0, "micron": 0.001}


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one volume (X, Y, Z).

    Integers stay integers, also with an scl_slope and scl_inter that are whole. With others the signal is float32, or
    float64 where the stored type has more than 16 bits, so that nothing is rounded unseen.

    Raises:
        FormatError: not NIfTI, truncated, not 3-D, coloured, complex, or with an impossible spacing.
    """
    data = _decompressed(path)
    image_class = _image_class(data)
    if image_class is None:
        raise FormatError(f"{path} is not a NIfTI image; it may be truncated, or another kind of file under that name.")
    header = image_class.header_class.from_fileobj(io.BytesIO(data), check=False)
    shape = _checked_shape(header, path)
    try:
        image = image_class.from_bytes(data)
        array = _signal(image).reshape(shape)
        affine = _affine(image.header)
    except (
        OSError,
        EOFError,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        nib.spatialimages.HeaderDataError,
    ) as error:
        if len(data) < _expected_size(header):
            raise FormatError(f"{path} is truncated: voxels are missing at its end; copy it again.") from error
        raise FormatError(f"{path} cannot be read as NIfTI: {_first_line(error)}.") from error
    volume = make_volume(array, affine, path, Origin(path, "nifti", header=header.binaryblock))
    stated = bool(header["sform_code"] or header["qform_code"])
    unset = not stated and header.get_xyzt_units()[0] == "unknown" and (header["pixdim"][1:4] == 1).all()
    return replace(volume, orientation_stated=stated, spacing_stated=not unset)


def write(array: Array, like: Volume, path: Path, force: bool) -> None:
    """Write an array on `like`'s grid; where `like` came from NIfTI, with its header's units and transforms.

    Raises:
        OutputError: the place cannot be written, exists without `force`, or NIfTI cannot hold the data type.
    """
    with replacing(path, force=force) as temporary:
        try:
            header = _header(array, like)
            image_class: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
            # Without an affine of its own the image leaves both transforms of the header as they are.
            nib.save(image_class(np.asarray(array), None, header), temporary)
        except (nib.spatialimages.HeaderDataError, ValueError) as error:
            raise OutputError(f"{path} cannot be written as NIfTI: {_first_line(error)}.") from error


def _decompressed(path: Path) -> bytes:
    data = path.read_bytes()
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)  # to the end, so that a cut or damaged file is noticed by its checksum
    except EOFError as error:
        raise FormatError(f"{path} is truncated: its compressed data stop early; copy it again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(f"{path} is damaged: its compressed data do not add up; copy it again.") from error


def _image_class(data: bytes) -> Any:
    if len(data) >= 348 and data[344:347] == b"n+1":
        return nib.Nifti1Image
    if len(data) >= 540 and data[4:7] == b"n+2":
        return nib.Nifti2Image
    return None


def _checked_shape(header: Any, path: Path) -> tuple[int, int, int]:
    """The sides of the volume, from a header that nibabel has not yet mended."""
    dimensions = int(header["dim"][0])
    if not 1 <= dimensions <= 7:
        raise FormatError(f"{path} cannot be read as NIfTI: its header claims {dimensions} dimensions.")
    code = int(header["datatype"])
    if code in _COLOURS:
        raise FormatError(f"{path} holds colours (RGB); a volume needs one grey value a voxel, so convert it first.")
    if code in _COMPLEX:
        raise FormatError(f"{path} holds complex numbers; save their magnitude first.")
    shape = check_dimensions(tuple(int(side) for side in header["dim"][1 : 1 + dimensions]), path)
    if min(shape) < 1:
        raise FormatError(f"{path} is empty ({' x '.join(map(str, shape))} voxels).")
    check_spacing(header["pixdim"][1:4], path)
    return shape


def _signal(image: Any) -> Array:
    data = image.dataobj
    if (data.slope, data.inter) == (1.0, 0.0):
        array = np.asanyarray(data)
        if array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        return np.asarray(array, array.dtype.newbyteorder("="))
    kind = image.get_data_dtype()
    whole = all(float(value).is_integer() and abs(value) < _MOST_WHOLE for value in (data.slope, data.inter))
    if whole and kind.kind in "iu" and kind.itemsize <= 4:
        return scaled_whole(np.asarray(data.get_unscaled()), int(data.slope), int(data.inter))
    target = np.float32 if kind.itemsize <= 2 else np.float64
    return np.asarray(data, target)  # scaled in that precision


def _affine(header: Any) -> Floats:
    """Voxel index -> RAS+ millimetres."""
    affine = np.array(header.get_best_affine(), np.float64)
    affine[:3] *= _MILLIMETRES.get(header.get_xyzt_units()[0], 1.0)
    return affine


def _expected_size(header: Any) -> int:
    voxels = int(np.prod([int(side) for side in header["dim"][1 : 1 + int(header["dim"][0])]]))
    return int(header["vox_offset"]) + voxels * int(header["bitpix"]) // 8


def _header(array: Array, like: Volume) -> Any:
    """A header for `array` with the geometry of the file that `like` came from, or a fresh one in millimetres."""
    header = _stored_header(like)
    if header is None:
        header = nib.Nifti1Header()
        header.set_data_shape(array.shape)
        header.set_xyzt_units("mm")
        header.set_sform(like.grid.affine, 1)
        header.set_qform(like.grid.affine, 1)
        # A quaternion cannot hold shear; a reader that prefers it must not be led astray.
        if not np.allclose(header.get_qform(), like.grid.affine, atol=1e-3):
            header["qform_code"] = 0
    header.set_data_shape(array.shape)
    header.set_data_dtype(array.dtype)
    header.set_slope_inter(1, 0)
    return header


def _stored_header(like: Volume) -> Any:
    """A copy of the source's header if `like` still lies on that grid (and was not, say, turned), else None."""
    stored = None if like.origin is None else like.origin.header
    if stored is None:
        return None
    header_class: Any = nib.Nifti1Header if len(stored) == 348 else nib.Nifti2Header
    source = header_class(stored, check=False).as_byteswapped("<")
    shape = tuple(int(side) for side in source["dim"][1:4])
    if shape != like.grid.shape or not np.array_equal(_affine(source), like.grid.affine):
        return None
    source["cal_min"] = source["cal_max"] = 0
    source.set_intent("none")
    source["descrip"] = b""
    source["aux_file"] = b""
    return source


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _recognises(start: bytes) -> bool:
    return _image_class(start.ljust(540)) is not None


NIFTI = Format("nifti", (".nii", ".nii.gz"), _recognises, read, write, (".nii", ".nii.gz"))
