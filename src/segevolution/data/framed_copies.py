"""Framed copies of a store's cases: each case is framed once for all networks that frame alike, and read by part.

    STORE/framed/<case>-<key>/framed.json   what `FramedFile` says
    STORE/framed/<case>-<key>/image.b2nd    (D, H, W) float16, normalised
    STORE/framed/<case>-<key>/labels.b2nd   (D, H, W) unsigned integers
    STORE/framed/<case>-<key>/index.npy     int32, a row a label value: value, first voxel, one after the last, counts

The key is a digest of the case's content and of what a network asks of its frame, so that a case that changed, or
another network, gets a copy of its own. A copy appears by one rename. The whole folder may be deleted while nothing
trains: what is needed is made again.
"""

import errno
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ..documents import Document, read_json
from ..errors import OutputError, StoreError
from ..files import partial_folder, write_json
from ..imaging.framing import Frame
from ..imaging.volume import Volume
from .arrays import FRAMED_IMAGE, FRAMED_LABELS, write_array
from .label_index import LabelIndex
from .record import CaseRecord
from .store import Store
from .streaming import StreamedArray, StreamedLabels
from .windows import FramedCase, structures_seen

VERSION = 1  # of the layout, and of the code that frames: raise it where either changes

_FILES = ("image.b2nd", "labels.b2nd", "index.npy")
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_BOUNDS = 6  # numbers of a row of the index between its value and its counts

_Side = Annotated[int, Field(gt=0)]


def frame_key(intensity: str, spacing: Sequence[float] | None = None) -> tuple[object, ...]:
    """What decides `imaging.framing.frame` beside the volume, as values that JSON can say."""
    return "frame", intensity, spacing, *(() if spacing is None else ("centred",))


class FramedFile(Document):
    """framed.json.

    Attributes:
        version: of the copy.
        shape: (D, H, W).
        labels: dtype of the label map.
        pad, bounds: see FramedCase.
        bytes: file -> its size, by which a copy that was cut short is known.
    """

    version: int
    shape: tuple[_Side, _Side, _Side]
    labels: str
    pad: float
    bounds: tuple[float, float]
    bytes: dict[str, int]


class FramedCopies:
    """Cases of a store, framed for one network.

    Args:
        store: whose folder holds the copies.
        preparation: all that decides a frame beside the case, as values that JSON can say.
        prepare: frames a volume.
    """

    def __init__(self, store: Store, preparation: Sequence[object], prepare: Callable[[Volume], Frame]) -> None:
        self.store, self.preparation, self.prepare = store, tuple(preparation), prepare
        self.folder = store.path / "framed"

    def case(self, record: CaseRecord, labelled: frozenset[str], known: frozenset[str]) -> FramedCase:
        """A case whose arrays are read from its copy, which is made where there is none.

        Where the store may only be read, the case is kept in memory instead, and a warning says so.

        Args:
            record: of the case.
            labelled, known: see `FramedCase.make`.

        Raises:
            StoreError, VolumeError: the case is damaged, or cannot be framed.
            OutputError: the copy cannot be written, for instance because the disk is full.
        """
        place = self.folder / f"{record.name}-{self._key(record)}"
        facts = _facts(place)
        if facts is None:
            case = self.store.read(record.name)
            framed = FramedCase.make(case, self.prepare(case.volume), labelled, known)
            try:
                self._write(place, framed)
            except OSError as error:
                if error.errno not in _FORBIDDEN:
                    raise OutputError(
                        f"{place}, the framed copy of a case, cannot be written: {error.strerror or error}."
                    ) from error
                logging.getLogger(__name__).warning(
                    "%s may not be written (%s), so %s is kept in memory for this training.",
                    self.folder,
                    error.strerror,
                    record.name,
                )
                return framed
            facts = _facts(place)
            if facts is None:
                raise OutputError(f"{place}, the framed copy of a case, was deleted while it was written; call again.")
        return _case(place, facts, record, labelled, known)

    def _key(self, record: CaseRecord) -> str:
        text = json.dumps([VERSION, record.sha256, self.preparation], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _write(self, place: Path, case: FramedCase) -> None:
        """Write a copy; where another process was first, its copy stays."""
        image, labels = np.asarray(case.image), np.asarray(case.labels)
        self.folder.mkdir(exist_ok=True)
        holder = partial_folder(self.folder)
        try:
            write_array(holder / _FILES[0], image, FRAMED_IMAGE)
            write_array(holder / _FILES[1], labels, FRAMED_LABELS)
            np.save(holder / _FILES[2], _rows(case.index, len(labels)))
            facts = FramedFile(
                version=VERSION,
                shape=image.shape,
                labels=labels.dtype.name,
                pad=case.pad,
                bounds=case.bounds,
                bytes={name: (holder / name).stat().st_size for name in _FILES},
            )
            write_json(holder / "framed.json", facts.model_dump(mode="json"))
            holder.chmod(0o755)
            if place.exists() and _facts(place) is None:
                shutil.rmtree(place)
            try:
                holder.rename(place)
            except OSError:
                if _facts(place) is None:
                    raise
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def _facts(place: Path) -> FramedFile | None:
    """What a copy says of itself; None where it is not there whole."""
    with suppress(StoreError, OSError):
        facts = read_json(place / "framed.json", FramedFile, error=StoreError)
        sizes = {name: (place / name).stat().st_size for name in _FILES}
        if facts.version == VERSION and facts.bytes == sizes and facts.labels in ("uint8", "uint16"):
            return facts
    return None


def _case(
    place: Path, facts: FramedFile, record: CaseRecord, labelled: frozenset[str], known: frozenset[str]
) -> FramedCase:
    index = _index(place / _FILES[2], facts.shape)
    structures, absent = structures_seen(record.structures, set(index.counts), labelled, known)
    return FramedCase(
        record.name,
        record.modality,
        StreamedArray(place / _FILES[0], facts.shape, np.float16),
        StreamedLabels(place / _FILES[1], facts.shape, facts.labels, index),
        structures,
        absent,
        facts.pad,
        facts.bounds,
        record.dataset,
    )


def _rows(index: LabelIndex, depth: int) -> Any:
    """(values, 7 + D) int32."""
    rows = np.zeros((len(index.counts), 1 + _BOUNDS + depth), np.int32)
    for row, (value, counts) in zip(rows, sorted(index.counts.items()), strict=True):
        low, high = index.bounds.get(value, ((0, 0, 0), (0, 0, 0)))
        row[:] = (value, *low, *high, *counts)
    return rows


def _index(path: Path, shape: tuple[int, int, int]) -> LabelIndex:
    try:
        rows = np.load(path, allow_pickle=False)
        if rows.dtype != np.int32 or rows.ndim != 2 or rows.shape[1] != 1 + _BOUNDS + shape[0]:
            raise ValueError("another table")
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{path} is damaged; delete {path.parent} and call again, and it is made anew.") from error
    bounds = {
        int(row[0]): ((int(row[1]), int(row[2]), int(row[3])), (int(row[4]), int(row[5]), int(row[6])))
        for row in rows
        if row[0]
    }
    return LabelIndex({int(row[0]): row[1 + _BOUNDS :] for row in rows}, bounds)
