"""What ITK passes over in NRRD and MetaImage files, or only prints: their headers and compressed voxels, checked.

ITK reads a MetaImage whose compressed voxels are damaged as noise, and does not look at the checksum of an NRRD.
"""

import re
import zlib
from pathlib import Path

import numpy as np

from ...errors import FormatError
from .base import check_dimensions, check_spacing

_HEADER_BYTES = 1 << 16
_CHUNK = 1 << 20
_META_BYTES = {
    **{"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "LONG": 4, "ULONG": 4},
    **{"LONG_LONG": 8, "ULONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8},
}
_META_TEXTS = {"BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData"}


def checked_kind(path: Path) -> str:
    """Name the format, "nrrd" or "metaimage"; raises FormatError, one sentence, for what ITK would pass over."""
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    try:
        if start.startswith(b"NRRD000"):
            _check_nrrd(start, path)
            return "nrrd"
        if is_meta(start):
            _check_meta(start, path)
            return "metaimage"
    except ValueError as error:
        raise FormatError(f"{path} has a damaged header: a number in it cannot be read; copy it again.") from error
    raise FormatError(f"{path} is not an NRRD or MetaImage file; it may be another kind of file under that name.")


def is_meta(start: bytes) -> bool:
    """Whether a file that begins so is a MetaImage."""
    return re.search(rb"^\s*(ObjectType|NDims|Comment)\s*=", start[:512], re.MULTILINE) is not None


def _check_nrrd(start: bytes, path: Path) -> None:
    header, blank, _ = start.partition(b"\r\n\r\n" if b"\r\n\r\n" in start.split(b"\n\n", 1)[0] else b"\n\n")
    fields = _fields(header, ":")
    if "spacings" in fields:
        check_spacing([float(word) for word in fields["spacings"].split()], path)
    columns = re.findall(r"\(([^)]*)\)", fields.get("space directions", ""))
    if columns:
        check_spacing([np.linalg.norm([float(word) for word in column.split(",")]) for column in columns], path)
    where = fields.get("data file", fields.get("datafile", ""))
    skips = any(name.replace(" ", "") in ("lineskip", "byteskip") for name in fields)
    if fields.get("encoding", "").lower() in ("gzip", "gz") and not skips:
        if not where and blank:
            _inflate(path, len(header) + len(blank), path)
        elif where and (path.parent / where).is_file():
            _inflate(path.parent / where, 0, path)


def _check_meta(start: bytes, path: Path) -> None:
    fields = _fields(start, "=")
    for name in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if not fields.get(name):
            raise FormatError(f"{path} has a damaged header: it does not say {name}; copy it again.")
    sides = int(fields["NDims"])
    for name, count in (
        ("DimSize", sides),
        ("ElementSpacing", sides),
        ("ElementSize", sides),
        ("Offset", sides),
        ("TransformMatrix", sides * sides),
    ):
        values = [float(word) for word in fields.get(name, "0 " * count).split()]
        if len(values) != count:
            raise FormatError(f"{path} has a damaged header: {name} should hold {count} numbers; copy it again.")
    for name in _META_TEXTS & fields.keys():
        if fields[name].lower() not in ("true", "false", "1", "0"):
            raise FormatError(f"{path} has a damaged header: {name} should be True or False; copy it again.")
    check_dimensions(tuple(int(side) for side in fields["DimSize"].split()), path)
    for name in ("ElementSpacing", "ElementSize"):
        if name in fields:
            check_spacing([float(word) for word in fields[name].split()], path)
    where = fields["ElementDataFile"]
    if where.startswith("LIST") or "%" in where:
        return
    header = 0 if where != "LOCAL" else start.index(b"\n", start.index(b"ElementDataFile")) + 1
    voxels = path if where == "LOCAL" else path.parent / where
    if not voxels.is_file():
        raise FormatError(f"{path} is incomplete: its data file {where} is not beside it.")
    expected = _meta_size(fields)
    if fields.get("CompressedData", "").lower() in ("true", "1"):
        inflated = _inflate(voxels, header, path)
        short = inflated < expected
    else:
        short = voxels.stat().st_size - header < expected
    if short and fields.get("BinaryData", "True").lower() in ("true", "1"):
        raise FormatError(f"{path} is truncated: voxels are missing at the end of {voxels.name}; copy it again.")


def _meta_size(fields: dict[str, str]) -> int:
    """How many bytes of voxels a MetaImage header announces; 0 where its type is not known here."""
    bytes_each = _META_BYTES.get(fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY"), 0)
    channels = int(fields.get("ElementNumberOfChannels", 1))
    return int(np.prod([int(side) for side in fields["DimSize"].split()])) * bytes_each * channels


def _inflate(file: Path, start: int, path: Path) -> int:
    """Unpack zlib or gzip data, keeping nothing, so that its checksum is looked at; returns its length in bytes."""
    unpack, length = zlib.decompressobj(wbits=47), 0
    with file.open("rb") as stream:
        stream.seek(start)
        try:
            while not unpack.eof and (chunk := unpack.unconsumed_tail or stream.read(_CHUNK)):
                length += len(unpack.decompress(chunk, 8 * _CHUNK))
        except zlib.error as error:
            raise FormatError(f"{path} is damaged: its compressed voxels cannot be unpacked; copy it again.") from error
    if not unpack.eof:
        raise FormatError(f"{path} is truncated: voxels are missing at the end of {file.name}; copy it again.")
    return length


def _fields(header: bytes, separator: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in header.decode("latin-1").splitlines():
        name, found, value = line.partition(separator)
        if found:
            fields.setdefault(name.strip(), value.strip().removeprefix("=").strip())
        if name.strip() == "ElementDataFile":
            break
    return fields
