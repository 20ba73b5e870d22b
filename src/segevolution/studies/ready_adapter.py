"""Read the facts on a ready adapter that a study needs: its identity, and the patients it learned from."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..adapters import describe
from ..adapters.artifact import WEIGHTS
from ..adapters.card_values import card_licences, card_texts
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
    return ReadyAdapter(digest(identity), tuple(card_texts(card.get("data"))), card_licences(card.get("licences")))
