"""The one way to read a JSON or YAML file that a person or a disk gives: limits, then syntax, then a schema.

    class Header(Document):
        labels: dict[str, int]

    header = read_json(path, Header, error=StoreError)

Whatever is wrong is one sentence that names the file, the place in it and what was expected there, raised as the error
class of the caller. Limits (bytes, depth, items, digits) are checked before anything is built from the text, values
are never turned into another type, and NaN, infinity and a key that stands twice are refused.
"""

import json
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import SegevolutionError
from .faults import DocumentFault
from .json_text import parse_json
from .limits import JSON_LIMITS, YAML_LIMITS, Limits, read_bytes
from .sentences import validation_sentence
from .yaml_text import parse_yaml

__all__ = [
    "JSON_LIMITS",
    "YAML_LIMITS",
    "Document",
    "Limits",
    "check",
    "json_from_text",
    "read_json",
    "read_yaml",
    "yaml_from_text",
]

Value = TypeVar("Value")


class Document(BaseModel):
    """Base of a schema whose keys are all known: another key is refused by name, with the nearest known one.

    A schema of a file that others write, where more keys may stand, sets `model_config = ConfigDict(extra="ignore")`.
    Leave out `model_validator(mode="before")`: below one, pydantic no longer takes a list for a tuple.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_json(
    path: Path,
    schema: type[Value] | TypeAdapter[Value],
    *,
    error: type[SegevolutionError],
    limits: Limits = JSON_LIMITS,
    strict: bool = True,
) -> Value:
    """Read a JSON file as a schema says.

    Args:
        schema: a pydantic model, a dataclass, a type such as `dict[str, list[int]]`, or a TypeAdapter.
        error: the class that is raised.
        strict: refuse values of another type, such as "1" for a number.

    Raises:
        error: the file is missing, unreadable, no plain file, beyond a limit, not UTF-8, not JSON, or not as the
            schema says.
    """
    try:
        return _validated(parse_json(read_bytes(path, limits), limits), schema, strict)
    except DocumentFault as fault:
        raise error(fault.sentence(str(path))) from fault.__cause__


def read_yaml(
    path: Path,
    schema: type[Value] | TypeAdapter[Value],
    *,
    error: type[SegevolutionError],
    limits: Limits = YAML_LIMITS,
    strict: bool = True,
) -> Value:
    """Read a YAML file of one document as a schema says; see `read_json`.

    Scalars are those of YAML 1.2: `1e-3` is a number, `no`, `12:30` and `007` are text, and there are no dates. Keys
    are text. Anchors and merge keys are expanded, within the limit of items; other tags than `!!str` are refused.
    """
    try:
        return _validated(parse_yaml(read_bytes(path, limits), limits), schema, strict)
    except DocumentFault as fault:
        raise error(fault.sentence(str(path))) from fault.__cause__


def json_from_text(
    text: str | bytes,
    schema: type[Value] | TypeAdapter[Value],
    *,
    where: str,
    error: type[SegevolutionError],
    limits: Limits = JSON_LIMITS,
    strict: bool = True,
) -> Value:
    """`read_json` of text that is in memory; `where` names it in the sentence."""
    try:
        return _validated(parse_json(text, limits), schema, strict)
    except DocumentFault as fault:
        raise error(fault.sentence(where)) from fault.__cause__


def yaml_from_text(
    text: str | bytes,
    schema: type[Value] | TypeAdapter[Value],
    *,
    where: str,
    error: type[SegevolutionError],
    limits: Limits = YAML_LIMITS,
    strict: bool = True,
) -> Value:
    """`read_yaml` of text that is in memory; `where` names it in the sentence."""
    try:
        return _validated(parse_yaml(text, limits), schema, strict)
    except DocumentFault as fault:
        raise error(fault.sentence(where)) from fault.__cause__


def check(
    value: Any,
    schema: type[Value] | TypeAdapter[Value],
    *,
    where: str,
    error: type[SegevolutionError],
    strict: bool = True,
) -> Value:
    """Hold a plain value (what JSON can say) against a schema, as `read_json` does.

    `where` names the value in the sentence.
    """
    try:
        return _validated(value, schema, strict)
    except DocumentFault as fault:
        raise error(fault.sentence(where)) from fault.__cause__


@lru_cache(maxsize=128)
def _adapter_of(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def _validated(value: Any, schema: type[Value] | TypeAdapter[Value], strict: bool) -> Value:
    adapter: TypeAdapter[Value] = schema if isinstance(schema, TypeAdapter) else _adapter_of(cast(Hashable, schema))
    try:
        # As JSON, since only there strictness lets a list be a tuple and a text an enumeration's member.
        return adapter.validate_json(json.dumps(value, allow_nan=False), strict=strict)
    except ValidationError as error:
        raise DocumentFault(validation_sentence(error, value, schema)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentFault(f"holds a value that JSON cannot say ({error})") from error
