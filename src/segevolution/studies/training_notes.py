"""The note that a finished training leaves beside its files, by whose hashes a broken one is told from a whole one.

    models/<run>/trained.json    the training's key, what it says of itself, and the SHA-256 of its weights

A card may be written anew and checkpoints may go; weights may not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..adapters import describe
from ..documents import read_json
from ..errors import RecipeError, SegevolutionError
from ..files import sha256, write_json

NOTE = "trained.json"
_WEIGHTS = (".safetensors", ".pth")
_CHECKPOINTS = "fit"  # the folder of what only a continuation needs


def note_training(place: Path, facts: Mapping[str, Any]) -> None:
    """Write the note of a training whose files are all there; `facts` holds its key and run."""
    write_json(place / NOTE, {**facts, "files": {name: sha256(place / name) for name in _weights(place)}})


def is_noted(place: Path, key: str) -> bool:
    """Whether a run's folder says that this very training was finished, whatever became of its files since."""
    return _read(place).get("key") == key


def is_trained(place: Path, key: str) -> bool:
    """Whether a run's folder holds this very training, finished and whole.

    A note of an earlier version has no hashes; its adapter counts where its files can be read.
    """
    note = _read(place)
    if note.get("key") != key:
        return False
    files = note.get("files")
    if isinstance(files, dict):
        return all((place / name).is_file() and sha256(place / name) == noted for name, noted in files.items())
    if "trained_parameters" not in note and "start" not in note:  # of a method that trains no adapter
        return True
    try:
        describe(place / "adapter")
    except SegevolutionError:
        return False
    return True


def _read(place: Path) -> dict[str, Any]:
    """The note; empty where there is none, or where it is damaged, so that the training is done again."""
    try:
        return read_json(place / NOTE, dict[str, Any], error=RecipeError)
    except SegevolutionError:
        return {}


def _weights(place: Path) -> list[str]:
    """The files of a run that answers are made with, by their path from its folder."""
    return sorted(
        path.relative_to(place).as_posix()
        for path in place.rglob("*")
        if path.suffix in _WEIGHTS and path.relative_to(place).parts[0] != _CHECKPOINTS and path.is_file()
    )
