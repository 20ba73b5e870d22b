"""The base of every part of a recipe, and the sentences on keys that are none."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from ..documents.renamed_keys import with_new_names
from ..errors import RecipeError
from ..files import safe_name
from ..training.settings import RENAMED, FitSettings
from ..vocabulary import did_you_mean


def _safe(name: str) -> str:
    try:
        return safe_name(name, "a part of a recipe", error=RecipeError)
    except RecipeError as error:
        raise ValueError(str(error)) from error


SafeName = Annotated[str, AfterValidator(_safe)]
"""A name that becomes a folder's, and so cannot lead out of the one that it is put into."""


def _in_new_names(fit: dict[str, Any]) -> dict[str, Any]:
    return with_new_names(fit, RENAMED, "fit")


FitChanges = Annotated[dict[str, Any], AfterValidator(_in_new_names)]
"""Some of the fields of FitSettings, as a recipe states them; older names of fields are taken, too."""


class RecipePart(BaseModel):
    """Base of all parts of a recipe: unknown keys are refused by name, with the nearest known one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, Mapping):
            for key in values:
                if key not in cls.model_fields:
                    hint = did_you_mean(str(key), cls.model_fields, f"known are {', '.join(cls.model_fields)}.")
                    raise ValueError(f'"{key}" is no key here; {hint}')
        return values

    @model_validator(mode="after")
    def _distinct_values(self) -> Self:
        """What a list holds twice would be done twice; parts in a list have names, which are checked elsewhere."""
        check_distinct(
            {
                key: value
                for key, value in vars(self).items()
                if isinstance(value, list) and all(isinstance(item, str | int | float) for item in value)
            }
        )
        return self


def check_distinct(lists: Mapping[str, Sequence[Any]], form: Callable[[Any], Any] = lambda value: value) -> None:
    """Raise ValueError, in one sentence that names the key, for a value that is given twice.

    Args:
        lists: key -> values, each hashable in its `form`.
        form: what tells two values apart, such as the canonical name of a structure.
    """
    for key, values in lists.items():
        forms = [form(value) for value in values]
        if len(set(forms)) < len(forms):
            same = [str(value) for value, own in zip(values, forms, strict=True) if forms.count(own) > 1]
            raise ValueError(f"{key} holds a value twice: {', '.join(same)}")


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` over `base`, parts within parts."""
    values = dict(base)
    for key, value in changes.items():
        inner = values.get(key)
        values[key] = merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return values


def fit_fault(error: ValidationError, settings: Any = None) -> str:
    """What is wrong with settings, in one clause that names the key, and the nearest known one.

    Args:
        error: of their schema.
        settings: valid ones, whose keys are the known ones; None = those of a `fit`.
    """
    first = error.errors(include_url=False)[0]
    *parents, last = first["loc"]
    place = ".".join(str(step) for step in first["loc"])
    if first["type"] != "unexpected_keyword_argument":
        return f"{place}: {str(first['msg']).removeprefix('Value error, ')}"
    known: Any = FitSettings() if settings is None else settings
    for step in parents:
        known = getattr(known, str(step))
    names = [*vars(known), *(() if parents or settings is not None else ("replay",))]
    return f'"{place}" is no key here; ' + did_you_mean(str(last), names, f"known are {', '.join(names)}")
