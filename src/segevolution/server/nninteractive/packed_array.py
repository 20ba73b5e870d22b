"""Arrays on nnInteractive's wire.

"NNIA", version 1, codec (1 ZSTD, 2 LZ4), dimensions, length of the dtype's name: a byte each; the name; int64 sides;
uint32 number of chunks; then for each chunk uint64 raw length, uint64 packed length, and a blosc2 frame. Little-endian.
"""

import math
import struct
from typing import Any

import blosc2
import numpy as np

from ...imaging.grid import Array
from ..faults import BadRequest, TooLarge

_MAGIC, _VERSION = b"NNIA", 1
_START = struct.Struct("<4sBBBB")
_CHUNK_START = struct.Struct("<QQ")
_CODECS: dict[int, Any] = {1: blosc2.Codec.ZSTD, 2: blosc2.Codec.LZ4}
_LARGEST_CHUNK = 1 << 30
_KINDS = "buif"
_MOST_DIMENSIONS = 4


def pack_array(array: Array) -> bytes:
    """An array in one message; ZSTD, not shuffled, which suits masks best."""
    array = np.ascontiguousarray(array)
    name = array.dtype.name.encode("ascii")
    parts = [_START.pack(_MAGIC, _VERSION, 1, array.ndim, len(name)), name]
    parts.append(struct.pack(f"<{array.ndim}q", *array.shape))
    raw = array.reshape(-1).view(np.uint8).data
    starts = range(0, len(raw), _LARGEST_CHUNK)
    parts.append(struct.pack("<I", len(starts)))
    for start in starts:
        piece = raw[start : start + _LARGEST_CHUNK]
        # The element's own size: with another one, blosc2 cannot read back some chunks of zeros.
        packed = blosc2.compress2(
            piece,
            typesize=array.dtype.itemsize,
            codec=blosc2.Codec.ZSTD,
            clevel=3,
            filters=[blosc2.Filter.NOFILTER],
            nthreads=1,
        )
        parts += [_CHUNK_START.pack(len(piece), len(packed)), packed]
    return b"".join(parts)


def unpack_array(message: bytes, most_bytes: int) -> Array:
    """The array in a message.

    Args:
        most_bytes: that it may take, looked at before anything is allocated.

    Raises:
        BadRequest: it is no such message, or a damaged one, or holds no numbers.
        TooLarge: it takes more.
    """
    try:
        return _unpacked(message, most_bytes)
    except (struct.error, ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise BadRequest("the body is no packed array of nnInteractive's protocol, or a damaged one.") from error


def _unpacked(message: bytes, most_bytes: int) -> Array:
    magic, version, codec, dimensions, name_length = _START.unpack_from(message)
    if magic != _MAGIC or version != _VERSION or codec not in _CODECS or dimensions > _MOST_DIMENSIONS:
        raise ValueError("header")
    place = _START.size
    dtype = np.dtype(message[place : place + name_length].decode("ascii"))
    place += name_length
    shape = struct.unpack_from(f"<{dimensions}q", message, place)
    place += 8 * dimensions
    if dtype.kind not in _KINDS or any(side < 1 for side in shape):
        raise ValueError("dtype or shape")
    total = math.prod(shape) * dtype.itemsize
    if total > most_bytes:
        raise TooLarge(f"the array takes {total / 1e9:.2f} GB; this server takes {most_bytes / 1e9:.2f} GB at most.")
    (chunks,) = struct.unpack_from("<I", message, place)
    place += 4
    lengths = _chunk_lengths(message, place, chunks)
    if sum(raw for raw, _, _ in lengths) != total or any(raw % dtype.itemsize for raw, _, _ in lengths):
        raise ValueError("lengths")
    array = np.empty(total // dtype.itemsize, dtype)
    view, filled = memoryview(message), 0
    for raw, start, packed in lengths:
        frame = view[start : start + packed]
        if blosc2.get_cbuffer_sizes(frame)[0] != raw:
            raise ValueError("frame")
        blosc2.decompress2(frame, dst=array[filled // dtype.itemsize : (filled + raw) // dtype.itemsize])
        filled += raw
    return array.reshape(shape)


def _chunk_lengths(message: bytes, place: int, chunks: int) -> list[tuple[int, int, int]]:
    """(raw length, where its frame starts, packed length) of each chunk, all within the message."""
    lengths = []
    for _ in range(chunks):
        raw, packed = _CHUNK_START.unpack_from(message, place)
        place += _CHUNK_START.size
        if not 0 < raw <= _LARGEST_CHUNK or not 0 < packed <= len(message) - place:
            raise ValueError("chunk")
        lengths.append((raw, place, packed))
        place += packed
    if place != len(message):
        raise ValueError("bytes are left")
    return lengths
