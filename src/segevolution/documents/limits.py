"""Limits on the size of a document, and a reader of its bytes that enforces the first of them."""

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .faults import DocumentFault


@dataclass(frozen=True)
class Limits:
    """Bounds of a document, checked before values are built from it.

    Attributes:
        bytes: of the file.
        depth: of lists and objects within each other.
        items: of all lists and objects together, aliases expanded.
        digits: of a whole number; 18 digits fit into 64 bits.
    """

    bytes: int = 64 * 2**20
    depth: int = 50
    items: int = 1_000_000
    digits: int = 18


JSON_LIMITS = Limits()
YAML_LIMITS = Limits(bytes=2**20, items=100_000)

# A float64 that is written out in full, with its exponent, is shorter.
_LONGEST_NUMBER = 1100


def read_bytes(path: Path, limits: Limits) -> bytes:
    """The content of a plain file.

    Raises:
        DocumentFault: it is missing, unreadable, no plain file (a folder, pipe or device), or too large.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise DocumentFault("is no plain file; check the path")
        if status.st_size > limits.bytes:
            raise too_large(status.st_size, limits)
        with Path(path).open("rb") as stream:
            content = stream.read(limits.bytes + 1)
    except FileNotFoundError as error:
        raise DocumentFault("cannot be read: there is no such file") from error
    except (OSError, ValueError) as error:
        raise DocumentFault(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > limits.bytes:
        raise too_large(len(content), limits)
    return content


def decode(content: str | bytes, limits: Limits) -> str:
    """Text of UTF-8 bytes, a byte order mark left out; DocumentFault where it is none or too large."""
    if isinstance(content, str):
        if len(content) > limits.bytes:
            raise too_large(len(content), limits)
        return content.removeprefix("\ufeff")
    if len(content) > limits.bytes:
        raise too_large(len(content), limits)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DocumentFault(f"is not UTF-8 text (byte {error.start + 1}); save it as UTF-8") from error


def too_large(size: int, limits: Limits) -> DocumentFault:
    """The fault of a document of more bytes than its limit."""
    return DocumentFault(f"has {size:,} bytes or more, and at most {limits.bytes:,} are read; it is another file")


def too_deep(limits: Limits) -> DocumentFault:
    """The fault of a document whose values lie too deep."""
    return DocumentFault(f"has values more than {limits.depth} levels deep, which nothing here has")


def too_many(limits: Limits) -> DocumentFault:
    """The fault of a document of too many values."""
    return DocumentFault(f"holds more than {limits.items:,} values, which is more than are read")


def whole_number(text: str, limits: Limits) -> int:
    """An integer of a bounded number of digits, in decimal; DocumentFault where it has more."""
    if len(text.lstrip("+-")) > limits.digits:
        raise DocumentFault(f"holds a whole number of more than {limits.digits} digits ({text[:12]}...)")
    return int(text)


def finite_number(text: str) -> float:
    """A float; DocumentFault where it is not finite or absurdly long."""
    value = float(text) if len(text) <= _LONGEST_NUMBER else float("inf")
    if value in (float("inf"), float("-inf")) or value != value:
        raise DocumentFault(f"holds a number that is too large ({text[:12]})")
    return value


def check_texts(value: Any) -> None:
    """Refuse texts that no name or path may hold: the character NUL, and halves of surrogate pairs."""
    remaining = [value]
    while remaining:
        item = remaining.pop()
        if isinstance(item, str):
            if "\x00" in item or any("\ud800" <= character <= "\udfff" for character in item):
                escaped = item.encode("unicode_escape").decode()[:40]
                raise DocumentFault(f'holds a text with a character that is none ("{escaped}")')
        elif isinstance(item, dict):
            remaining += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            remaining += item
