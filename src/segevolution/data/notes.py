"""Notes of a store on its datasets: one small JSON file a dataset, in a folder for each kind of note."""

from pathlib import Path
from typing import Any, TypeVar

from ..documents import read_json
from ..errors import StoreError
from ..files import safe_name, write_json

Value = TypeVar("Value")


def read_notes(folder: Path, schema: type[Value]) -> dict[str, Value]:
    """Dataset -> its note, as a schema says; StoreError where one is damaged."""
    return {path.stem: read_json(path, schema, error=StoreError) for path in sorted(folder.glob("*.json"))}


def write_note(folder: Path, dataset: str, value: Any) -> None:
    """Keep a note of a dataset in place of the one before; an empty one deletes it, and the folder with the last.

    Raises:
        StoreError: the dataset's name cannot be that of a file.
    """
    path = folder / f"{safe_name(dataset, 'a dataset', error=StoreError)}.json"
    if value:
        write_json(path, value)
    elif path.exists():
        path.unlink()
        if not any(folder.iterdir()):
            folder.rmdir()
