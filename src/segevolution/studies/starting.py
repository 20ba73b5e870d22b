"""Methods that start from a ready adapter: whether it fits, what tells it from another, and whom it learned from.

So the gate of combined experts is trained, an adapter from unlabelled data is tuned, and any is measured as it is:

    methods:
      - {name: gated, kind: mixture, start: adapters/both, fit: {steps: 60}}
      - {name: simmim, kind: lora, start: runs/simmim_mri/adapter, train: false}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters import METHODS, describe
from ..adapters.artifact import WEIGHTS
from ..errors import AdapterError, RecipeError
from ..files import sha256
from ..recipes.keys import digest
from .plan import Plan
from .recipe import Recipe

BEFORE = "(before, by what it started from)"


@dataclass(frozen=True)
class Start:
    """A ready adapter.

    Attributes:
        mark: digest of its weights, settings and structures; its card does not count.
        taught: entries of its card, such as "chaos/chaos_01", of what it learned from.
        licences: of these, by dataset.
    """

    mark: str
    taught: tuple[str, ...]
    licences: Mapping[str, str]


def read_start(folder: Path) -> Start:
    """Read what a study has to know of an adapter that a method starts from; AdapterError where it is not whole."""
    found = describe(folder)
    kept = [found["method"], found["settings"], found.get("structures", []), sha256(folder / WEIGHTS)]
    card = found["card"]
    return Start(digest(kept), tuple(_leaves(card.get("data"))), _joined(card.get("licences")))


def starts_of(recipe: Recipe, base: str) -> dict[str, Start]:
    """Name of a method -> what it starts from, for those that do.

    Args:
        base: fingerprint of the study's base.

    Raises:
        RecipeError: no whole adapter is there, or it is of another method or base, or takes no such settings.
    """
    found = {}
    for method in recipe.methods:
        if method.start is None:
            continue
        where = f"{recipe.name}: methods.{method.name}.start"
        folder = Path(method.start)
        try:
            about = describe(folder)
            start = read_start(folder)
        except AdapterError as error:
            raise RecipeError(f"{where}: {error}") from error
        if about["method"] != method.trained_as:
            kind = about["method"]
            raise RecipeError(f"{where}: {folder} is a {kind} adapter, not {method.trained_as}; say kind: {kind}.")
        if about["base"]["fingerprint"] != base:
            raise RecipeError(
                f"{where}: {folder} belongs to another base, {about['base']['name']} "
                f"({about['base']['fingerprint'][:12]}), than {recipe.base} ({base[:12]}); start from one of this base."
            )
        try:
            METHODS[method.trained_as].config_type.from_dict({**about["settings"], **method.settings})
        except (AdapterError, TypeError) as error:
            raise RecipeError(f"{recipe.name}: methods.{method.name}.settings: {error}") from error
        found[method.name] = start
    return found


def taught_before(made: Plan, starts: Mapping[str, Start]) -> list[str]:
    """A sentence for each run that is tested on a case from which its start had learned, by the names of both."""
    tested: dict[str, set[str]] = {}
    for job in made.evaluations:
        if job.needs is not None and job.needs.method.name in starts:
            learned = {entry.split(" (")[0] for entry in starts[job.needs.method.name].taught}
            name = f"{job.part.dataset}/{job.part.case}"
            if name in learned:
                tested.setdefault(job.part.run, set()).add(name)
    return [
        f"{run} is tested on cases that what it started from had learned from: {', '.join(sorted(names))}; its results "
        "on them are too good."
        for run, names in tested.items()
    ]


def _leaves(said: Any) -> list[str]:
    """The texts in an entry of a card; a combined adapter's holds one list an expert."""
    if isinstance(said, Mapping):
        return [text for value in said.values() for text in _leaves(value)]
    if isinstance(said, list | tuple):
        return [text for value in said for text in _leaves(value)]
    return [] if said is None else [str(said)]


def _joined(said: Any) -> dict[str, str]:
    """Dataset -> licence, from an entry of a card; a combined adapter's holds one mapping an expert."""
    found: dict[str, str] = {}
    for key, value in said.items() if isinstance(said, Mapping) else ():
        found |= _joined(value) if isinstance(value, Mapping) else {str(key): str(value)}
    return found
