"""The key of a piece of work: a digest of everything that decides its result."""

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """A key: the first 16 hexadecimal digits of the SHA-256 of canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
