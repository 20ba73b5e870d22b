"""What tells the image of a case from another of the same name: its DICOM series, or what its file holds.

A store knows a case by its name, and two hospitals use the same names. Files may move from one machine to another, so
where an image lies tells nothing against it; only an image at another place and of another content is another one.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError
from ..imaging.formats import image_files

_WHOLE = 1 << 20  # bytes up to which a file is read whole
_BLOCK = 1 << 12
_BLOCKS = 256  # of a larger file, spread evenly; two images that differ, differ in one of them


@dataclass(frozen=True)
class ImageIdentity:
    """What an image was when a case was made of it.

    Attributes:
        path: absolute, of its file or folder.
        content: SHA-256 of its size and of bytes spread over it, or its SeriesInstanceUID.
        is_series: whether `content` is a SeriesInstanceUID.
    """

    path: str
    content: str
    is_series: bool = False

    def is_another(self, other: "ImageIdentity") -> bool:
        """Whether the other is certainly not this image; a file that was changed in its place still is."""
        in_place = self.path == other.path and not self.is_series
        return self.is_series == other.is_series and self.content != other.content and not in_place

    def is_same(self, other: "ImageIdentity") -> bool:
        """Whether the other is certainly this image, wherever it lies."""
        return self.is_series == other.is_series and self.content == other.content

    def is_changed(self, other: "ImageIdentity") -> bool:
        """Whether the other is this file or folder, with another content."""
        return self.path == other.path and not self.is_series and not other.is_series and self.content != other.content


def image_identity(path: Path, series: str | None = None) -> ImageIdentity | None:
    """The identity of an image; None where it cannot be read.

    Args:
        path: its file, or a folder of slices.
        series: its SeriesInstanceUID, where a layout tells series apart.
    """
    if series:
        return ImageIdentity(str(path.absolute()), series, is_series=True)
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            for block in _samples(file):
                digest.update(block)
    except OSError:
        return None
    return ImageIdentity(str(path.absolute()), digest.hexdigest())


def _files(path: Path) -> Sequence[Path]:
    """The files of an image: one, a header and its voxels, or the slices of a folder."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    try:
        return [file for file in image_files(path) if file.is_file()]
    except FormatError:
        return [path]  # what is wrong with it is said where it is read


def _samples(file: Path) -> Iterator[bytes]:
    size = file.stat().st_size
    yield f"{size};".encode()
    with file.open("rb") as stream:
        if size <= _WHOLE:
            yield stream.read(size)
            return
        for block in range(_BLOCKS):
            stream.seek(block * (size - _BLOCK) // (_BLOCKS - 1))
            yield stream.read(_BLOCK)
