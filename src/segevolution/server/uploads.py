"""A file that a client sent, read with the care that files get, in a folder of its own that is gone afterwards."""

import lzma
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from threading import Lock

from ..errors import FormatError, SegevolutionError
from ..files import partial_folder, safe_name
from ..imaging.formats import read, read_labels
from ..imaging.formats.base import SUFFIXES
from ..imaging.volume import Volume
from ..memory import GIGABYTE
from .faults import BadRequest, TooLarge
from .settings import Settings

_DETACHED = (".hdr", ".img", ".hdr.gz", ".img.gz", ".nhdr", ".mhd")  # headers whose voxels lie in another file
ONE_FILE = tuple(suffix for suffix in SUFFIXES if suffix not in _DETACHED)
ACCEPTED = (*ONE_FILE, ".zip")
_IMAGES = tuple(suffix for suffix in ONE_FILE if not suffix.endswith(".dcm"))
_MOST_FILES = 20_000
_CHUNK = 1 << 20

_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError),
    *(RuntimeError, NotImplementedError),  # a password, or a way of packing that is not known
)

# One at a time: reading takes memory of its own beside what is kept.
_READING = Lock()


@dataclass(frozen=True)
class Reading:
    """What a client says of its file; see `imaging.formats.read`."""

    modality: str | None = None
    series: str | None = None
    orientation: str | None = None
    spacing: Sequence[float] | None = None
    time: int | None = None


@contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder for one request; `files.sweep` takes what a killed server leaves."""
    folder = partial_folder(Path(gettempdir()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def upload_name(name: str) -> str:
    """The name of a file that is to come, if one file of that name can be read.

    Raises:
        BadRequest: it is no file's name, or its suffix is not accepted.
    """
    safe_name(name, "a file", error=BadRequest)
    if not name.lower().endswith(ACCEPTED):
        raise BadRequest(f'"{name}" cannot be sent: its name must end in one of {", ".join(ACCEPTED)}.')
    return name


def read_upload(path: Path, settings: Settings, reading: Reading) -> Volume:
    """A file in its own folder as a volume; its name is the file's.

    Raises:
        SegevolutionError: as `imaging.formats.read`; the sentence holds no folder of this machine.
    """
    with _READING, _without_folders(path.parent):
        source = _unzipped(path, settings) if path.suffix.lower() == ".zip" else path
        return read(
            source,
            modality=reading.modality,
            series=reading.series,
            orientation=reading.orientation,
            spacing=reading.spacing,
            time=reading.time,
            max_gigabytes=settings.volume_bytes / GIGABYTE,
        )


def read_label_upload(path: Path, settings: Settings, like: Volume) -> Volume:
    """A label map in its own folder, one of DICOM on the grid of `like`; raises as `imaging.formats.read_labels`."""
    with _READING, _without_folders(path.parent):
        return read_labels(path, like=like, max_gigabytes=settings.volume_bytes / GIGABYTE)


@contextmanager
def _without_folders(folder: Path) -> Iterator[None]:
    """Sentences name files as the client named them."""
    try:
        yield
    except SegevolutionError as error:
        message = str(error).replace(f"{folder}/", "").replace(str(folder), "the upload")
        raise type(error)(message) from None


def _unzipped(path: Path, settings: Settings) -> Path:
    """The files of a zip in one flat folder, numbered; no name in the archive is used as a path.

    Raises:
        FormatError: it is no zip, or damaged, or locked by a password.
        TooLarge: too many files, or too many bytes when unpacked.
    """
    folder = path.with_name("dicom")
    folder.mkdir()
    bytes_left = settings.volume_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir() and _is_wanted(member.filename)]
            if len(members) > _MOST_FILES:
                raise TooLarge(f"{path.name} holds {len(members)} files; send at most {_MOST_FILES} at once.")
            if not members:
                raise FormatError(f"{path.name} holds no file; zip the folder of DICOM files.")
            images = [member for member in members if member.filename.lower().endswith(_IMAGES)]
            if len(images) == len(members):
                raise FormatError(f"{path.name} holds no DICOM files but other images; send such a file as it is.")
            for number, member in enumerate(members, 1):
                suffix = ".dcm" if member.filename.lower().endswith(".dcm") else ""
                with archive.open(member) as source, (folder / f"{number:05d}{suffix}").open("wb") as target:
                    while chunk := source.read(_CHUNK):
                        bytes_left -= len(chunk)
                        if bytes_left < 0:
                            raise TooLarge(
                                f"{path.name} unpacks to more than {settings.volume_bytes / GIGABYTE:g} GB, which is "
                                "what this server takes."
                            )
                        target.write(chunk)
    except _DAMAGE as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise FormatError(f"{path.name} cannot be unpacked: it is no zip, or damaged, or locked.") from error
    return folder


def _is_wanted(name: str) -> bool:
    parts = name.replace("\\", "/").split("/")
    return "__MACOSX" not in parts and not parts[-1].startswith(".") and parts[-1].upper() != "DICOMDIR"
