"""A request's question as a short text: two calls with the same one give the same masks of the same file."""

import hashlib
import json
from dataclasses import fields
from pathlib import Path

from .. import __version__
from .request import SegmentRequest

# What decides where and how an answer is shown, not what it is.
_ELSEWHERE = frozenset({"output", "preview", "force", "device", "max_gigabytes"})


def question_digest(request: SegmentRequest) -> str:
    """SHA-256 of what is asked of which file, and by which version; the file counts by its size and time of change."""
    question_values = {
        field.name: _plain(getattr(request, field.name)) for field in fields(request) if field.name not in _ELSEWHERE
    }
    text = json.dumps({"version": __version__, "image_state": _state(request.image), **question_values}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _state(image: Path) -> list[float]:
    """Size and time of change of an image; of a folder, its own time."""
    try:
        status = image.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns]


def _plain(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
