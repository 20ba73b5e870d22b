"""The recipe of a study from a name or a path, with changes from a command line."""

from collections.abc import Sequence

from ..errors import RecipeError
from ..recipes.reading import folder_of, read_as
from ..vocabulary import did_you_mean
from .recipe import Recipe

STUDIES = folder_of("studies", "recipes")


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, and apply `key=value` changes.

    Raises:
        RecipeError: there is none, or it says something that cannot be; one sentence that names the place.
    """
    return read_as(Recipe, STUDIES, name_or_path, overrides)


def with_methods(recipe: Recipe, names: Sequence[str]) -> Recipe:
    """The recipe with some of its methods only, in its own order. What they give is kept by the whole study.

    Raises:
        RecipeError: the recipe has no such method, or its primary question or its reference needs one that is left out.
    """
    known = [method.name for method in recipe.methods]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known, f"there are {', '.join(known)}")
            raise RecipeError(f'{recipe.name} has no method "{name}"; {hint}')
    needed = {recipe.reference: "its reference"}
    if recipe.primary is not None:
        needed |= dict.fromkeys(
            (recipe.primary.method, recipe.primary.against or recipe.reference), "its primary question"
        )
    for name, what in needed.items():
        if name not in names:
            raise RecipeError(f"{recipe.name} without {name} cannot answer {what}; keep {name}, or change the recipe.")
    return recipe.model_copy(update={"methods": [method for method in recipe.methods if method.name in names]})
