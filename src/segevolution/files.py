"""Files that are either whole or absent: write to a temporary name, then rename.

Temporary names begin with ".partial-" and say which process of which machine made them, so that what a killed process
left can be told from what a living one is writing, and swept.
"""

import errno
import hashlib
import json
import math
import os
import shutil
import socket
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import OutputError, SegevolutionError

PARTIAL = ".partial-"

# Signs that separate folders, or that some system or shell forbids in names.
_UNSAFE = frozenset('/\\:*?"<>|`$')
# Names of devices on Windows, whatever their suffix.
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
# Bytes; file systems hold 255, and suffixes such as ".partial" come on top.
_LONGEST_NAME = 180

# No file takes longer to write; older leftovers go whoever made them, since a container's name never comes back.
_ABANDONED_SECONDS = 24 * 3600.0


@contextmanager
def replacing(path: Path, *, force: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes its place, on failure nothing is left.

    The temporary name keeps the suffixes of `path`, since writers choose a format by them. The body may
    make a file or a folder there.

    Raises:
        OutputError: `path` exists and `force` is False, or its folder cannot be written.
    """
    path = Path(path)
    check_writable(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = partial_folder(path.parent)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    temporary = holder / path.name
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(holder, ignore_errors=True)


@contextmanager
def replacing_together(
    paths: Sequence[Path], *, force: bool = True, removed: Sequence[Path] = ()
) -> Iterator[list[Path]]:
    """Yield a temporary path for each of several files; on success all appear, on failure none does.

    Files that stood there before are first moved aside, all of them, and only then do the new ones take their names;
    where one cannot, all that was done is undone. So a new mask never stands beside the key of an old one: a process
    that is killed in between leaves some files missing, and none of two generations. What the body writes beside a
    temporary path (the voxels of a detached header) appears with it.

    Args:
        removed: files in the folders of `paths` that go when the new ones appear, as they belong to those before.

    Raises:
        OutputError: a file exists and `force` is False, or a folder cannot be written.
    """
    paths = [Path(path) for path in paths]
    for path in paths:
        check_writable(path, force=force)
    with ExitStack() as stack:
        new_folders = _missing_folders(paths)
        holders: dict[Path, Path] = {}
        try:
            for folder in dict.fromkeys(path.parent for path in paths):
                folder.mkdir(parents=True, exist_ok=True)
                holders[folder] = partial_folder(folder)
                stack.callback(shutil.rmtree, holders[folder], ignore_errors=True)
            yield [holders[path.parent] / path.name for path in paths]
            _place_all(holders, removed, force)
        except BaseException as error:
            stack.close()
            for folder in new_folders:
                with suppress(OSError):
                    folder.rmdir()
            if isinstance(error, OSError):
                where = error.filename2 or error.filename or paths[0]
                raise OutputError(f"{where} cannot be written: {error.strerror or error}.") from error
            raise


def _missing_folders(paths: Sequence[Path]) -> list[Path]:
    """The folders that have to be made for these files, the deepest first."""
    missing = {folder for path in paths for folder in path.parents if not is_taken(folder)}
    return sorted(missing, key=lambda folder: -len(folder.parts))


def _place_all(holders: Mapping[Path, Path], removed: Sequence[Path], force: bool) -> None:
    """Move every file of the temporary folders to its place, or leave all places as they were."""
    moves = [(file, folder / file.name) for folder, holder in holders.items() for file in sorted(holder.iterdir())]
    earlier_files = [path for path in dict.fromkeys([*(target for _, target in moves), *removed]) if is_taken(path)]
    aside = [(path, holders[path.parent] / "before" / path.name) for path in earlier_files]
    for target, _ in aside:
        check_writable(target, force=force)
    moved_aside: list[tuple[Path, Path]] = []
    try:
        for target, backup in aside:
            backup.parent.mkdir(exist_ok=True)
            target.replace(backup)
            moved_aside.append((target, backup))
        for file, target in moves:
            file.replace(target)
            moved_aside.append((file, target))
    except BaseException:
        for origin, place in reversed(moved_aside):
            place.replace(origin)
        raise


def partial_folder(parent: Path) -> Path:
    """A new empty folder in `parent` under a temporary name; OSError where it cannot be made."""
    return Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{process_name()}-", dir=parent))


def sweep(parent: Path) -> int:
    """Delete what killed processes of this machine left in a folder, and what is a day old; returns how many."""
    abandoned = [path for path in Path(parent).glob(f"{PARTIAL}*") if _abandoned(path)]
    for path in abandoned:
        shutil.rmtree(path, ignore_errors=True)
    return len(abandoned)


def process_name() -> str:
    """This process by its machine and number, such as "node3-4711"; see `has_ended`."""
    return f"{socket.gethostname().replace('-', '_')}-{os.getpid()}"


def has_ended(name: str) -> bool:
    """Whether a process, by the name that `process_name` gave it, ran on this machine and runs no more."""
    host, _, number = name.partition("-")
    # Elsewhere than on POSIX, signal 0 is no question but a signal.
    if host != process_name().partition("-")[0] or not number.isdigit() or os.name != "posix":
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return _is_zombie(int(number))


def _abandoned(path: Path) -> bool:
    """Whether the process that a temporary folder names ran here and runs no more, or the folder is a day old."""
    try:
        if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
            return True
    except OSError:
        return False
    host, _, rest = path.name.removeprefix(PARTIAL).partition("-")
    return has_ended(f"{host}-{rest.partition('-')[0]}")


def _is_zombie(process: int) -> bool:
    """Whether a process has ended and nobody has asked for its status yet, where the system can tell (Linux)."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def is_taken(path: Path) -> bool:
    """Whether anything lies at a path: also a link to nothing, by which git-annex stands for content not fetched."""
    return os.path.lexists(path)


def check_writable(path: Path, *, force: bool = True) -> None:
    """Refuse early, before any long computation, a path that could not be written later.

    Raises:
        OutputError: it exists and `force` is False, a name in it is too long, or the nearest existing parent is no
            writable folder.
    """
    path = Path(path)
    if is_taken(path) and not force:
        raise OutputError(f"{path} exists already; use --force to replace it, or choose another name.")
    parent = _nearest_parent(path)
    if not parent.is_dir():
        raise OutputError(f"{path} cannot be written: {parent} is not a folder.")
    if not os.access(parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: no permission to write in {parent}.")
    check_name_lengths(path)


def check_name_lengths(path: Path) -> None:
    """Refuse a path with a name that is longer than its file system holds; raises OutputError."""
    parent = _nearest_parent(path)
    for name in path.relative_to(parent).parts:
        try:
            (parent / name).lstat()
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise OutputError(f"{path} cannot be written: its name is too long; choose a shorter one.") from error


def _nearest_parent(path: Path) -> Path:
    return next((parent for parent in path.parents if is_taken(parent)), path)  # "." and "/" have no parents


def safe_name(name: str, what: str, *, error: type[SegevolutionError] = OutputError) -> str:
    """The name, if it can be that of one file or folder on every system, inside the folder that it is put into.

    Letters and digits of any script, spaces and most signs are allowed; what leads elsewhere ("..", "/"), hides a
    file, reads as an option ("-f") or cannot be printed is not.

    Args:
        what: is named, for the sentence: "a case", "a recipe".
        error: the class that is raised.

    Raises:
        error: it cannot be such a name; the sentence shows it.
    """
    reserved = name.partition(".")[0].upper() in _RESERVED
    ends_well = name == name.strip() and not name.startswith((".", "-", "~")) and not name.endswith(".")
    if not name or not ends_well or reserved or not name.isprintable() or _UNSAFE & set(name):
        printable_name = name[:_LONGEST_NAME].encode("unicode_escape").decode() if not name.isprintable() else name[:80]
        raise error(
            f'"{printable_name}" cannot be the name of {what}: use letters, digits, "_", "-", "+" and ".", and begin '
            "with a letter or digit."
        )
    if len(name.encode("utf-8")) > _LONGEST_NAME:
        raise error(f'"{name[:40]}..." is too long for the name of {what}: use at most {_LONGEST_NAME} letters.')
    return name


def utf8_text(text: str) -> str:
    """Text that UTF-8 can hold: what a path has of other bytes becomes an escape, such as "\\udcff" for byte 255."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Text for a terminal: what would end the line or steer the terminal becomes an escape, such as "\\n"."""
    return "".join(
        sign if sign.isprintable() or unicodedata.category(sign) == "Zs" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; see `utf8_text`."""
    with replacing(path) as temporary:
        temporary.write_text(utf8_text(text), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; see `json_text`."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Indented JSON and a line's end; see `plain_values`."""
    return json.dumps(plain_values(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain_values(value: Any) -> Any:
    """The value as JSON holds it: tuples become lists, NaN and infinity None; text is `utf8_text`."""
    if isinstance(value, Mapping):
        return {utf8_text(key) if isinstance(key, str) else key: plain_values(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(inner) for inner in value]
    if isinstance(value, str):
        return utf8_text(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
