"""Voxels as a file stores them: exactly as many bytes as its header announces, plain or compressed, or a sentence.

A file that holds fewer bytes is truncated, one that holds more has a header that is wrong: both are refused, since
voxels would land in other places than they were measured at. Compressed voxels are unpacked to the end, so that their
checksum is looked at, and never beyond what was announced, so that a file of megabytes cannot fill the memory.
"""

import bz2
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self, cast

from ...errors import FormatError

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_MOST_TRAILING = 1 << 26
_DENSEST = 1100  # bytes that one byte of DEFLATE can unpack to (1032), and some


class _Unpacker(Protocol):
    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def require_regular(file: Path, path: Path) -> int:
    """The size of a file in bytes.

    Args:
        path: the image that needs it, for the sentence.

    Raises:
        FormatError: it is a pipe, a device, or anything else that holds no bytes at rest.
    """
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        part = "it" if file == path else f"its data file {file}"
        raise FormatError(f"{path} cannot be read: {part} is no regular file (a pipe, a device or a folder).")
    return status.st_size


class StoredBytes:
    """The bytes of one file from a place on, unpacked where they are compressed.

    Args:
        file: to be read.
        path: the image it belongs to, for the sentences.
        start: the first byte.
        packing: "gzip" (zlib too), "bzip2", or None; "look" sees whether it begins as gzip does.
    """

    def __init__(self, file: Path, path: Path, *, start: int = 0, packing: str | None = None) -> None:
        self._size = require_regular(file, path)
        self._file, self.path, self._start = file, path, start
        self._stream: BinaryIO = file.open("rb")
        self._stream.seek(start)
        if packing == "look":
            packing = "gzip" if self._stream.read(2) == _GZIP else None
            self._stream.seek(start)
        self._packing = packing
        self._unpacker: _Unpacker | None = _unpacker(packing)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()

    @property
    def packed(self) -> bool:
        """Whether the file is compressed."""
        return self._packing is not None

    @property
    def packed_size(self) -> int:
        """Bytes of the file from the start on, as they lie there."""
        return max(0, self._size - self._start)

    def read(self, count: int) -> bytes:
        """The next bytes; fewer at the end of the file."""
        return b"".join(self._pieces(count))

    def skip(self, count: int) -> None:
        """Pass over bytes.

        Raises:
            FormatError: there are fewer.
        """
        if sum(map(len, self._pieces(count))) < count:
            raise self._truncated()

    def exactly(self, count: int) -> bytearray:
        """The next bytes, so many, and not one less; a caller has checked that the memory holds them.

        Raises:
            FormatError: the file is truncated, or its compressed data are damaged.
        """
        if count > self.packed_size * (_DENSEST if self.packed else 1) and self._packing != "bzip2":
            raise self._truncated()
        buffer, filled = bytearray(count), 0
        for piece in self._pieces(count):
            buffer[filled : filled + len(piece)] = piece
            filled += len(piece)
        if filled < count:
            raise self._truncated()
        return buffer

    def require_end(self) -> None:
        """Raise FormatError where bytes are left, or where the compressed stream ends badly."""
        if self.read(1):
            raise FormatError(
                f"{self.path} has a damaged header: {self._file.name} holds more bytes of voxels than it announces; "
                "copy it again."
            )
        if self._unpacker is not None and not self._unpacker.eof:
            raise self._truncated()

    def to_end(self) -> None:
        """Pass over what is left, so that a compressed stream's checksum is looked at; at most 64 MiB of it."""
        if sum(map(len, self._pieces(_MOST_TRAILING))) < _MOST_TRAILING:
            self.require_end()

    def require_packed_size(self, count: int) -> None:
        """Raise FormatError where the file holds another number of compressed bytes than its header says."""
        if self.packed_size < count:
            raise self._truncated()
        if count != self.packed_size:
            raise FormatError(
                f"{self.path} has a damaged header: it announces {count} compressed bytes, but {self._file.name} "
                f"holds {self.packed_size}; copy it again."
            )

    def _truncated(self) -> FormatError:
        return FormatError(
            f"{self.path} is truncated: voxels are missing at the end of {self._file.name}; copy it again."
        )

    def _pieces(self, count: int) -> Iterator[bytes]:
        while count > 0:
            piece = self._piece(min(count, _CHUNK))
            if not piece:
                return
            count -= len(piece)
            yield piece

    def _piece(self, most: int) -> bytes:
        """Up to `most` bytes; none at the end."""
        if self._unpacker is None:
            return self._stream.read(most)
        while True:
            if self._unpacker.eof and not self._next_member():
                return b""
            packed = self._rest or (self._stream.read(_CHUNK) if _needs_input(self._unpacker) else b"")
            try:
                piece = self._unpacker.decompress(packed, most)
            except (zlib.error, OSError, ValueError, EOFError) as error:
                raise FormatError(
                    f"{self.path} is damaged: its compressed voxels cannot be unpacked; copy it again."
                ) from error
            self._rest = getattr(self._unpacker, "unconsumed_tail", b"")
            if piece:
                return piece
            if not self._unpacker.eof and not packed:
                return b""

    def _next_member(self) -> bool:
        """Whether another gzip member follows the one that has ended; padding of zeros is none."""
        rest = self._unpacker.unused_data if self._unpacker is not None else b""
        rest = (rest or self._stream.read(_CHUNK)).lstrip(b"\0")
        if not rest:
            return False
        if self._packing != "gzip" or not rest.startswith(_GZIP):
            raise FormatError(f"{self.path} is damaged: something else follows its compressed voxels; copy it again.")
        self._unpacker, self._rest = _unpacker(self._packing), rest
        return True


@contextmanager
def stored_bytes(file: Path, path: Path, *, start: int = 0, packing: str | None = None) -> Iterator[StoredBytes]:
    """Open a file as `StoredBytes`; what the disk says against it becomes one sentence."""
    try:
        with StoredBytes(file, path, start=start, packing=packing) as stream:
            yield stream
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {file.name}: {error.strerror or error}.") from error


def _unpacker(packing: str | None) -> _Unpacker | None:
    if packing is None:
        return None
    return cast(_Unpacker, bz2.BZ2Decompressor() if packing == "bzip2" else zlib.decompressobj(wbits=47))


def _needs_input(unpacker: _Unpacker) -> bool:
    return bool(getattr(unpacker, "needs_input", True))
