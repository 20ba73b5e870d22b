"""Headers of text (NRRD, MetaImage): their fields, whole or finite numbers, and the files that they name.

Nothing of a header is handed to a library: a field that is no number, or not as many as it should be, is refused by
its name, and names of files are checked to lie in the header's own folder and never used to format anything.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError
from .base import ReadOptions
from .stored_bytes import require_regular, stored_bytes

LONGEST_HEADER = 1 << 20
_MOST_FILES = 100_000
_LONGEST_NUMBER = 64  # bytes of a voxel written as text
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_PATTERN = re.compile(r"([^%]*)%(0?)([0-9]{0,2})d([^%]*)")

MILLIMETRES = {"mm": 1.0, "millimeter": 1.0, "millimetre": 1.0, "cm": 10.0, "m": 1000.0}
MILLIMETRES |= {"um": 0.001, "µm": 0.001, "μm": 0.001, "micron": 0.001, "microns": 0.001}


@dataclass(frozen=True)
class TextHeader:
    """The fields of a header.

    Attributes:
        path: of the header.
        fields: name -> value, both without spaces round them.
        end: the byte after the header, where attached voxels begin.
        lines: what follows the last field, where that is a list of files.
    """

    path: Path
    fields: Mapping[str, str]
    end: int
    lines: tuple[str, ...] = ()

    def damaged(self, reason: str) -> FormatError:
        """The sentence for a header that cannot be right."""
        return FormatError(f"{self.path} has a damaged header: {reason}; copy it again.")

    def text(self, name: str) -> str:
        """A field that must be there."""
        value = self.fields.get(name, "")
        if not value:
            raise self.damaged(f"it does not say {name}")
        return value

    def whole(self, name: str, default: int | None = None) -> int:
        """A field of one whole number."""
        if name not in self.fields and default is not None:
            return default
        return self.wholes(name, 1)[0]

    def wholes(self, name: str, count: int | None = None) -> list[int]:
        """A field of whole numbers, `count` of them."""
        words = self.text(name).split()
        if any(not _WHOLE.fullmatch(word) for word in words):
            raise self.damaged(f"a number in it cannot be read ({name})")
        if count is not None and len(words) != count:
            raise self.damaged(f"{name} should hold {count} numbers")
        return [int(word) for word in words]

    def numbers(self, name: str, count: int) -> list[float]:
        """A field of numbers, `count` of them; NaN and infinity are for the caller to judge."""
        return self.parse_numbers(name, self.text(name).split(), count)

    def parse_numbers(self, name: str, words: list[str], count: int) -> list[float]:
        """Words of a field as numbers."""
        try:
            values = [float(word) for word in words]
        except ValueError:
            raise self.damaged(f"a number in it cannot be read ({name})") from None
        if len(values) != count or any("_" in word for word in words):
            raise self.damaged(f"{name} should hold {count} numbers")
        return values

    def choice(self, name: str, default: bool) -> bool:
        """A field of True or False."""
        value = self.fields.get(name, str(default)).lower()
        if value not in ("true", "false", "1", "0"):
            raise self.damaged(f"{name} should be True or False")
        return value in ("true", "1")


def read_start(path: Path) -> bytes:
    """As much of a file as its header may take."""
    with stored_bytes(path, path) as stream:
        return stream.read(LONGEST_HEADER)


def data_files(header: TextHeader, value: str, options: ReadOptions) -> list[Path]:
    """The files that a detached header names: one, a LIST in its last lines, or a numbered pattern.

    Args:
        value: of the field that names them.

    Raises:
        FormatError: one is missing, no regular file, or lies outside the header's folder and `allow_outside` is not
            set; a list is empty, or a pattern is none.
    """
    words = value.split()
    if words and words[0].upper() == "LIST":
        names = [line.strip() for line in header.lines if line.strip()]
        if not names:
            raise header.damaged("it announces a list of data files and names none")
    elif len(words) in (4, 5) and "%" in words[0] and all(_WHOLE.fullmatch(word) for word in words[1:]):
        names = _numbered(header, words[0], *(int(word) for word in words[1:4]))
    else:
        names = [value]
    if len(names) > _MOST_FILES:
        raise header.damaged(f"it names {len(names)} data files")
    return [_inside(header, name, options) for name in names]


def _numbered(header: TextHeader, pattern: str, first: int, last: int, step: int) -> list[str]:
    match = _PATTERN.fullmatch(pattern)
    if match is None or step == 0 or abs(last - first) // abs(step) > _MOST_FILES or first < 0 or last < 0:
        raise header.damaged(f"{_shown(pattern)} is no pattern of numbered data files")
    before, zero, width, after = match.groups()
    numbers = range(first, last + (1 if step > 0 else -1), step)
    names = [before + str(number).rjust(int(width or 0), "0" if zero else " ") + after for number in numbers]
    if not names:
        raise header.damaged("its pattern of numbered data files names none")
    return names


def _inside(header: TextHeader, name: str, options: ReadOptions) -> Path:
    if "\0" in name or len(name) > 4096:
        raise header.damaged("the name of its data file cannot be one")
    folder = header.path.parent
    file = folder / name
    try:
        outside = not file.resolve().is_relative_to(folder.resolve())
        missing = not file.exists()
    except (OSError, RuntimeError, ValueError):
        outside, missing = False, True
    if outside and not options.allow_outside:
        raise FormatError(
            f"{header.path} names a data file outside its own folder ({_shown(name)}), which is not read; if you trust "
            "it, allow that with --allow-outside."
        )
    if missing:
        raise FormatError(f"{header.path} is incomplete: its data file {_shown(name)} is not beside it.")
    require_regular(file, header.path)
    return file


def _shown(name: str) -> str:
    printable_name = name if name.isprintable() else name.encode("unicode_escape").decode()
    return printable_name if len(printable_name) <= 120 else printable_name[:117] + "..."


def voxel_count(sizes: list[int], header: TextHeader) -> int:
    """How many voxels the sides announce; refuses a side below 1."""
    if any(side < 1 for side in sizes):
        raise FormatError(f"{header.path} is empty ({' x '.join(map(str, sizes))} voxels).")
    return math.prod(sizes)


def read_files(
    files: list[Path],
    header: TextHeader,
    dtype: np.dtype[Any],
    count: int,
    *,
    starts: list[int],
    packing: str | None,
    packed_size: int | None = None,
) -> np.ndarray:
    """Voxels (count,) of one file, or of several that hold equal shares.

    Args:
        starts: first byte of the voxels in each file.
        packing: as for `StoredBytes`.
        packed_size: compressed bytes that the header announces, if it does.

    Raises:
        FormatError: too few or too many bytes, or damaged ones.
    """
    if count % len(files):
        raise header.damaged(f"{count} voxels cannot be shared among {len(files)} data files")
    share = count // len(files) * dtype.itemsize
    parts = []
    for file, start in zip(files, starts, strict=True):
        with stored_bytes(file, header.path, start=start, packing=packing) as stream:
            if packed_size is not None:
                stream.require_packed_size(packed_size)
            parts.append(stream.exactly(share))
            stream.require_end()
    array = np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype)
    return array.astype(dtype.newbyteorder("="), copy=False)


def read_text_numbers(file: Path, header: TextHeader, dtype: np.dtype[Any], count: int, start: int) -> np.ndarray:
    """Voxels (count,) written as decimal numbers."""
    with stored_bytes(file, header.path, start=start) as stream:
        if stream.packed_size > _LONGEST_NUMBER * count:
            raise header.damaged(f"{file.name} holds more voxels than it announces")
        words = stream.read(stream.packed_size).replace(b",", b" ").split()
    if len(words) < count:
        raise FormatError(f"{header.path} is truncated: voxels are missing at the end of {file.name}; copy it again.")
    if len(words) > count:
        raise header.damaged(f"{file.name} holds more voxels than it announces")
    try:
        wide = np.array(words).astype(np.float64 if dtype.kind == "f" else np.int64)
    except (ValueError, OverflowError):
        raise header.damaged("a voxel in it is no number") from None
    narrow = wide.astype(dtype)
    if dtype.kind != "f" and (narrow != wide).any():
        raise header.damaged("a voxel in it does not fit its data type")
    return narrow
