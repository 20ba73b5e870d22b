"""One DICOM file as a data set, opened with the care that every file gets, its damage told in a sentence."""

import contextlib
import os
import warnings
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from ...errors import FormatError, SegevolutionError
from ...memory import MemoryBudget
from .dicom_deflated import check_deflated
from .stored_bytes import require_regular

SUFFIXES = (".dcm", ".ima", ".dicom")

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
LABEL_MAP_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.7"
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATIONS = (SEGMENTATION, LABEL_MAP_SEGMENTATION)
"""SOP classes of what holds labels and no signal."""
UTF_8 = "ISO_IR 192"
"""The character set of files whose labels have letters beyond ASCII; others keep that of their series."""

_FRAME_OF_REFERENCE = 0x00200052  # the last tag of those that `identity` reads


@contextlib.contextmanager
def without_warnings() -> Iterator[None]:
    """pydicom warns of every value that bends the standard; what matters to a volume is checked here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def blaming(file: Path) -> Iterator[None]:
    """pydicom decodes a tag when it is asked for, so damage may show at any access, and as any error."""
    try:
        yield
    except SegevolutionError:
        raise
    except Exception as error:
        raise FormatError(f"{file} is truncated or damaged, so it cannot be read; copy it again.") from error


def load(file: Path, memory: MemoryBudget, *, pixels: bool) -> pydicom.Dataset | None:
    """A file's data set; None for a file that is not DICOM and does not claim to be."""
    memory.require(require_regular(file, file), str(file))
    try:
        check_deflated(file, memory)
        return pydicom.dcmread(file, stop_before_pixels=not pixels)
    except InvalidDicomError as error:
        if file.suffix.lower() in SUFFIXES:
            raise FormatError(f"{file} is not a DICOM file; remove it from the folder, or copy it again.") from error
        return None


def identity(file: Path) -> pydicom.Dataset | None:
    """What a file is, and of whom: its tags up to the frame of reference (0020,0052); None for what is not DICOM."""
    with without_warnings(), blaming(file):
        require_regular(file, file)
        with file.open("rb") as stream:
            try:
                return pydicom.filereader.read_partial(stream, lambda tag, vr, length: tag > _FRAME_OF_REFERENCE)
            except InvalidDicomError:
                return None


def files_below(folder: Path) -> list[Path]:
    """Those of a folder and its subfolders; what macOS leaves in archives ("._x", __MACOSX) is none of them.

    A link to a folder is followed, but none to a folder that this one lies in, and no folder is looked through twice.
    """
    files: list[Path] = []
    folders, visited = deque([Path(folder)]), {*Path(folder).resolve().parents}
    while folders:
        current = folders.popleft()
        place = current.resolve()
        if place in visited:
            continue
        visited.add(place)
        for entry in _entries(current):
            linked, path = entry.is_symlink(), current / entry.name
            if path.is_dir() if linked else entry.is_dir():
                # Linked folders come last, so that a folder is known by its own path where it has one here.
                (folders.append if linked else folders.appendleft)(path)
            elif path.is_file() if linked else entry.is_file():
                files.append(path)
    return sorted(files)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name != "__MACOSX" and not entry.name.startswith("._")]
    except OSError:
        return []  # a folder that may not be looked into, such as lost+found
