"""MetaImage (.mha, .mhd), read by ourselves; https://itk.org/Wiki/ITK/MetaIO/Documentation.

ITK reads damaged or missing compressed voxels as whatever memory held, and hands names of data files to C's printf.
Here every field is checked first, and voxels are exactly as many as the header announces. Directions are LPS, which
becomes RAS+; a header without TransformMatrix leaves the orientation unstated.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ..grid import Array, Floats
from ..volume import Origin, Volume
from .base import Format, ReadOptions, check_dimensions, check_spacing, make_volume, scaled
from .itk_writing import write
from .text_header import MILLIMETRES, TextHeader, data_files, read_files, read_start, read_text_numbers, voxel_count
from .time_points import chosen_time, time_point

_DTYPES = {
    **{"CHAR": np.int8, "UCHAR": np.uint8, "SHORT": np.int16, "USHORT": np.uint16, "INT": np.int32, "UINT": np.uint32},
    **{"LONG": np.int32, "ULONG": np.uint32, "LONG_LONG": np.int64, "ULONG_LONG": np.uint64},
    **{"FLOAT": np.float32, "DOUBLE": np.float64},
}
_SAME_FIELD = {
    **{"Position": "Offset", "Origin": "Offset", "Rotation": "TransformMatrix", "Orientation": "TransformMatrix"},
    "BinaryDataByteOrderMSB": "ElementByteOrderMSB",
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_MOST_DIMENSIONS = 10


def recognises(start: bytes) -> bool:
    """Whether a file that begins so is a MetaImage."""
    return re.search(rb"^\s*(ObjectType|NDims|Comment)\s*=", start[:512], re.MULTILINE) is not None


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one volume (X, Y, Z), dtype as stored; a slope or offset of ElementToIntensityFunction is applied.

    Raises:
        FormatError: a field that is missing, no number or impossible; voxels that are too few, too many or damaged;
            not 3-D, several values a voxel; a data file that is missing or outside the folder.
    """
    header = _header(path)
    dimension = header.whole("NDims")
    if not 1 <= dimension <= _MOST_DIMENSIONS:
        raise header.damaged(f"it claims {dimension} dimensions")
    sizes = header.wholes("DimSize", dimension)
    count = voxel_count(sizes, header)
    shape = check_dimensions(tuple(sizes), path)
    affine, spacing_stated = _affine(header, dimension)
    time = chosen_time(tuple(sizes), path, options.time)
    array = time_point(_voxels(header, count, sizes, options), shape, time)
    slope, intercept = (
        header.numbers(f"ElementToIntensityFunction{part}", 1)[0]
        if f"ElementToIntensityFunction{part}" in header.fields
        else default
        for part, default in (("Slope", 1.0), ("Offset", 0.0))
    )
    if (slope, intercept) != (1.0, 0.0):
        array = scaled(array, slope, intercept, path)
    volume = make_volume(array, affine, path, Origin(path, "metaimage"))
    return replace(volume, orientation_stated="TransformMatrix" in header.fields, spacing_stated=spacing_stated)


def files(path: Path, options: ReadOptions) -> list[Path]:
    """The header, and the files of its voxels."""
    header = _header(path)
    where = header.text("ElementDataFile")
    return [path] if where.upper() == "LOCAL" else [path, *data_files(header, where, options)]


def _header(path: Path) -> TextHeader:
    start = read_start(path)
    if not recognises(start):
        raise FormatError(f"{path} is not a MetaImage file; it may be another kind of file under that name.")
    fields: dict[str, str] = {}
    header, place = TextHeader(path, fields, 0), 0
    while place < len(start):
        end = start.find(b"\n", place)
        end = len(start) if end < 0 else end
        line = start[place:end].decode("latin-1")
        place = end + 1
        name, sign, value = (part.strip() for part in line.partition("="))
        name = _SAME_FIELD.get(name, name)
        if not sign:
            continue
        if name in fields and name not in ("Comment", "Name", "ObjectType"):
            raise header.damaged(f"it says {name[:40]} twice")
        fields[name] = value
        if name == "ElementDataFile":
            rest = start[place:].decode("latin-1").splitlines() if value.startswith("LIST") else []
            return TextHeader(path, fields, place, tuple(rest))
    return header


def _voxels(header: TextHeader, count: int, sizes: list[int], options: ReadOptions) -> Array:
    """Voxels (count,), x fastest."""
    dtype = _dtype(header)
    where, start = header.text("ElementDataFile"), header.whole("HeaderSize", 0)
    binary, packed = header.choice("BinaryData", True), header.choice("CompressedData", False)
    if start < -1 or (start == -1 and (packed or not binary)):
        raise header.damaged("HeaderSize is impossible")
    attached = where.upper() == "LOCAL"
    files = [header.path] if attached else data_files(header, where, options)
    if attached:
        start = header.end
    options.memory.require(count * (dtype.itemsize if binary else 100), str(header.path))
    if not binary:
        if len(files) > 1:
            raise header.damaged("voxels written as text lie in several files")
        return read_text_numbers(files[0], header, dtype, count, start)
    size = header.whole("CompressedDataSize") if packed and "CompressedDataSize" in header.fields else None
    share = count // len(files) * dtype.itemsize
    starts = [file.stat().st_size - share if start == -1 else start for file in files]
    if min(starts) < 0:
        raise FormatError(f"{header.path} is truncated: voxels are missing; copy it again.")
    packing = "gzip" if packed else None
    return read_files(files, header, dtype, count, starts=starts, packing=packing, packed_size=size)


def _dtype(header: TextHeader) -> np.dtype[Any]:
    name = header.text("ElementType")
    channels = header.whole("ElementNumberOfChannels", 1)
    if channels != 1:
        raise FormatError(
            f"{header.path} holds {channels} values a voxel (RGB or a vector); "
            "a volume needs one grey value a voxel, so convert it first."
        )
    kind = _DTYPES.get(name.removeprefix("MET_").removesuffix("_ARRAY"))
    if kind is None:
        raise header.damaged(f'"{name[:40]}" is no data type of voxels')
    return np.dtype(kind).newbyteorder(">" if header.choice("ElementByteOrderMSB", False) else "<")


def _affine(header: TextHeader, dimension: int) -> tuple[Floats, bool]:
    """Voxel index -> RAS+ millimetres of the first three axes, and whether the spacing is stated."""
    name = "ElementSpacing" if "ElementSpacing" in header.fields else "ElementSize"
    stated = name in header.fields
    spacing = np.array(header.numbers(name, dimension)[:3]) if stated else np.ones(3)
    check_spacing(spacing, header.path)
    unit = MILLIMETRES.get(header.fields.get("DistanceUnits", "mm").lower(), 1.0)
    directions = np.eye(3)
    if "TransformMatrix" in header.fields:
        rows = np.array(header.numbers("TransformMatrix", dimension**2)).reshape(dimension, dimension)
        directions = rows[:3, :3].T  # each row is the direction of one axis
        if not np.allclose(np.linalg.norm(directions, axis=0), 1, atol=0.02):
            raise header.damaged("the rows of TransformMatrix should be directions of length 1")
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing * unit
    if "Offset" in header.fields:
        affine[:3, 3] = np.array(header.numbers("Offset", dimension)[:3]) * unit
    return _LPS_TO_RAS @ affine, stated


METAIMAGE = Format("metaimage", (".mha", ".mhd"), recognises, read, write, (".mha", ".mhd"), files)
