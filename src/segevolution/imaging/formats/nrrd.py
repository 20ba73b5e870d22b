"""NRRD (.nrrd, .nhdr) as teem defines it (https://teem.sourceforge.net/nrrd/format.html), read by ourselves.

ITK mends or passes over what is wrong with a header, and hands its fields to C; here every field is checked first, and
voxels are exactly as many as it announces. Spaces of the body (RAS, LAS, LPS) become RAS+ millimetres; a header that
names none leaves the orientation unstated, and it is read as LPS, as ITK reads it.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from ..grid import Array, Floats
from ..volume import Origin, Volume
from .base import Format, ReadOptions, check_dimensions, check_spacing, make_volume
from .itk_writing import write
from .text_header import (
    MILLIMETRES,
    TextHeader,
    data_files,
    read_files,
    read_start,
    read_text_numbers,
    voxel_count,
)
from .time_points import chosen_time, time_point

_TYPES: dict[np.dtype[Any], str] = {
    np.dtype(np.int8): "signed char|int8|int8_t",
    np.dtype(np.uint8): "uchar|unsigned char|uint8|uint8_t",
    np.dtype(np.int16): "short|short int|signed short|signed short int|int16|int16_t",
    np.dtype(np.uint16): "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    np.dtype(np.int32): "int|signed int|int32|int32_t",
    np.dtype(np.uint32): "uint|unsigned int|uint32|uint32_t",
    np.dtype(np.int64): "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    np.dtype(np.uint64): "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    np.dtype(np.float32): "float",
    np.dtype(np.float64): "double",
}
_DTYPES = {name: dtype for dtype, names in _TYPES.items() for name in names.split("|")}
_PACKINGS = {"raw": None, "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXT = {"ascii", "text", "txt"}
_RAS_SIGNS = {"right": 1, "left": -1, "anterior": 1, "posterior": -1, "superior": 1, "inferior": -1}
_SHORT_SPACES = {
    "ras": "right-anterior-superior",
    "las": "left-anterior-superior",
    "lps": "left-posterior-superior",
}
_VECTOR = re.compile(r"\(([^()]*)\)|none", re.IGNORECASE)
_VALUE_KINDS = re.compile(
    r"vector|color|colour|complex|list|matrix|tensor|normal|gradient|quaternion|point|stub|scalar"
)


def recognises(start: bytes) -> bool:
    """Whether a file that begins so is an NRRD."""
    return start.startswith(b"NRRD000")


def read(path: Path, options: ReadOptions) -> Volume:
    """Read one volume (X, Y, Z), dtype as stored.

    Raises:
        FormatError: a field that is missing, no number or impossible; voxels that are too few, too many or damaged;
            not 3-D, several values a voxel; a data file that is missing or outside the folder.
    """
    header = _header(path)
    sizes = header.wholes("sizes", header.whole("dimension"))
    count = voxel_count(sizes, header)
    _check_values(header, sizes)
    shape = check_dimensions(tuple(sizes), path)
    time = chosen_time(tuple(sizes), path, options.time)
    dtype = _dtype(header)
    options.memory.require(count * dtype.itemsize, str(path))
    affine, orientation_stated, spacing_stated = _affine(header, len(sizes))
    array = time_point(_voxels(header, dtype, count, options), shape, time)
    volume = make_volume(array, affine, path, Origin(path, "nrrd"))
    return replace(volume, orientation_stated=orientation_stated, spacing_stated=spacing_stated)


def files(path: Path, options: ReadOptions) -> list[Path]:
    """The header, and the files of its voxels."""
    header = _header(path)
    where = header.fields.get("datafile")
    return [path] if where is None else [path, *data_files(header, where, options)]


def _header(path: Path) -> TextHeader:
    start = read_start(path)
    if not recognises(start):
        raise FormatError(f"{path} is not an NRRD file; it may be another kind of file under that name.")
    blank = re.search(rb"\r?\n\r?\n", start)
    text = start if blank is None else start[: blank.start()]
    if blank is None and len(start) > 1000 and path.suffix.lower() != ".nhdr":
        raise FormatError(f"{path} has a damaged header: it does not end, or is far too long; copy it again.")
    header = TextHeader(path, {}, len(start) if blank is None else blank.end())
    fields: dict[str, str] = {}
    lines = text.decode("latin-1").splitlines()[1:]
    for number, line in enumerate(lines, start=1):
        name, colon, value = line.partition(":")
        if line.startswith("#") or value.startswith("=") or not line.strip():
            continue
        name = re.sub(r"[ _-]", "", name.strip().lower())
        if not colon or name in fields:
            raise header.damaged(f'it says "{name[:40]}" twice' if colon else f'its line "{line[:40]}" is no field')
        fields[name] = value.strip()
        if name == "datafile" and value.split()[:1] == ["LIST"]:
            return replace(header, fields=fields, lines=tuple(lines[number:]))
    return replace(header, fields=fields)


def _check_values(header: TextHeader, sizes: list[int]) -> None:
    """Refuse an axis that holds values of one voxel instead of voxels."""
    kinds = header.fields.get("kinds", "").lower().split()
    for axis, kind in enumerate(kinds[: len(sizes)]):
        if sizes[axis] > 1 and _VALUE_KINDS.search(kind) and not (axis == len(sizes) - 1 == 3 and kind == "list"):
            raise FormatError(
                f"{header.path} holds {sizes[axis]} values a voxel (RGB or a vector); "
                "a volume needs one grey value a voxel, so convert it first."
            )


def _dtype(header: TextHeader) -> np.dtype[Any]:
    name = " ".join(header.text("type").lower().split())
    dtype = _DTYPES.get(name)
    if dtype is None:
        raise header.damaged(f'"{name[:40]}" is no data type of voxels')
    if dtype.itemsize == 1 or header.text("encoding").lower() in _TEXT:
        return dtype
    order = header.text("endian").lower()
    if order not in ("little", "big"):
        raise header.damaged("endian should be little or big")
    return dtype.newbyteorder("<" if order == "little" else ">")


def _voxels(header: TextHeader, dtype: np.dtype[Any], count: int, options: ReadOptions) -> Array:
    encoding = header.text("encoding").lower()
    line_skip, byte_skip = header.whole("lineskip", 0), header.whole("byteskip", 0)
    if line_skip < 0 or byte_skip < -1 or (byte_skip == -1 and encoding != "raw"):
        raise header.damaged("byte skip or line skip is impossible")
    where = header.fields.get("datafile")
    files = [header.path] if where is None else data_files(header, where, options)
    start = header.end if where is None else 0
    if encoding in _TEXT:
        if len(files) > 1:
            raise header.damaged("voxels written as text lie in several files")
        options.memory.require(100 * count, str(header.path))
        return read_text_numbers(files[0], header, dtype, count, _after_lines(files[0], start, line_skip) + byte_skip)
    if encoding not in _PACKINGS:
        raise FormatError(
            f'{header.path} stores its voxels as "{encoding[:40]}", which is not supported; save it as raw or gzip.'
        )
    packing = _PACKINGS[encoding]
    if packing is not None and byte_skip:
        raise FormatError(f"{header.path} skips bytes of compressed voxels, which is not supported; save it anew.")
    share = count // len(files) * dtype.itemsize
    starts = [
        file.stat().st_size - share if byte_skip == -1 else _after_lines(file, start, line_skip) + byte_skip
        for file in files
    ]
    if any(first < start for first in starts):
        raise FormatError(f"{header.path} is truncated: voxels are missing; copy it again.")
    return read_files(files, header, dtype, count, starts=starts, packing=packing)


def _after_lines(file: Path, start: int, lines: int) -> int:
    """The byte after so many lines."""
    if not lines:
        return start
    with file.open("rb") as stream:
        stream.seek(start)
        text = stream.read(1 << 20)
    ends = [match.end() for match in re.finditer(rb"\n", text)]
    return start + (ends[lines - 1] if lines <= len(ends) else len(text) + 1)


def _affine(header: TextHeader, dimension: int) -> tuple[Floats, bool, bool]:
    """Voxel index -> RAS+ millimetres of the first three axes; and whether orientation and spacing are stated."""
    space = header.fields.get("space", "").lower()
    signs = _signs(space)
    to_ras = np.diag([-1.0, -1.0, 1.0] if signs is None else signs)
    affine = np.eye(4)
    if "spacedirections" in header.fields:
        columns = _directions(header, dimension)[:3]
        if any(column is None for column in columns):
            raise header.damaged("space directions should place the first three axes")
        units = _units(header, "spaceunits", 3)
        affine[:3, :3] = np.array(columns).T * units[:, np.newaxis]
        check_spacing(np.linalg.norm(affine[:3, :3], axis=0), header.path)
        affine[:3, 3] = _vector(header, "space origin", header.fields.get("spaceorigin", "(0,0,0)")) * units
        affine[:3] = to_ras @ affine[:3]
        return affine, signs is not None, True
    spacings = header.numbers("spacings", dimension)[:3] if "spacings" in header.fields else [1.0, 1.0, 1.0]
    check_spacing(spacings, header.path)
    affine[:3, :3] = np.diag(spacings * _units(header, "units", dimension)[:3])
    if "spaceorigin" in header.fields:
        affine[:3, 3] = _vector(header, "space origin", header.fields["spaceorigin"])
    elif "axismins" in header.fields:
        affine[:3, 3] = np.nan_to_num(header.numbers("axismins", dimension)[:3], posinf=np.inf)
    affine[:3] = to_ras @ affine[:3]
    return affine, False, "spacings" in header.fields


def _signs(space: str) -> list[float] | None:
    """+1 or -1 of each axis of a space of the body against RAS; None for a space that is none."""
    name = space.removesuffix("-time")
    words = _SHORT_SPACES.get(name.removesuffix("t") if len(name) == 4 else name, name).split("-")
    known = len(words) == 3 and [word[:1] in pair for word, pair in zip(words, ("rl", "ap", "si"), strict=True)]
    if not known or not all(known) or any(word not in _RAS_SIGNS for word in words):
        return None
    return [float(_RAS_SIGNS[word]) for word in words]


def _directions(header: TextHeader, dimension: int) -> list[Floats | None]:
    text = header.fields["spacedirections"]
    entries = [match.group(0) for match in _VECTOR.finditer(text)]
    if len(entries) != dimension or re.sub(r"\s", "", _VECTOR.sub("", text)):
        raise header.damaged(f"space directions should hold {dimension} vectors")
    return [None if entry.lower() == "none" else _vector(header, "space directions", entry) for entry in entries]


def _vector(header: TextHeader, name: str, text: str) -> Floats:
    words = text.strip().removeprefix("(").removesuffix(")").split(",")
    count = 4 if header.fields.get("space", "").lower().endswith("time") or len(words) == 4 else 3
    return np.array(header.parse_numbers(name, [word.strip() for word in words], count)[:3])


def _units(header: TextHeader, name: str, count: int) -> Floats:
    """Millimetres in each axis's unit; what is not known is taken for millimetres."""
    words = re.findall(r'"([^"]*)"', header.fields.get(name, ""))
    words += [""] * (count - len(words))
    return np.array([MILLIMETRES.get(word.strip().lower(), 1.0) for word in words[:count]])


NRRD = Format("nrrd", (".nrrd", ".nhdr"), recognises, read, write, (".nrrd",), files)
