"""NIfTI-1 and NIfTI-2 (.nii, .nii.gz, .hdr and .img) and Analyze 7.5, voxels read by ourselves.

Headers are checked by nifti_header.py, and a file holds exactly the voxels that its header announces. nibabel writes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ...errors import FormatError, OutputError
from ...files import replacing
from ..grid import Array, Grid
from ..legend import Label
from ..volume import Origin, Volume
from .base import Format, ReadOptions, make_volume, scaled
from .label_tables import CARET, UNKNOWN, caret_table
from .nifti_header import GUESSED_ORIENTATION, NiftiHeader, header_class, parse_header
from .stored_bytes import StoredBytes, stored_bytes
from .time_points import chosen_time

_HEADER_BYTES = 540
_PAIRS = {".hdr": ".img", ".img": ".hdr"}


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one volume (X, Y, Z).

    Integers stay integers, also with an scl_slope and scl_inter that are whole. With others the signal is float32, or
    float64 where the stored type has more than 16 bits, so that nothing is rounded unseen.

    Raises:
        FormatError: not NIfTI, truncated, damaged, not 3-D, coloured, complex, or with an impossible spacing.
    """
    header_file, voxel_file = _pair(path)
    with stored_bytes(header_file, path, packing="look") as stream:
        start = stream.read(_HEADER_BYTES)
        header = parse_header(start, path)
        time = chosen_time(header.sides, path, options.time)
        options.memory.require(_needed(header), str(path))
        if header.single:
            array = _stored(stream, header, header.offset - len(start), time, start)
    if not header.single:
        if voxel_file == header_file:
            raise FormatError(f"{path} is a header alone, and no .img lies beside it; copy both files.")
        with stored_bytes(voxel_file, path, packing="look") as stream:
            array = _stored(stream, header, header.offset, time)
    if (header.slope, header.intercept) != (1.0, 0.0):
        array = scaled(array, header.slope, header.intercept, path)
    volume = make_volume(array, header.affine, path, Origin(path, "nifti", header=header.bytes or None))
    return replace(
        volume,
        orientation_stated=header.orientation_stated,
        spacing_stated=header.spacing_stated,
        remarks=header.remarks,
    )


def write(array: Array, like: Volume, path: Path, force: bool, labels: Sequence[Label] = ()) -> None:
    """Write an array on `like`'s grid; where `like` came from NIfTI, with its header's units and transforms.

    What labels mean stands in a header extension, see `label_tables`.

    Raises:
        OutputError: the place cannot be written, exists without `force`, or NIfTI cannot hold the data type.
    """
    with replacing(path, force=force) as temporary:
        try:
            header = _header(array, like)
            image_class: Any = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
            # Without an affine of its own the image leaves both transforms of the header as they are.
            image = image_class(np.asarray(array), None, header)
            if labels:
                image.header.set_data_offset(0)  # nibabel then puts voxels after the extension
                table = caret_table(labels)
                image.header.extensions.extend(nib.nifti1.Nifti1Extension(code, table) for code in (UNKNOWN, CARET))
            nib.save(image, temporary)
        except (nib.spatialimages.HeaderDataError, ValueError) as error:
            raise OutputError(f"{path} cannot be written as NIfTI: {_first_line(error)}.") from error


def _pair(path: Path) -> tuple[Path, Path]:
    """The files of header and voxels, which are one unless the name ends in .hdr or .img."""
    packed = ".gz" if path.name.lower().endswith(".gz") else ""
    bare = path.name[: len(path.name) - len(packed)]
    suffix = bare[-4:].lower()
    if suffix not in _PAIRS:
        return path, path
    names = [bare[:-4] + ending + again for ending in (_PAIRS[suffix], _PAIRS[suffix].upper()) for again in ("", ".gz")]
    other = next((path.with_name(name) for name in names if path.with_name(name).exists()), None)
    if other is None:
        if suffix == ".img":
            raise FormatError(f"{path} holds voxels only, and no .hdr lies beside it; copy both files.")
        return path, path
    return (path, other) if suffix == ".hdr" else (other, path)


def _needed(header: NiftiHeader) -> int:
    """Bytes that the voxels take at once: as stored, and scaled beside them."""
    stored = header.count * header.dtype.itemsize
    scaled_too = (header.slope, header.intercept) != (1.0, 0.0)
    return stored + (header.count * (4 if header.dtype.itemsize <= 2 else 8) if scaled_too else 0)


def _stored(stream: StoredBytes, header: NiftiHeader, gap: int, time: int, start: bytes = b"") -> Array:
    """Voxels (X, Y, Z) of one time point, native byte order, before scaling.

    Args:
        stream: from which `start` was read already.
        gap: bytes from there to the first voxel; below zero where `start` holds some of them.
    """
    size = int(np.prod(header.shape)) * header.dtype.itemsize
    total = header.count * header.dtype.itemsize
    ahead = start[gap:] if gap < 0 else b""
    if gap > 0:
        stream.skip(gap)
    if time == 0 and total == size:
        data = ahead[:size] + stream.exactly(size - len(ahead[:size])) if ahead else stream.exactly(size)
        if len(ahead) > size:
            raise FormatError(f"{stream.path} has a damaged header: the file holds more voxels than it announces.")
    else:
        skipped = time * size
        if len(ahead) > skipped:
            head = ahead[skipped : skipped + size]
        else:
            stream.skip(skipped - len(ahead))
            head = b""
        data = head + stream.exactly(size - len(head))
        stream.skip(total - max(skipped + size, len(ahead)))
    stream.require_end()
    array = np.frombuffer(data, header.dtype).reshape(header.shape, order="F")
    if header.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array.astype(header.dtype.newbyteorder("="), copy=False)


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
    """A copy of the source's header if `like` still lies on that grid (and was not, say, turned), else None.

    A header that states no orientation is copied too, whatever a person said of it: the mask then lies on the image in
    every viewer.
    """
    origin = like.origin
    if origin is None or origin.header is None:
        return None
    try:
        header = parse_header(origin.header, origin.path)
    except FormatError:
        return None
    if header.orientation_stated:
        same = np.array_equal(header.affine, like.grid.affine)
    else:
        codes = origin.orientation or GUESSED_ORIENTATION
        same = Grid.oriented(header.shape, like.grid.spacing, codes).close_to(like.grid)
    if header.shape != like.grid.shape or not same:
        return None
    kind: Any = nib.Nifti1Header if len(origin.header) == 348 else nib.Nifti2Header
    source = kind(origin.header, check=False).as_byteswapped("<")
    if source["pixdim"][0] == 0:
        source["pixdim"][0] = 1
    source["magic"] = kind.single_magic
    source["vox_offset"] = kind.single_vox_offset
    source["cal_min"] = source["cal_max"] = 0
    source.set_intent("none")
    source["descrip"] = b""
    source["aux_file"] = b""
    return source


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def _recognises(start: bytes) -> bool:
    return header_class(start.ljust(540)) is not None


NIFTI = Format(
    "nifti",
    (".nii", ".nii.gz", ".hdr", ".img", ".hdr.gz", ".img.gz"),
    _recognises,
    read,
    write,
    (".nii", ".nii.gz"),
    lambda path, options: _pair(path),
)
