"""Read the facts on a ready adapter that a study needs: its identity, and the patients it learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..adapters import describe
from ..adapters.artifact import WEIGHTS
from ..files import sha256
from ..recipes.keys import digest

BEFORE = "(before, by what it started from)"


@dataclass(frozen=True)
class ReadyAdapter:
    """An adapter that was made before.

    Attributes:
        mark: digest of its weights, settings and structures; its card does not count.
        taught: entries of its card, such as "chaos/chaos_01", of what it learned from.
        licences: of these, by dataset.
    """

    mark: str
    taught: tuple[str, ...]
    licences: Mapping[str, str]


def read_ready(folder: Path) -> ReadyAdapter:
    """Read what a study has to know of an adapter that a method starts from; AdapterError where it is not whole."""
    description = describe(folder)
    identity = [
        description["method"],
        description["settings"],
        description.get("structures", []),
        sha256(folder / WEIGHTS),
    ]
    card = description["card"]
    return ReadyAdapter(digest(identity), tuple(_leaves(card.get("data"))), _joined(card.get("licences")))


def _leaves(said: Any) -> list[str]:
    """The texts in an entry of a card; a combined adapter's holds one list an expert."""
    if isinstance(said, Mapping):
        return [text for value in said.values() for text in _leaves(value)]
    if isinstance(said, list | tuple):
        return [text for value in said for text in _leaves(value)]
    return [] if said is None else [str(said)]


def _joined(said: Any) -> dict[str, str]:
    """Dataset -> licence, from an entry of a card; a combined adapter's holds one mapping an expert."""
    licences: dict[str, str] = {}
    for key, value in said.items() if isinstance(said, Mapping) else ():
        licences |= _joined(value) if isinstance(value, Mapping) else {str(key): str(value)}
    return licences
