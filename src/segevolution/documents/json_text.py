"""JSON text into plain values, within limits; what RFC 8259 leaves open (NaN, a key twice) is refused."""

import json
import re
from typing import Any, NoReturn

from .faults import DocumentFault
from .limits import Limits, check_texts, decode, finite_number, too_deep, too_many, whole_number

# A text, up to its end or the document's, or one mark. Possessive, so that no text is read twice.
_MARKS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},]', re.DOTALL)


def parse_json(content: str | bytes, limits: Limits) -> Any:
    """The value that a JSON text says: None, truth values, numbers, texts, lists and dictionaries.

    Raises:
        DocumentFault: it is beyond a limit, not UTF-8, not JSON, or holds NaN, infinity or a key twice.
    """
    text = decode(content, limits)
    _check_size(text, limits)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=lambda digits: whole_number(digits, limits),
            parse_float=finite_number,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as error:
        message = error.msg[0].lower() + error.msg[1:]
        reason = "it is empty" if not text.strip() else f"{message}, line {error.lineno}, column {error.colno}"
        raise DocumentFault(f"is not JSON ({reason})") from error
    if "\\u" in text or "\x00" in text:
        check_texts(value)
    return value


def _check_size(text: str, limits: Limits) -> None:
    """Refuse depth and items that are beyond the limits, from the marks outside of texts."""
    opened = text.count("[") + text.count("{")
    if opened <= limits.depth and opened + text.count(",") <= limits.items:
        return
    depth, items = 0, 0
    for match in _MARKS.finditer(text):
        mark = match.group()
        if mark in "[{":
            depth += 1
            items += 1
            if depth > limits.depth:
                raise too_deep(limits)
        elif mark in "]}":
            depth -= 1
        elif mark == ",":
            items += 1
        if items > limits.items:
            raise too_many(limits)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for position, key in enumerate(keys) if key in keys[:position])
        raise DocumentFault(f'has the key "{twice[:60]}" twice in one object; keep one of the two')
    return values


def _refuse_constant(name: str) -> NoReturn:
    raise DocumentFault(f"holds {name}, which is no number of JSON")
