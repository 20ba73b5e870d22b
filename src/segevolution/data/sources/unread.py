"""What lies in a dataset and is not read, in words for a person: other files of one name, folders inside folders."""

from collections.abc import Iterable
from pathlib import Path

from .base import Decision

_SHOWN = 3


def unread_files(files: Iterable[Path], ending: str | None) -> tuple[Decision, ...]:
    """A decision that names files that are not read; none where there are none."""
    return not_read(files, f"only files that end in {ending} are" if ending else "another file of that name is")


def deeper_files(files: Iterable[Path]) -> tuple[Decision, ...]:
    """A decision that names images in folders inside the folders that are read; none where there are none."""
    return not_read(files, "in a folder of its own: only files beside the others are", names=3)


def not_read(files: Iterable[Path], why: str, *, names: int = 2) -> tuple[Decision, ...]:
    """A decision that names the first of these files, each with the last `names` names of its path, and says why."""
    paths = list(files)
    if not paths:
        return ()
    file_names = ", ".join("/".join(path.parts[-names:]) for path in paths[:_SHOWN])
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return (Decision("not read", f"{file_names}{more} ({why})"),)
