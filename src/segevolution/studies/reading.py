"""The recipe of a study from a name or a path, with changes from a command line."""

from collections.abc import Sequence

from ..recipes.reading import folder_of, read_as
from .recipe import Recipe

STUDIES = folder_of("studies", "recipes")


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, and apply `key=value` changes.

    Raises:
        RecipeError: there is none, or it says something that cannot be; one sentence that names the place.
    """
    return read_as(Recipe, STUDIES, name_or_path, overrides)
