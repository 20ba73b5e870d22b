"""Which label of a map is which structure: tables in JSON, FreeSurfer's numbers, and what to do with names unknown.

Strict readers (`label_tissues.describe`) refuse a name that no rule knows. Here nothing is refused: a name that no rule
knows is imaged as soft tissue, a value without a name is left to the made-up body, and both are said.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...documents import json_from_text, read_json
from ...errors import StoreError
from ...imaging.formats.own_label_names import own_label_names
from ..sources.label_contradictions import require_own_names
from .label_tissues import FREESURFER, describe_any, freesurfer_parcel

FREESURFER_NAMES = "freesurfer"
NAMES_BESIDE = "json"
_NUMBER = re.compile(r"[0-9]{1,9}")
_TABLES = ("labels.json", "dataset.json")

Names = Mapping[int, str] | str


@dataclass(frozen=True)
class Described:
    """What the labels of a map are.

    Attributes:
        names: label -> structure; labels that are imaged without being a structure are missing.
        tissues: label -> tissue, for every label that is kept.
        notes: what a person should know: names that no rule knows, values without a name.
    """

    names: Mapping[int, str]
    tissues: Mapping[int, str]
    notes: tuple[str, ...] = ()


def parse_names(text: str) -> Names:
    """What `--names` says: "freesurfer", "json" (a table beside each map), a JSON object, or the path of one.

    Raises:
        StoreError: it is none of these.
    """
    if text.strip().lower() in (FREESURFER_NAMES, NAMES_BESIDE):
        return text.strip().lower()
    if text.lstrip().startswith("{"):
        return _table(json_from_text(text, dict[str, Any], where="--names", error=StoreError), "--names")
    return read_table(Path(text).expanduser())


def table_beside(path: Path) -> dict[int, str]:
    """The table that names a map's labels: its own name in .json, or labels.json or dataset.json there or one above.

    A file without such a table may name its labels itself, as Slicer's, DICOM's and our own do.

    Raises:
        StoreError: there is none, it is no table of labels, or it contradicts the names in the file itself.
    """
    json_path = path.with_name(f"{path.name.split('.')[0]}.json")
    places = [json_path, *(folder / name for folder in (path.parent, path.parent.parent) for name in _TABLES)]
    for place in places:
        if place.is_file():
            table = read_table(place)
            require_own_names(path, {value: (name,) for value, name in table.items()}, table)
            return table
    own_names = own_label_names(path)
    if own_names:
        return own_names
    raise StoreError(f"{path} has no {json_path.name} beside it that names its labels.")


def read_table(path: Path) -> dict[int, str]:
    """Label -> name from a JSON file: {"1": "liver"}, {"liver": 1}, or such an object under "labels".

    Raises:
        StoreError: it cannot be read, or is no such table.
    """
    if not path.exists():
        raise StoreError(
            f"{path} cannot be read (it is not there); --names takes freesurfer, json, a JSON object such as "
            '{"1": "liver"}, or the path of a JSON file.'
        )
    return _table(read_json(path, dict[str, Any], error=StoreError), str(path))


def describe_labels(values: Iterable[int], names: Names) -> Described:
    """Structure and tissue of every label that occurs; never refuses a name.

    Args:
        values: that occur in a map, without 0.
        names: label -> name, or "freesurfer".
    """
    numbers = sorted(set(values) - {0})
    if isinstance(names, str):
        return _freesurfer(numbers)
    structures: dict[int, str] = {}
    tissues: dict[int, str] = {}
    unknown = []
    for value in (value for value in numbers if value in names):
        structures[value], tissues[value], is_known = describe_any(names[value])
        if not is_known:
            unknown.append(names[value])
    nameless = [value for value in numbers if value not in names]
    notes = []
    if unknown:
        notes.append(f"no tissue is known for {_listed(unknown)}: imaged as soft tissue.")
    if nameless:
        notes.append(f"nothing names the values {_listed(nameless)}: left to the made-up body.")
    return Described(structures, tissues, tuple(notes))


def _freesurfer(numbers: list[int]) -> Described:
    known_names = {
        value: freesurfer_label
        for value in numbers
        if (freesurfer_label := FREESURFER.get(value) or freesurfer_parcel(value))
    }
    strange = [value for value in numbers if value not in known_names]
    notes = (f"FreeSurfer's numbers {_listed(strange)} are not known here: left to the made-up body.",)
    return Described(
        {value: name for value, (name, _) in known_names.items() if name is not None},
        {value: tissue for value, (_, tissue) in known_names.items()},
        notes if strange else (),
    )


def _listed(items: Iterable[object], most: int = 8) -> str:
    words = [str(item) for item in items]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


def _table(raw: Mapping[str, Any], where: str) -> dict[int, str]:
    labels = raw.get("labels", raw)
    table: dict[int, str] = {}
    for key, value in labels.items() if isinstance(labels, Mapping) else ():
        number, name = (key, value) if _NUMBER.fullmatch(key) else (value, key)
        if not _NUMBER.fullmatch(str(number)) or not isinstance(name, str):
            raise StoreError(f"{where}: the label {key!r}: {value!r} is neither value to name nor name to value.")
        if int(number):
            table[int(number)] = name
    if not table:
        raise StoreError(f'{where} names no label; write it as {{"1": "liver", "2": "spleen"}}.')
    return table
