"""A packed training set: framed cases of limited size in one file, to be carried to a machine without the data.

    FILE                    a zip archive whose members are stored, each with its checksum
    pack.json               format, version, what its maker says of it (`facts`), and an entry a case
    cases/N/image           blosc2, whole numbers from 0 to levels - 1 for the image's [0, 1]
    cases/N/labels          blosc2, uint8: 0, and the label values that structures have, numbered anew

Images hold noise, which no codec removes: the difference to the voxel before it in a row compresses some 10 % better
than the voxel itself. Voxels are picked, not blended, as views pick them (see `windows`). The same cases give the same
bytes.
"""

import hashlib
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import blosc2
import numpy as np
from pydantic import Field

from ..documents import Document, json_from_text
from ..errors import OutputError, StoreError
from ..files import replacing
from ..imaging.framing import resize_nearest
from ..imaging.grid import Array, Triple
from ..vocabulary import Modality
from .windows import FramedCase

FORMAT = "segevolution pack"
VERSION = 1

_INDEX = "pack.json"
# What the libraries raise on a damaged archive or member of it.
_DAMAGES = (
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    NotImplementedError,
    EOFError,
    OSError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_LARGEST_RATIO = 100
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: a date of writing would make equal packs differ
_MOST_VALUES = 255  # label values that uint8 numbers, beside 0
_COMPRESSION = blosc2.CParams(
    codec=blosc2.Codec.ZSTD, clevel=9, filters=[blosc2.Filter.NOFILTER], typesize=1, nthreads=1
)


@dataclass(frozen=True)
class PackLimits:
    """How large a packed case may be.

    Attributes:
        finest: millimetres (x, y, z) between voxels; a case that is finer is thinned, a coarser one stays.
        voxels: most voxels a case; all sides shrink alike.
        levels: brightness levels of an image, 2 to 256.
    """

    finest: tuple[float, float, float] = (1.5, 1.5, 2.5)
    voxels: int = 1_000_000
    levels: int = 256

    def shape(self, size: tuple[int, ...], spacing: tuple[float, float, float]) -> Triple:
        """The shape (D, H, W) of a packed case, from that of its frame and its spacing (x, y, z) in millimetres."""
        # A hair more, so that a case of just the finest spacing does not lose a voxel to rounding.
        ratio = np.minimum(1.0, np.asarray(spacing)[::-1] / np.asarray(self.finest)[::-1]) + 1e-9
        sides = np.maximum(1, np.floor(np.asarray(size) * ratio))
        # Once is enough, unless a side was so short that the others must shrink for it.
        while (excess := float(np.prod(sides)) / self.voxels) > 1:
            sides = np.maximum(1, np.floor(sides / excess ** (1 / np.count_nonzero(sides > 1))))
        d, h, w = (int(side) for side in sides)
        return d, h, w


@dataclass(frozen=True, eq=False)
class PackEntry:
    """A case of a pack.

    Attributes:
        dataset: of the recipe; cases of one dataset share a weight in sampling.
        role: "train" or "validation".
        case: framed, its image with as many levels as `levels` says.
        levels: see PackLimits.
    """

    dataset: str
    role: str
    case: FramedCase
    levels: int = 256


@dataclass(frozen=True, eq=False)
class Pack:
    """A pack in memory.

    Attributes:
        path: where it was read.
        sha256: of the file.
        facts: what its maker said of it.
        entries: what `pack.json` says of each case.
        archive: its bytes, compressed.
    """

    path: Path
    sha256: str
    facts: Mapping[str, Any]
    entries: tuple["PackedCase", ...]
    archive: zipfile.ZipFile

    def names(self, dataset: str, role: str) -> list[str]:
        """Names of cases, in their order."""
        return [entry.name for entry in self._of(dataset, role)]

    def cases(self, dataset: str, role: str) -> tuple[FramedCase, ...]:
        """Cases ready for training, in their order.

        Raises:
            StoreError: the file is damaged.
        """
        try:
            return tuple(self._case(entry) for entry in self._of(dataset, role))
        except _DAMAGES as error:
            raise _damaged(self.path) from error

    def _of(self, dataset: str, role: str) -> list["PackedCase"]:
        return [entry for entry in self.entries if (entry.dataset, entry.role) == (dataset, role)]

    def _case(self, entry: "PackedCase") -> FramedCase:
        number, shape = entry.number, entry.shape
        steps = _unpacked(self.archive.read(f"cases/{number}/image"), shape)
        image = np.cumsum(steps, axis=2, dtype=np.uint8).astype(np.float32) / np.float32(entry.levels - 1)
        return FramedCase(
            entry.name,
            entry.modality,
            image.astype(np.float16),
            _unpacked(self.archive.read(f"cases/{number}/labels"), shape),
            {name: tuple(values) for name, values in entry.structures.items()},
            tuple(entry.absent),
        )


_Side = Annotated[int, Field(gt=0, le=4096)]


class PackedCase(Document):
    """What `pack.json` says of a case; see `PackEntry`."""

    number: Annotated[int, Field(ge=0)]
    dataset: str
    role: str
    name: str
    modality: Modality | None
    shape: tuple[_Side, _Side, _Side]
    levels: Annotated[int, Field(ge=2, le=256)]
    structures: dict[str, list[int]]
    absent: list[str]


class _Index(Document):
    """`pack.json`."""

    format: str
    version: int
    facts: dict[str, Any]
    cases: list[PackedCase]


def thinned(case: FramedCase, spacing: tuple[float, float, float], limits: PackLimits) -> FramedCase:
    """A case within limits of size, its label values numbered anew from 1.

    Structures that lose their last voxel are left out, and are not called absent: the patient has them.

    Args:
        case: at its own resolution.
        spacing: of that, (x, y, z) in millimetres.
        limits: of the pack; levels are those of its file and change nothing here.

    Raises:
        StoreError: there are more label values than uint8 holds.
    """
    shape = limits.shape(case.image.shape, spacing)
    values = sorted({value for group in case.structures.values() for value in group})
    if len(values) > _MOST_VALUES:
        raise StoreError(
            f"{case.name} has {len(values)} label values, a pack holds {_MOST_VALUES}; ask for fewer structures."
        )
    fresh = {value: place for place, value in enumerate(values, start=1)}
    picked = resize_nearest(np.asarray(case.labels), shape)
    labels = np.zeros(shape, np.uint8)
    for value, number in fresh.items():
        labels[picked == value] = number
    present_values = set(np.unique(labels).tolist())
    structures = {
        name: tuple(fresh[value] for value in group)
        for name, group in case.structures.items()
        if any(fresh[value] in present_values for value in group)
    }
    image = np.ascontiguousarray(resize_nearest(np.asarray(case.image), shape))
    return replace(case, image=image, labels=labels, structures=structures)


def write_pack(
    path: Path,
    entries: Iterable[PackEntry],
    facts: Mapping[str, Any],
    *,
    most_bytes: int | None = None,
    force: bool = False,
) -> int:
    """Write a pack, whole or not at all; returns its bytes.

    Args:
        path: of the file.
        entries: cases, written in this order as they come.
        facts: plain values that `read_pack` gives back.
        most_bytes: refuse a larger file.
        force: replace a file that is there.

    Raises:
        OutputError: the file cannot be written, is there already, or would be too large.
        StoreError: an image is not within [0, 1].
    """
    with replacing(path, force=force) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            index = []
            for number, entry in enumerate(entries):
                index.append(_write_case(archive, number, entry))
            header = {"format": FORMAT, "version": VERSION, "facts": dict(facts), "cases": index}
            _write_member(archive, _INDEX, json.dumps(header, ensure_ascii=False).encode())
        size = temporary.stat().st_size
        if most_bytes is not None and size > most_bytes:
            raise OutputError(
                f"{path} would have {size / 1e6:.1f} MB, more than {most_bytes / 1e6:.1f} MB; "
                "lower the voxels, the levels or the number of cases that are packed."
            )
    return size


def read_pack(path: Path) -> Pack:
    """Open a pack and check every byte of it.

    Raises:
        StoreError: there is none, it is damaged, or a newer version of this package made it.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        _check_sizes(archive, path)
        index = archive.read(_INDEX)
        whole = archive.testzip() is None
    except _DAMAGES as error:
        raise _damaged(path) from error
    header = json_from_text(index, _Index, where=f"{path}, {_INDEX}", error=StoreError)
    if header.format != FORMAT or not whole:
        raise _damaged(path)
    if header.version != VERSION:
        raise StoreError(
            f"{path} is a pack of version {header.version}, this package reads {VERSION}; update the package."
        )
    return Pack(path, hashlib.sha256(content).hexdigest(), header.facts, tuple(header.cases), archive)


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive whose members unpack to far more than they are, as no pack's do: they are compressed before."""
    for member in archive.infolist():
        if member.file_size > _LARGEST_RATIO * member.compress_size + 2**20:
            raise StoreError(f"{path} holds {member.filename[:60]}, which unpacks to {member.file_size:,} bytes.")


def _write_case(archive: zipfile.ZipFile, number: int, entry: PackEntry) -> dict[str, Any]:
    case, image = entry.case, np.asarray(entry.case.image)
    if image.min() < 0 or image.max() > 1:
        raise StoreError(
            f"{case.name} has brightness beyond 0 to 1, which a pack cannot hold; choose another intensity."
        )
    levels = np.rint(image.astype(np.float32) * (entry.levels - 1)).astype(np.uint8)
    # Differences wrap round at 256, and so does the sum that undoes them.
    _write_member(archive, f"cases/{number}/image", _packed(np.diff(levels, axis=2, prepend=np.uint8(0))))
    _write_member(archive, f"cases/{number}/labels", _packed(np.asarray(case.labels)))
    return {
        "number": number,
        "dataset": entry.dataset,
        "role": entry.role,
        "name": case.name,
        "modality": case.modality.value if case.modality else None,
        "shape": list(image.shape),
        "levels": entry.levels,
        "structures": {name: list(values) for name, values in case.structures.items()},
        "absent": list(case.absent),
    }


def _write_member(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)


def _packed(array: Array) -> bytes:
    packed = blosc2.compress2(np.ascontiguousarray(array), cparams=_COMPRESSION)
    assert isinstance(packed, bytes)
    return packed


def _unpacked(content: bytes, shape: tuple[int, ...]) -> Array:
    """A uint8 array of its own; ValueError where the content is of another size."""
    if blosc2.get_cbuffer_sizes(content)[0] != math.prod(shape):
        raise ValueError("another size")
    return np.frombuffer(bytearray(blosc2.decompress2(content)), np.uint8).reshape(shape)


def _damaged(path: Path) -> StoreError:
    return StoreError(f"{path} is no packed training set, or damaged; copy it again, or make it again with --pack.")
