"""Files that are either whole or absent: write to a temporary name, then rename."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import OutputError


@contextmanager
def replacing(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place, on failure nothing is left.

    The temporary name keeps the suffixes of `path`, since writers choose a format by them. The body may
    make a file or a folder there.

    Raises:
        OutputError: `path` exists and `force` is False, or its folder cannot be written.
    """
    path = Path(path)
    check_writable(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=".partial-", dir=path.parent))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    temporary = holder / path.name
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def check_writable(path: Path, *, force: bool = True) -> None:
    """Refuse early, before any long computation, a path that could not be written later.

    Raises:
        OutputError: it exists and `force` is False, or the nearest existing parent is no writable folder.
    """
    path = Path(path)
    if path.exists() and not force:
        raise OutputError(f"{path} exists already; use --force to replace it, or choose another name.")
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{path} cannot be written: {parent} is not a folder.")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: no permission to write in {parent}.")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
