"""What BIDS calls the labels of derivatives: tables with the columns index and name, and label-X in file names."""

import csv
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from ...documents import JSON_LIMITS
from ...errors import StoreError
from ...vocabulary import STRUCTURES, canonical, tidied
from .base import Decision
from .structure_names import StructureNames, name_meanings

# Abbreviations that the BIDS specification defines for labels of tissues, and one of the spinal cord toolbox.
_ABBREVIATIONS = {
    "gm": "grey matter",
    "wm": "cerebral white matter",
    "csf": "cerebrospinal fluid",
    "sc": "spinal cord",
}
_SIDES = {"l": "left", "r": "right", "left": "left", "right": "right"}


def structure_of(text: str, others: Collection[str] = ()) -> str:
    """Our name of a structure: BIDS allows labels of letters and digits only, so words are told by their capitals.

    Args:
        text: as a file or a table has it.
        others: the labels of the same dataset; beside a spinal cord, white matter is not the cerebrum's.
    """
    tidy = _ABBREVIATIONS.get(text.lower(), text)
    if tidy == "cerebral white matter" and any(_is_of_the_spine(other) for other in others):
        tidy = "white matter"
    ways = (tidy, tidy.replace("-", " "), re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tidy))
    return next((canonical(way) for way in ways if canonical(way) in STRUCTURES), canonical(ways[-1]))


def _is_of_the_spine(text: str) -> bool:
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())
    return "sc" in words or {"spinal", "cord"} & set(words) != set()


def of_side(structure: str, hemisphere: str | None) -> str:
    """A structure of one hemisphere, by the entity hemi-L or hemi-R: "hippocampus" -> "left hippocampus"."""
    side = _SIDES.get((hemisphere or "").lower())
    return structure if side is None or {"left", "right"} & set(structure.split()) else f"{side} {structure}"


def read_table(path: Path) -> StructureNames:
    """Structures and their values from a dseg.tsv; background is none.

    Raises:
        StoreError: it cannot be read, or a line lacks a whole number in "index" or a "name".
    """
    label_values: dict[str, tuple[int, ...]] = {}
    for row in rows(path):
        index, name = row.get("index") or "", row.get("name") or ""
        if not name or not (index.isascii() and index.isdecimal() and len(index) < 10):
            raise StoreError(f'{path} is no table of labels: every line needs a whole number in "index" and a "name".')
        if int(index) and tidied(name) != "background":
            label_values[name] = (*label_values.get(name, ()), int(index))
    named = {tidied(name): structure_of(name, label_values) for name in label_values}
    renamed = {name: structure for name, structure in named.items() if tidied(structure) != name}
    meanings = name_meanings(label_values, names=_without_joins(label_values, renamed), title=path.name)
    values: dict[str, tuple[int, ...]] = {}
    for name, numbers in label_values.items():
        structure = meanings.of[name]
        values[structure] = tuple(sorted({*values.get(structure, ()), *numbers}))
    return StructureNames(values, meanings.decisions)


def _without_joins(named: Iterable[str], own: dict[str, str]) -> dict[str, str]:
    """The meanings that make no two names one structure."""
    everyone = [own.get(tidied(name), canonical(name)) for name in dict.fromkeys(map(tidied, named))]
    return {name: meaning for name, meaning in own.items() if everyone.count(meaning) == 1}


def renamed(text: str, structure: str) -> tuple[Decision, ...]:
    """The decision that a label of a file name is called otherwise; none where it is not."""
    return () if structure == tidied(text) else (Decision("renamed", f'"{text}" is called {structure}'),)


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a table with tab-separated columns; StoreError where it cannot be read."""
    try:
        if path.stat().st_size > JSON_LIMITS.bytes:
            raise StoreError(f"{path} is too large for a table of labels or participants.")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return [
                {str(key): cell for key, cell in row.items() if isinstance(cell, str)}
                for row in csv.DictReader(stream, delimiter="\t")
            ]
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read as a table of tab-separated columns: {error}.") from error
