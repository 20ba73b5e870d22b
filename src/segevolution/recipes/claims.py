"""Claims: of several processes that share a folder, one does a piece of work, and the others wait or do something else.

A claim is a file `<name>.claim-<n>` that its holder made, and touches while it works. Whoever finds it abandoned (its
process has ended, or it has not been touched for a while) makes the file with the next number; that only one can do
so decides. So nothing has to be deleted to take over, and a claim that is taken over twice has one holder still.
"""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from ..files import has_ended, process_name

TOUCHED_SECONDS = 20.0  # between two signs of life
DEAD_SECONDS = 240.0  # without one; more than shared file systems are late
POLL_SECONDS = 2.0


@contextmanager
def claimed(folder: Path, name: str, *, wait: bool = True) -> Iterator[bool]:
    """Hold a claim while the body runs.

    Args:
        folder: where claims lie; it is made, and removed again where it becomes empty.
        name: of the work, a file's name.
        wait: until the claim is free; otherwise yield False where another process holds it.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = _take(folder, name)
    while path is None and wait:
        time.sleep(POLL_SECONDS)
        path = _take(folder, name)
    if path is None:
        yield False
        return
    ended = threading.Event()
    pulse = threading.Thread(target=_touch, args=(path, ended), daemon=True)
    pulse.start()
    try:
        yield True
    finally:
        ended.set()
        pulse.join()
        for number in _numbers(folder, name):
            if number <= int(path.name.rpartition("-")[2]):
                _path(folder, name, number).unlink(missing_ok=True)
        with suppress(OSError):  # other claims lie there
            folder.rmdir()


def _take(folder: Path, name: str) -> Path | None:
    """The file of a claim that is ours from now on; None where another process holds it."""
    numbers = _numbers(folder, name)
    if numbers and not _abandoned(_path(folder, name, numbers[-1])):
        return None
    path = _path(folder, name, numbers[-1] + 1 if numbers else 1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(process_name())
    except FileExistsError:
        return None
    except FileNotFoundError:  # another process removed the empty folder in between
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    return path


def _numbers(folder: Path, name: str) -> list[int]:
    pattern = re.compile(re.escape(name) + r"\.claim-(\d+)")
    try:
        matches = [pattern.fullmatch(entry.name) for entry in folder.iterdir()]
    except FileNotFoundError:
        return []
    return sorted(int(match[1]) for match in matches if match)


def _path(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}.claim-{number}"


def _abandoned(path: Path) -> bool:
    """Whether whoever made a claim works no more."""
    try:
        holder, touched = path.read_text("utf-8"), path.stat().st_mtime
    except FileNotFoundError:
        return False  # it has just been given back; the next look finds none
    except (OSError, UnicodeDecodeError):
        return False
    return has_ended(holder) or _now(path.parent) - touched > DEAD_SECONDS


def _now(folder: Path) -> float:
    """The time by the clock of the file system, which may be another machine's."""
    probe = folder / f".now-{process_name()}-{threading.get_ident()}"
    try:
        probe.touch()
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
    except OSError:
        return time.time()
    return now


def _touch(path: Path, ended: threading.Event) -> None:
    while not ended.wait(TOUCHED_SECONDS):
        with suppress(OSError):  # a later sign of life may come through
            os.utime(path)
