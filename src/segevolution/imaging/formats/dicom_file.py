"""One DICOM file as a data set, opened with the care that every file gets, its damage told in a sentence."""

import contextlib
import warnings
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
    """Those of a folder and its subfolders; what macOS leaves in archives ("._x", __MACOSX) is none of them."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not file.name.startswith("._") and "__MACOSX" not in file.relative_to(folder).parts
    )
