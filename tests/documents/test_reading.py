"""JSON and YAML that a person or a disk gives: values as written, and one sentence for everything else."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from segevolution.documents import (
    Document,
    Limits,
    check,
    json_from_text,
    read_json,
    read_yaml,
    yaml_from_text,
)
from segevolution.errors import RecipeError, StoreError


class _Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class _Fit(Document):
    steps: int = 1
    rate: float = 0.1


class _Header(Document):
    name: str
    labels: dict[str, int] = Field(default_factory=dict)
    shape: tuple[int, int, int] = (1, 1, 1)
    colour: _Colour = _Colour.RED
    role: int | Literal["rest"] | list[str] = 0
    fits: list[_Fit] = Field(default_factory=list)
    quick: bool = False


def _refusal_of_json(text: str | bytes, schema: Any = _Header, limits: Limits | None = None) -> str:
    with pytest.raises(StoreError) as caught:
        json_from_text(text, schema, where="x.json", error=StoreError, limits=limits or Limits())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def _refusal_of_yaml(text: str | bytes, schema: Any = Any) -> str:
    with pytest.raises(RecipeError) as caught:
        yaml_from_text(text, schema, where="x.yaml", error=RecipeError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_values_come_as_the_schema_says() -> None:
    text = '{"name": "a", "labels": {"liver": 1}, "shape": [1, 2, 3], "colour": "green", "fits": [{"rate": 1}]}'
    header = json_from_text(text, _Header, where="x", error=StoreError)
    assert header.shape == (1, 2, 3)
    assert header.colour is _Colour.GREEN
    assert header.fits[0].rate == 1.0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "x.json must hold an object (keys with values), not a list."),
        ("{}", 'x.json: "name" is missing.'),
        ('{"name": 5}', 'x.json: "name" must be a text, not 5; put it in quotes.'),
        ('{"name": "a", "labels": {"liver": "1"}}', 'x.json: "labels.liver" must be a whole number, not "1".'),
        ('{"name": "a", "labels": {"liver": 1.5}}', 'x.json: "labels.liver" must be a whole number, not 1.5.'),
        ('{"name": "a", "labels": {"liver": true}}', 'x.json: "labels.liver" must be a whole number, not true.'),
        ('{"name": "a", "labels": null}', 'x.json: "labels" must be an object (keys with values), not null.'),
        (
            '{"name": "a", "colour": "gren"}',
            'x.json: "colour" must be "red" or "green", not "gren"; did you mean "green"?',
        ),
        ('{"name": "a", "lables": {}}', 'x.json: "lables" means nothing here; did you mean "labels"?'),
        ('{"name": "a", "role": {}}', 'x.json: "role" must be a whole number, "rest" or a list, not an object.'),
        ('{"name": "a", "role": ["b", 1]}', 'x.json: "role.1" must be a text, not 1; put it in quotes.'),
        ('{"name": "a", "fits": [{"stepz": 1}]}', 'x.json: "stepz" means nothing in "fits.0"; did you mean "steps"?'),
        ('{"name": "a", "quick": "yes"}', 'x.json: "quick" must be true or false, not "yes".'),
        ('{"name": "a", "name": "b"}', 'x.json has the key "name" twice in one object; keep one of the two.'),
        ('{"name": NaN}', "x.json holds NaN, which is no number of JSON."),
        ('{"name": -Infinity}', "x.json holds -Infinity, which is no number of JSON."),
        ('{"name": 1e999}', "x.json holds a number that is too large (1e999)."),
        ('{"name": "a\\u0000"}', 'x.json holds a text with a character that is none ("a\\x00").'),
        ('{"name": "\\ud800"}', 'x.json holds a text with a character that is none ("\\ud800").'),
        ('{"name": "a"', "x.json is not JSON (expecting ',' delimiter, line 1, column 13)."),
        ("", "x.json is not JSON (it is empty)."),
        (b"\xff\xfe{\x00}\x00", "x.json is not UTF-8 text (byte 1); save it as UTF-8."),
    ],
)
def test_json_that_is_wrong_is_one_sentence_with_its_place(text: str | bytes, sentence: str) -> None:
    assert _refusal_of_json(text) == sentence


def test_json_with_a_byte_order_mark_is_read() -> None:
    assert json_from_text(b"\xef\xbb\xbf[1]", list[int], where="x", error=StoreError) == [1]


def test_json_beyond_a_limit_is_refused_before_it_is_built() -> None:
    assert "50 levels deep" in _refusal_of_json("[" * 100_000 + "]" * 100_000, Any)
    assert "50 levels deep" in _refusal_of_json('{"a":' * 100_000 + "1" + "}" * 100_000, Any)
    assert "more than 5 values" in _refusal_of_json("[1,2,3,4,5,6,7]", Any, Limits(items=5))
    assert "at most 10 are read" in _refusal_of_json("[1,2,3,4,5,6,7]", Any, Limits(bytes=10))
    assert "more than 18 digits" in _refusal_of_json("[" + "9" * 5000 + "]", Any)


def test_brackets_in_texts_are_no_depth() -> None:
    text = '["' + "[" * 1000 + '\\"' + "{" * 1000 + '"]'
    assert json_from_text(text, list[str], where="x", error=StoreError) == ["[" * 1000 + '"' + "{" * 1000]


def test_a_document_is_a_plain_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.json"
    os.mkfifo(pipe)
    for path, words in ((pipe, "no plain file"), (tmp_path, "no plain file"), (tmp_path / "a.json", "no such file")):
        with pytest.raises(StoreError, match=words):
            read_json(path, _Header, error=StoreError)


def test_yaml_scalars_are_those_of_yaml_1_2() -> None:
    text = "{a: 1e-3, b: no, c: 12:30, d: 007, e: 1_000, f: 0x10, g: ~, "
    text += "h: true, i: 2026-11-29, j: .5, k: -2, 5: '1', l: on}"
    assert yaml_from_text(text, Any, where="x", error=RecipeError) == {
        "a": 0.001, "b": "no", "c": "12:30", "d": "007", "e": 1000, "f": 16, "g": None, "h": True,
        "i": "2026-11-29", "j": 0.5, "k": -2, "5": "1", "l": "on",
    }  # fmt: skip


def test_yaml_anchors_and_merge_keys_are_expanded() -> None:
    text = "a: &x {p: 1, q: [2]}\nb: *x\nc:\n  <<: *x\n  p: 3\nd: &n [1]\ne: *n\n"
    value: Any = yaml_from_text(text, Any, where="x", error=RecipeError)
    assert value["b"] == {"p": 1, "q": [2]}
    assert value["c"] == {"p": 3, "q": [2]}
    value["b"]["q"].append(5)
    assert value["a"]["q"] == [2]


def test_yaml_that_is_wrong_is_one_sentence() -> None:
    laughs = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "more than 100,000 values" in _refusal_of_yaml(laughs)
    assert "50 levels deep" in _refusal_of_yaml("[" * 5000)
    assert "50 levels deep" in _refusal_of_yaml("\n".join(" " * depth + "a:" for depth in range(300)))
    assert "!!int" in _refusal_of_yaml("a: !!int abc")
    assert "!!python/object/apply:os.system" in _refusal_of_yaml("!!python/object/apply:os.system ['true']")
    assert "refers to *x" in _refusal_of_yaml("a: &x [*x]")
    assert "refers to *y" in _refusal_of_yaml("a: *y")
    assert '"a" twice' in _refusal_of_yaml("a: 1\na: 2")
    assert "as a key" in _refusal_of_yaml("? [1]\n: 2")
    assert "several documents" in _refusal_of_yaml("a: 1\n---\nb: 2")
    assert "not valid YAML at line 2" in _refusal_of_yaml("a: [1\n")
    assert "no finite number" in _refusal_of_yaml("a: .nan")
    assert "more than 18 digits" in _refusal_of_yaml("a: 0x" + "f" * 40)
    assert "more than 18 digits" in _refusal_of_yaml("a: 0o" + "7" * 19)
    assert 'x.yaml: "fits.fast.steps" must be a whole number' in _refusal_of_yaml(
        "{name: a, fits: [{name: fast, steps: x}]}", _Named
    )


class _NamedFit(_Fit):
    name: str


class _Named(Document):
    name: str
    fits: list[_NamedFit]


def test_a_plain_value_is_held_against_a_schema() -> None:
    assert check({"name": "a"}, _Header, where="x", error=StoreError).name == "a"
    with pytest.raises(StoreError, match='x: "name" must be a text'):
        check({"name": None}, _Header, where="x", error=StoreError)
    with pytest.raises(StoreError, match="JSON cannot say"):
        check({"name": {1, 2}}, _Header, where="x", error=StoreError)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@given(_PLAIN)
def test_what_json_says_is_what_is_read(value: Any) -> None:
    import json

    assert json_from_text(json.dumps(value), Any, where="x", error=StoreError) == value


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_value_or_one_sentence(content: bytes) -> None:
    for read in (json_from_text, yaml_from_text):
        try:
            read(content, Any, where="x", error=StoreError)
        except StoreError:
            continue


def test_a_yaml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nlabels: {liver: 1}\n", encoding="utf-8")
    assert read_yaml(path, _Header, error=RecipeError).labels == {"liver": 1}
