"""One sentence for a schema's refusal: the place in the document, what must stand there, and what does."""

import json
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..vocabulary import did_you_mean

# pydantic's type of an error -> what was expected, in plain words.
_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "an object (keys with values)",
    "mapping_type": "an object (keys with values)",
    "model_type": "an object (keys with values)",
    "model_attributes_type": "an object (keys with values)",
    "dataclass_type": "an object (keys with values)",
    "none_required": "null",
}
_CHOICES = ("literal_error", "enum")
_UNKNOWN_KEYS = ("extra_forbidden", "unexpected_keyword_argument")
_LONGEST_SHOWN = 60


def validation_sentence(error: ValidationError, values: Any, schema: Any) -> str:
    """The end of a sentence that begins with the document's path, without a full stop.

    Of several faults it tells the first; where a value may be of several kinds, what all of these expected.

    Args:
        values: the document.
        schema: what it was held against, for the keys that it knows.
    """
    faults = error.errors(include_url=False)
    places = [_place(_holder(fault), values) for fault in faults]
    # Within one value the branch that came furthest knows best what is wrong.
    deepest_fault = max(
        (number for number, place in enumerate(places) if place[: len(places[0])] == places[0]),
        key=lambda number: (len(places[number]), -number),
    )
    place, fault = places[deepest_fault], faults[deepest_fault]
    name = ".".join(map(_short, place))
    if fault["type"] in ("missing", "missing_argument"):
        return f': "{_short(str(fault["loc"][-1]))}" is missing' + (f' in "{name}"' if name else "")
    if fault["type"] in _UNKNOWN_KEYS:
        key, hint = str(fault["loc"][-1]), _nearest_key(fault["loc"], schema)
        where = f'in "{name}"' if name else "here"
        return f': "{_short(key)}" means nothing {where}{hint}'
    alike = [other for other, where in zip(faults, places, strict=True) if where == place]
    own_fault = next((other for other in alike if other["type"] in ("value_error", "assertion_error")), None)
    if own_fault is not None:
        message = str(own_fault["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
        return f': "{name}": {message}' if name else f": {message}"
    return _expectation(name, alike)


def _holder(fault: Any) -> Sequence[str | int]:
    """Where a fault is: for a key too few or too many, the object that it is about."""
    steps: Sequence[str | int] = fault["loc"]
    return steps[:-1] if fault["type"] in ("missing", "missing_argument", *_UNKNOWN_KEYS) else steps


def _expectation(name: str, faults: Sequence[Any]) -> str:
    expected = list(dict.fromkeys(_expected(fault) for fault in faults))
    alternatives = expected[0] if len(expected) == 1 else f"{', '.join(expected[:-1])} or {expected[-1]}"
    value = faults[0]["input"]
    start = f': "{name}" must be' if name else "must hold"
    return f"{start} {alternatives}, not {shown(value)}{_hint(faults, value)}"


def _expected(fault: Any) -> str:
    if fault["type"] in _CHOICES:
        return str(fault["ctx"]["expected"]).replace("'", '"')
    message = str(fault["msg"]).removeprefix("Input should be ").rstrip(".")
    return _EXPECTED.get(fault["type"], message[:1].lower() + message[1:])


def _hint(faults: Sequence[Any], value: Any) -> str:
    if any(fault["type"] == "string_type" for fault in faults) and isinstance(value, int | float):
        return "; put it in quotes"
    choices = [word for fault in faults if fault["type"] in _CHOICES for word in _words(fault["ctx"]["expected"])]
    hint = did_you_mean(value, choices, "") if isinstance(value, str) and len(value) <= _LONGEST_SHOWN else ""
    return f"; {hint}" if hint else ""


def _nearest_key(steps: Sequence[str | int], schema: Any) -> str:
    """Which of the keys that the schema knows at a place may have been meant, or all of them."""
    known_keys = list(dict.fromkeys(key for model in _models_at(schema, steps[:-1]) for key in _keys(model)))
    hint = did_you_mean(str(steps[-1]), known_keys, f"known are {', '.join(known_keys)}" if known_keys else "")
    return f"; {hint}" if hint else ""


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _models_at(schema: Any, steps: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that a schema allows where an error's steps lead; a step that names a union's branch stays there."""
    kinds = list(_branches(schema))
    for step in steps:
        kinds = [inner for kind in kinds for below in _below(kind, step) for inner in _branches(below)] or kinds
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _branches(kind: Any) -> Iterator[Any]:
    """A type, or those of a union; what annotates it is left out."""
    if get_origin(kind) is Annotated:
        yield from _branches(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for branch in get_args(kind):
            yield from _branches(branch)
    else:
        yield kind


def _below(kind: Any, step: str | int) -> Sequence[Any]:
    """What a type holds at a key or number."""
    arguments = get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [field.annotation for name, field in kind.model_fields.items() if step in (name, field.alias)]
    if not arguments:
        return []
    return arguments[-1:] if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping) else arguments


def _words(expected: str) -> list[str]:
    return [word.strip().strip("'") for part in expected.split(" or ") for word in part.split(",")]


def _short(step: str) -> str:
    """A key as it can stand in a sentence."""
    line = step if step.isprintable() else step.encode("unicode_escape").decode()
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}..."


def shown(value: Any) -> str:
    """A value as a document writes it, if that is short; otherwise what kind it is of."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _place(steps: Sequence[str | int], values: Any) -> tuple[str, ...]:
    """The steps that lead to a value: keys, and items of lists by their "name" or number; union branches left out."""
    path: list[str] = []
    for step in steps:
        if isinstance(step, int) and isinstance(values, list) and step < len(values):
            values = values[step]
            has_name = isinstance(values, Mapping) and isinstance(values.get("name"), str)
            path.append(values["name"] if has_name else str(step))
        elif isinstance(values, Mapping) and str(step) in values:
            values = values[str(step)]
            path.append(str(step))
    return tuple(path)
