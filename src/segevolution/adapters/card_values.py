"""Read the values of an adapter's card; a combined adapter's holds one list or mapping an expert."""

from collections.abc import Mapping
from typing import Any


def card_texts(value: Any) -> list[str]:
    """The texts in an entry of a card, in order."""
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in card_texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in card_texts(inner)]
    return [] if value is None else [str(value)]


def card_licence(card: Mapping[str, Any]) -> str | None:
    """The licence of the weights in words; None where the card says none."""
    return "; ".join(dict.fromkeys(card_texts(card.get("licence")))) or None


def card_licences(value: Any) -> dict[str, str]:
    """Dataset -> licence."""
    licences: dict[str, str] = {}
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        licences |= card_licences(inner) if isinstance(inner, Mapping) else {str(key): str(inner)}
    return licences
