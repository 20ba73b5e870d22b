"""A recipe from a name or a path, with changes from a command line, each fault one sentence that names its place.

Any value can be changed by its dotted path, list items by their name or number:
`seeds=[0,1,2] methods.lora.fit.steps=300 data.mri.train=5`.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from ..documents import read_yaml, yaml_from_text
from ..documents.renamed_keys import with_new_names
from ..errors import RecipeError
from ..training.settings import RENAMED
from ..vocabulary import did_you_mean

Kind = TypeVar("Kind", bound=BaseModel)

_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def folder_of(room: str, folder: str) -> Traversable:
    """Where the recipes of one kind lie that ship with this package, such as `folder_of("studies", "recipes")`."""
    return resources.files(f"{__package__.rpartition('.')[0]}.{room}").joinpath(folder)


def shipped(folder: Traversable) -> dict[str, str]:
    """Names of the recipes that ship in a folder, and what each is about."""
    recipe_texts = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".yaml"):
            recipe_texts[entry.name.removesuffix(".yaml")] = _about(entry)
    return recipe_texts


def _about(entry: Traversable) -> str:
    values = yaml_from_text(entry.read_text("utf-8"), dict[str, Any], where=entry.name, error=RecipeError)
    return str(values.get("about", ""))


def read_as(kind: type[Kind], folder: Traversable, name_or_path: str, overrides: Sequence[str] = ()) -> Kind:
    """Read a shipped recipe by name, or a YAML file by path, and apply `key=value` changes.

    Args:
        kind: of recipe.
        folder: of those of its kind that ship.

    Raises:
        RecipeError: there is none, or it says something that cannot be; one sentence that names the place.
    """
    values, where = _read(name_or_path, folder)
    try:
        values = _with_new_names(values)
    except ValueError as error:
        raise RecipeError(f"{where}: fit: {error}.") from error
    for override in overrides:
        _override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_sentence(error, values)}") from error


def says(key: str, folder: Traversable, name_or_path: str) -> bool:
    """Whether a recipe, found as by `read_as`, has a key that tells its kind; RecipeError where there is no recipe."""
    return key in _read(name_or_path, folder)[0]


def _read(name_or_path: str, folder: Traversable) -> tuple[dict[str, Any], str]:
    names = shipped(folder)
    if name_or_path in names:
        text = folder.joinpath(f"{name_or_path}.yaml").read_text("utf-8")
        values = yaml_from_text(text, _ANYTHING, where=name_or_path, error=RecipeError)
    elif Path(name_or_path).exists():
        values = read_yaml(Path(name_or_path), _ANYTHING, error=RecipeError)
    else:
        hint = did_you_mean(name_or_path, names, f"shipped are {', '.join(names)}.")
        raise RecipeError(f'"{name_or_path}" is neither a shipped recipe nor a file; {hint}')
    if not isinstance(values, dict):
        raise RecipeError(f"{name_or_path} holds no keys; a recipe states at least name and data.")
    return values, name_or_path


def _with_new_names(values: Any) -> Any:
    """A recipe whose every `fit` says the names of today, so that an override finds the key that it changes."""
    if isinstance(values, list):
        return [_with_new_names(item) for item in values]
    if not isinstance(values, dict):
        return values
    return {
        key: with_new_names(part, RENAMED, "fit") if key == "fit" and isinstance(part, dict) else _with_new_names(part)
        for key, part in values.items()
    }


def _override(values: dict[str, Any], text: str) -> None:
    path, equals, written = text.partition("=")
    if not equals or not path:
        raise RecipeError(f'"{text}" changes nothing; write key=value, such as seeds=[0,1].')
    value = yaml_from_text(written, _ANYTHING, where=f'"{text}"', error=RecipeError)
    *parents, last = path.split(".")
    if parents and parents[-1] == "fit":
        last = next(iter(with_new_names({last: value}, RENAMED, "fit")))
    place: Any = values
    for step in parents:
        place = _item(place, step, text) if isinstance(place, list) else place.setdefault(step, {})
        if not isinstance(place, dict | list):
            raise RecipeError(f'"{text}": {step} holds a single value, so it has no parts to change.')
    if isinstance(place, list):
        place[place.index(_item(place, last, text))] = value
    else:
        place[last] = value


def _item(items: list[Any], step: str, text: str) -> Any:
    if step.isdigit() and int(step) < len(items):
        return items[int(step)]
    names = [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]
    for item in items:
        if isinstance(item, dict) and item.get("name") == step:
            return item
    hint = did_you_mean(step, names, f"there are {', '.join(names) or len(items)}.")
    raise RecipeError(f'"{text}": there is no "{step}" in that list; {hint}')


def _sentence(error: ValidationError, values: Mapping[str, Any]) -> str:
    first = error.errors(include_url=False)[0]
    message = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    if first["type"] == "missing":
        message = "is missing"
    elif first["type"] == "literal_error":
        message = f'is "{first["input"]}"; {message[0].lower()}{message[1:]}'
    place = _place(first["loc"], values)
    end = "" if message.endswith("?") else "."
    return f"{place}{': ' if place and message != 'is missing' else ' ' if place else ''}{message}{end}"


def _place(path: Sequence[str | int], values: Any) -> str:
    """The dotted path of an error, list items by their name, union branches left out."""
    steps: list[str] = []
    for step in path:
        if isinstance(step, int):
            values = values[step] if isinstance(values, list) and step < len(values) else None
            steps.append(str(values["name"]) if isinstance(values, dict) and "name" in values else str(step))
        elif isinstance(values, Mapping):
            values = values.get(step)
            steps.append(step)
    return ".".join(steps)
