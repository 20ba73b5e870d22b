"""YAML text into plain values, within limits and without recursion: nothing but what JSON can say comes out.

Built from the parser's events, so depth, items and aliases are counted as they come (a "billion laughs" stops at the
limit). Scalars follow the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2, section 10.3), where `no` is a text
and `1e-3` a number; a number with zeros in front stays a text, since it is somebody's name for a patient.
"""

import copy
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from .faults import DocumentFault
from .limits import Limits, check_texts, decode, finite_number, too_deep, too_many, whole_number

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAGS = ("tag:yaml.org,2002:str", "!")
_CONTAINER_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!")
_NULLS = ("", "~", "null", "Null", "NULL")
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?(?:0|[1-9](?:_?[0-9])*)")
_HEXADECIMAL, _OCTAL = re.compile(r"0x[0-9a-fA-F]+"), re.compile(r"0o[0-7]+")
_REAL = re.compile(r"[-+]?(?:\.[0-9]+|(?:0|[1-9](?:_?[0-9])*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MERGE = "<<"
_NO_KEY: Any = object()


def parse_yaml(content: str | bytes, limits: Limits) -> Any:
    """The value of a YAML text of one document: None, truth values, numbers, texts, lists and dictionaries.

    Raises:
        DocumentFault: it is beyond a limit, not UTF-8, not YAML, has several documents, a tag, NaN, or a key twice.
    """
    text = decode(content, limits)
    builder = _Builder(limits)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise DocumentFault(f"is not valid YAML{line}; check its indentation and brackets") from error
    check_texts(builder.root)
    return builder.root


@dataclass
class _Open:
    """A list or dictionary whose end has not come yet."""

    value: list[Any] | dict[str, Any]
    anchor: str | None
    line: int
    items_before: int
    key: Any = _NO_KEY
    deepest: int = 1
    merged: dict[str, Any] = field(default_factory=dict)


class _Builder:
    """Builds one document from a parser's events."""

    def __init__(self, limits: Limits) -> None:
        self.root: Any = None
        self._limits = limits
        self._open: list[_Open] = []
        self._anchors: dict[str, tuple[Any, int, int]] = {}  # name -> value, its items, its depth
        self._items = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        """Add what one event of the parser says."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise DocumentFault(f"holds several documents (line {line}); keep one")
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._begin(event, line)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._end()
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line)

    def _begin(self, event: Any, line: int) -> None:
        if event.tag is not None and event.tag not in _CONTAINER_TAGS:
            raise _tag_fault(event.tag, line)
        if self._awaits_key():
            raise DocumentFault(f"has a list or an object as a key (line {line}); a key is a text")
        value: list[Any] | dict[str, Any] = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        self._open.append(_Open(value, event.anchor, line, self._items))
        if len(self._open) > self._limits.depth:
            raise too_deep(self._limits)
        self._count(1)

    def _end(self) -> None:
        closed = self._open.pop()
        if isinstance(closed.value, dict):
            closed.value = closed.merged | closed.value  # what is written there wins over what is merged
        if closed.anchor is not None:
            self._anchors[closed.anchor] = (closed.value, self._items - closed.items_before, closed.deepest)
        self._add(closed.value, closed.line, closed.deepest)

    def _scalar(self, event: Any, line: int) -> None:
        self._count(1)
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            raise _tag_fault(event.tag, line)
        plain = event.tag is None and event.style in (None, "")
        value = event.value if not plain or self._awaits_key() else _resolve(event.value, line, self._limits)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1, 0)
        self._add(value, line, 0)

    def _alias(self, event: Any, line: int) -> None:
        if event.anchor not in self._anchors:
            raise DocumentFault(f"refers to *{event.anchor[:40]} (line {line}), which is not defined before it")
        value, items, depth = self._anchors[event.anchor]
        self._count(items)
        if len(self._open) + depth > self._limits.depth:
            raise too_deep(self._limits)
        self._add(copy.deepcopy(value), line, depth)

    def _awaits_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._open[-1].key is _NO_KEY

    def _add(self, value: Any, line: int, depth: int) -> None:
        if not self._open:
            self.root = value
            return
        parent = self._open[-1]
        parent.deepest = max(parent.deepest, depth + 1)
        if isinstance(parent.value, list):
            parent.value.append(value)
        elif parent.key is _NO_KEY:
            if not isinstance(value, str):
                raise DocumentFault(f"has a key that is no text (line {line})")
            parent.key = value
        else:
            _put(parent, value, line)
            parent.key = _NO_KEY

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > self._limits.items:
            raise too_many(self._limits)


def _put(parent: _Open, value: Any, line: int) -> None:
    """Give the key that waits its value."""
    assert isinstance(parent.value, dict)
    if parent.key != _MERGE:
        if parent.key in parent.value:
            raise DocumentFault(
                f'has the key "{parent.key[:60]}" twice in one object (line {line}); keep one of the two'
            )
        parent.value[parent.key] = value
        return
    for source in value if isinstance(value, list) else [value]:
        if not isinstance(source, dict):
            raise DocumentFault(f"merges (<<) what is no object (line {line})")
        parent.merged = source | parent.merged


def _resolve(text: str, line: int, limits: Limits) -> Any:
    """What a plain scalar means."""
    if text in _NULLS:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _NOT_FINITE.fullmatch(text):
        raise DocumentFault(f"holds {text} (line {line}), which is no finite number")
    if _WHOLE.fullmatch(text):
        return whole_number(text.replace("_", ""), limits)
    for pattern, base in ((_HEXADECIMAL, 16), (_OCTAL, 8)):
        if pattern.fullmatch(text):
            digits = text[2:] if len(text) > 2 + limits.digits else str(int(text, base))
            return whole_number(digits, limits)
    return finite_number(text.replace("_", "")) if _REAL.fullmatch(text) else text


def _tag_fault(tag: str, line: int) -> DocumentFault:
    short = tag.replace("tag:yaml.org,2002:", "!!")[:60]
    return DocumentFault(f"has the tag {short} (line {line}), which is not read; write the value plainly")
