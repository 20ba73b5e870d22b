"""The files that a store was made from, noted beside it, so that data that changed since are never used as they were.

Sizes and times tell where to look; they are relative to the dataset's folder, which may lie elsewhere on another
machine.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.store import Store
from ..documents import read_json
from ..errors import RecipeError, SegevolutionError
from ..files import write_json
from .keys import noted_key

FILES = "files"
"""The key of the listing in the note beside a store."""


def list_files(folder: Path, without: Path) -> dict[str, str]:
    """Every file of a dataset, by its path from the folder, with its bytes and the time when it was written.

    Args:
        folder: of the dataset.
        without: a folder that is left out, since what works on the dataset writes there; hidden ones are, too.
    """
    files: dict[str, str] = {}
    visited_folders = {without.resolve()}  # a linked folder is followed once, so that no circle is
    for place, folders, names in os.walk(folder, followlinks=True):
        here = Path(place)
        if here.resolve() in visited_folders:
            folders.clear()
            continue
        visited_folders.add(here.resolve())
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                try:
                    facts = (here / name).stat()
                except OSError:
                    continue
                files[(here / name).relative_to(folder).as_posix()] = f"{facts.st_size} {facts.st_mtime_ns}"
    return files


def noted_files(note: Path) -> dict[str, str] | None:
    """The listing in a note; None in one of an earlier version, or where it is damaged."""
    try:
        files = read_json(note, dict[str, object], error=RecipeError).get(FILES)
    except SegevolutionError:
        return None
    return {str(name): str(facts) for name, facts in files.items()} if isinstance(files, dict) else None


def changed_files(noted: Mapping[str, str] | None, now: Mapping[str, str], store: Store) -> tuple[str, ...]:
    """The files that were changed or deleted since a store was made of them; one that is new changes no case of it.

    Args:
        noted: the listing of then; None where none was kept: files that are newer than all cases have changed then.
        now: the listing of today.
        store: what was made.
    """
    if noted is not None:
        return tuple(name for name, facts in noted.items() if now.get(name) != facts)
    last = max((written for name in store.names if (written := store.written(name)) is not None), default=None)
    return tuple(name for name, facts in now.items() if last is not None and int(facts.split()[1]) > last * 1e9)


def reopened(
    path: Path,
    made_of: Mapping[str, Any],
    files: Mapping[str, str],
    note: Path,
    on_change: Callable[[Store], None] | None = None,
) -> tuple[Store, tuple[str, ...]]:
    """The store at a path with the files that changed since it was made; it is new where something else was made there.

    Args:
        path: of the store.
        made_of: what its note holds beside the listing; "key" tells one making from another.
        files: the listing of today.
        note: beside the store.
        on_change: told the store where files changed, which then goes on; None makes it anew.
    """
    same = noted_key(note) == made_of["key"]
    store = Store.ensure(path) if same else Store.create(path, force=True)
    noted = noted_files(note) if same else None
    changed = changed_files(noted, files, store) if same else ()
    if changed and on_change is None:
        store = Store.create(path, force=True)
    elif changed and on_change is not None:
        on_change(store)
    if noted != files:
        write_json(note, {**made_of, FILES: files})
    return store, changed


def difference(before: Store, now: Store) -> str:
    """In which cases one store of a dataset differs from another, in words; empty where they hold the same."""
    old, new = ({record.name: record.sha256 for record in store.cases} for store in (before, now))
    parts = {
        "changed": [name for name in old if name in new and old[name] != new[name]],
        "gone": [name for name in old if name not in new],
        "new": [name for name in new if name not in old],
    }
    return "; ".join(f"{how}: {some(names)}" for how, names in parts.items() if names)


def some(names: Sequence[str], shown: int = 5) -> str:
    """The first of several names."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")
