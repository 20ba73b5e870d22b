"""Keys that have a new name: the old one is still read, and a note says the new one."""

import logging
from collections.abc import Mapping
from typing import Any

_LOG = logging.getLogger(__name__)
_NOTED: set[tuple[str, str]] = set()


def with_new_names(values: Mapping[str, Any], renamed: Mapping[str, str], where: str) -> dict[str, Any]:
    """The same values under the names of today; each old name is noted once in a process.

    Args:
        renamed: old name -> new name.
        where: what holds the values, for the note.

    Raises:
        ValueError: a value is given under both of its names.
    """
    for old in renamed.keys() & values.keys():
        new = renamed[old]
        if new in values:
            raise ValueError(f'"{old}" is the old name of "{new}"; give only {new}')
        if (where, old) not in _NOTED:
            _NOTED.add((where, old))
            _LOG.warning('%s: "%s" is called "%s" now; the old name is still read.', where, old, new)
    return {renamed.get(key, key): value for key, value in values.items()}


def with_old_names(values: Mapping[str, Any], renamed: Mapping[str, str]) -> dict[str, Any]:
    """The same values under their first names, so that a digest of them stays what it was."""
    first = {new: old for old, new in renamed.items()}
    return {first.get(key, key): value for key, value in values.items()}
