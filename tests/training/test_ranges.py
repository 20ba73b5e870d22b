"""Every number of a training's settings has a range, and true and false are no numbers."""

import dataclasses
import types
import typing

import pytest
from pydantic import ValidationError

from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

_KEYS = {str: "text", Modality: "MRI"}


def numeric_fields(kind, path=()):
    """(path of a field, how a value is put there) of every number of settings, at any depth."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        place = (*path, field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            yield from numeric_fields(hints[field.name], place)
        else:
            yield from ((place, put) for put in putters(hints[field.name]))


def putters(hint):
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint in (int, float):
        yield lambda value: value
    elif origin is typing.Annotated:
        yield from putters(inner[0])
    elif origin in (typing.Union, types.UnionType):
        for one in inner:
            yield from putters(one)
    elif origin is tuple and len(inner) > 1 and inner[1] is not ...:
        for number, one in enumerate(inner):
            for put in putters(one):
                yield lambda value, number=number, put=put: [*[1.0] * number, put(value), *[1.0] * (1 - number)]
    elif origin is dict:
        for put in putters(inner[1]):
            yield lambda value, put=put: {_KEYS[inner[0]]: put(value)}


FIELDS = list(numeric_fields(FitSettings))


def made_with(path, value):
    for name in reversed(path):
        value = {name: value}
    return FitSettings(**value)


def test_all_numbers_are_found():
    names = {".".join(path) for path, _ in FIELDS}
    assert {"steps", "lr_multipliers", "seconds", "view.margin", "sample.views", "objective.retain"} <= names
    assert {"intensity.recontrast.share", "prompt.combinations", "validation.volumes"} <= names
    assert len(FIELDS) > 60


@pytest.mark.parametrize("value", [-1, 1e300, float("nan"), float("inf"), True, False])
def test_what_no_number_of_a_training_can_be_is_refused(value):
    for path, put in FIELDS:
        with pytest.raises(ValidationError):
            pytest.fail(f"{'.'.join(path)} takes {value}: {made_with(path, put(value))}")


def test_none_is_refused_where_a_training_needs_some():
    refused = set()
    for path, put in FIELDS:
        try:
            made_with(path, put(0))
        except ValidationError:
            refused.add(".".join(path))
    assert {"checkpoint_every", "devices", "nodes", "accumulate", "sample.views", "sample.structures"} <= refused
    assert {"workers", "warmup", "weight_decay", "ema_decay", "seconds", "patience"}.isdisjoint(refused)
