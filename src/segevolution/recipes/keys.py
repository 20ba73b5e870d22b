"""The key of a piece of work: a digest of everything that decides its result, noted beside what it left."""

import hashlib
import json
from pathlib import Path
from typing import Any

from ..documents import read_json
from ..errors import RecipeError, SegevolutionError


def digest(value: Any) -> str:
    """A key: the first 16 hexadecimal digits of the SHA-256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def noted_key(path: Path) -> str | None:
    """The key in a note that a finished job left; None where it is missing or damaged, and the job is done again."""
    try:
        note = read_json(path, dict[str, Any], error=RecipeError)
    except SegevolutionError:
        return None
    key = note.get("key")
    return key if isinstance(key, str) else None
