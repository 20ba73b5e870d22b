"""A request's question as a short text: two calls with the same one give the same masks of the same files."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from .. import __version__
from ..adapters.shipped import NONE, find_adapter
from ..files import sha256
from ..imaging.formats.dicom_file import files_below
from .request import SegmentRequest

# What decides where and how an answer is shown, not what it is.
_ELSEWHERE = frozenset({"output", "preview", "force", "device", "max_gigabytes", "slices"})


def question_digest(request: SegmentRequest) -> str:
    """SHA-256 of what is asked of which files, and by which version.

    The image's files and those of a model's folder count by size and time of change; markups and an adapter, which are
    small, by what they hold, so that copies of them on several machines are one.

    Raises:
        AdapterError: there is no such adapter.
    """
    question_values = asked_values(request) | {
        "version": __version__,
        "image_state": _states(request.image_files),
        "model_state": _states(files_below(folder) if (folder := Path(request.model).expanduser()).is_dir() else ()),
        "contents": _contents(request),
    }
    return hashlib.sha256(json.dumps(question_values, sort_keys=True).encode()).hexdigest()


def asked_values(request: SegmentRequest) -> dict[str, Any]:
    """What a request asks, by the names of its fields, as JSON; without what decides where and how it is shown."""
    return {
        field.name: _plain(getattr(request, field.name)) for field in fields(request) if field.name not in _ELSEWHERE
    }


def _states(files: Iterable[Path]) -> list[list[str | float]]:
    """Name, size and time of change of files; those that cannot be looked at are left out."""
    states: list[list[str | float]] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        states.append([str(file), status.st_size, status.st_mtime_ns])
    return states


def _contents(request: SegmentRequest) -> list[str]:
    """SHA-256 of the markups, and of the adapter's files by name."""
    adapter = None if request.adapter in (None, NONE) else find_adapter(request.adapter)
    files = ([] if request.markups is None else [request.markups]) + ([] if adapter is None else files_below(adapter))
    return [f"{file.name} {sha256(file)}" for file in files if file.is_file()]


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
