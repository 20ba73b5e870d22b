"""A folder that an export makes: it is not there before, or empty, and appears whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import OutputError
from ..files import check_writable, is_taken, replacing


def check_new(folder: Path) -> None:
    """Refuse, before any work, a place that is taken.

    Raises:
        OutputError: something is there that is no empty folder, or it cannot be written.
    """
    folder = Path(folder)
    if is_taken(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise OutputError(f"{folder} exists already and is not empty; an export is never mixed with anything else.")
    check_writable(folder)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder under a temporary name; on success it takes its place, on failure nothing is left.

    Raises:
        OutputError: as `check_new`.
    """
    check_new(folder)
    with replacing(Path(folder).absolute()) as temporary:
        temporary.mkdir()
        yield temporary
