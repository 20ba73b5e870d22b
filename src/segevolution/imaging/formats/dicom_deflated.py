"""Deflated DICOM (PS3.5 A.5): how much its data set unpacks to, looked at before pydicom unpacks all of it."""

import zlib
from pathlib import Path

from ...memory import MemoryBudget

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_LONG_LENGTHS = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
_CHUNK = 1 << 20


def check_deflated(file: Path, memory: MemoryBudget) -> None:
    """Unpack the data set of a deflated file, keeping nothing; another file is passed over.

    Raises:
        FormatError: it needs more memory than may be used.
        zlib.error: it is damaged.
    """
    with file.open("rb") as stream:
        if _DEFLATED not in stream.read(1024):
            return
        unpack, length = zlib.decompressobj(-zlib.MAX_WBITS), 0
        stream.seek(data_set_start(file))
        while not unpack.eof and (packed := unpack.unconsumed_tail or stream.read(_CHUNK)):
            length += len(unpack.decompress(packed, _CHUNK))
            memory.require(length, str(file))


def data_set_start(file: Path) -> int:
    """The byte after the file meta information: the elements of group 2, always explicit little-endian."""
    with file.open("rb") as stream:
        start = stream.read(1 << 16)
    place = 132
    while start[place : place + 2] == b"\2\0" and place + 12 <= len(start):
        if start[place + 4 : place + 6] in _LONG_LENGTHS:
            place += 12 + int.from_bytes(start[place + 8 : place + 12], "little")
        else:
            place += 8 + int.from_bytes(start[place + 6 : place + 8], "little")
    return place
