"""Cases on disk: the signal as measured, where it lies in the patient, and its label map, read by window.

    STORE/store.json                   says that this is a store, and of which format version
    STORE/datasets/<dataset>.json      what is known of a dataset: licence, link, source
    STORE/skipped/<dataset>.json       cases that could not be used, each with its reason; absent where there is none
    STORE/decisions/<dataset>.json     what its source took for granted: names, unions, patients; absent where nothing
    STORE/cases/<case>/case.json       a `CaseRecord`
    STORE/cases/<case>/signal.b2nd     blosc2, lossless, the dtype that was measured (see `arrays`)
    STORE/cases/<case>/labels.b2nd     blosc2, unsigned integers
    STORE/framed/                      copies that trainings read, see `framed_copies`; absent before the first

A case is one folder that appears by one rename, and the list of cases is the list of folders: any number of
processes may add to one store, and one that is killed leaves nothing half. Arrays lie in canonical (RAS+) axis order;
voxels are turned, never resampled, and the record keeps the grid of the file they came from.
"""

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ..documents import read_json
from ..errors import OutputError, StoreError
from ..files import PARTIAL, check_writable, partial_folder, sweep, write_json
from ..imaging.case import Case
from ..imaging.grid import Array, Triple
from ..imaging.volume import Volume
from ..vocabulary import Modality
from .arrays import LABELS, native, read_array, signal_layout, unsigned_labels, write_array
from .images import ImageIdentity
from .notes import read_notes, write_note
from .record import CaseRecord, content_hash, record_of, text_hash

FORMAT = "segevolution store"
VERSION = 1


class _StoreFile(BaseModel):
    """store.json."""

    format: str
    version: int


class Store:
    """A folder of cases; safe to hand to worker processes, cheap to open.

    Attributes:
        threads: that decompress a window; one is right where several processes read at once.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.path = Path(path)
        self.threads = threads
        self._records: dict[str, CaseRecord] = {}

    @classmethod
    def create(cls, path: Path, force: bool = False) -> "Store":
        """Make an empty store.

        Raises:
            OutputError: the folder cannot be written, or is not empty; `force` empties a store, never any other folder.
        """
        path = Path(path)
        check_writable(path)
        if path.exists() and not _unfinished(path):
            if not force:
                raise OutputError(f"{path} exists already; use --force to replace it, or choose another name.")
            try:
                cls.open(path)
            except StoreError as error:
                raise OutputError(f"{path} is not a store, so it is not replaced; choose another name.") from error
            _discard(path)
        try:
            (path / "cases").mkdir(parents=True, exist_ok=True)
            (path / "datasets").mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror or error}.") from error
        write_json(path / "store.json", {"format": FORMAT, "version": VERSION})
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Open a store that exists.

        Raises:
            StoreError: there is none at `path`, or a newer version of this package made it.
        """
        path = Path(path)
        if not (path / "store.json").is_file():
            raise StoreError(
                f'{path} is not a store (it has no store.json); make one with "segevolution data prepare".'
            )
        header = read_json(path / "store.json", _StoreFile, error=StoreError)
        if header.format != FORMAT:
            raise StoreError(f"{path} is not a store: its store.json is of something else.")
        if header.version != VERSION:
            raise StoreError(
                f"{path} is a store of version {header.version}, this package reads {VERSION}; "
                "update the package, or prepare the data again."
            )
        return cls(path)

    @classmethod
    def ensure(cls, path: Path) -> "Store":
        """The store at `path`, made if nothing is there; processes that make one store at once do not clash."""
        try:
            return cls.create(path)
        except OutputError:
            if Path(path).exists() and not _unfinished(Path(path)):
                return cls.open(path)
            raise

    @property
    def cases(self) -> tuple[CaseRecord, ...]:
        """Every case, sorted by name."""
        return tuple(self.record(name) for name in self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of every case, sorted."""
        if not self._folder.is_dir():
            raise StoreError(f"{self.path} has no folder of cases; prepare the data again.")
        return tuple(sorted(entry.name for entry in self._folder.iterdir() if not entry.name.startswith(".")))

    @property
    def datasets(self) -> dict[str, dict[str, Any]]:
        """Dataset -> what its source said of it (licence, link, kind of source)."""
        return read_notes(self.path / "datasets", dict[str, Any])

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self._folder / name / "case.json").is_file()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def record(self, name: str) -> CaseRecord:
        """What is known of a case without its voxels; StoreError if it is not there."""
        if name not in self._records:
            if name not in self:
                raise StoreError(f"{self.path} has no case {name}; it holds {len(self)} cases, see data show.")
            self._records[name] = CaseRecord.load(self._folder / name / "case.json", name)
        return self._records[name]

    def written(self, name: str) -> float | None:
        """When a case was written, in seconds since 1970; None where it is not there."""
        try:
            return (self._folder / name / "case.json").stat().st_mtime
        except OSError:
            return None

    def describe(self, dataset: str, facts: Mapping[str, Any]) -> None:
        """Keep what a source says of its dataset beside the cases."""
        write_note(self.path / "datasets", dataset, dict(facts))

    @property
    def skipped(self) -> dict[str, dict[str, str]]:
        """Dataset -> case -> why it is not in the store, where the last `prepare` of it left cases out."""
        return read_notes(self.path / "skipped", dict[str, str])

    def note_skipped(self, dataset: str, reasons: Mapping[str, str]) -> None:
        """Keep which cases of a dataset could not be used, and why, in place of what was kept before."""
        if self.skipped.get(dataset, {}) != reasons:
            write_note(self.path / "skipped", dataset, dict(sorted(reasons.items())))

    @property
    def decisions(self) -> dict[str, list[dict[str, str]]]:
        """Dataset -> what its source took for granted, changed or left out, each a "kind" and a "text"."""
        return read_notes(self.path / "decisions", list[dict[str, str]])

    def note_decisions(self, dataset: str, decisions: Sequence[Mapping[str, str]]) -> None:
        """Keep what a source decided, in place of what was kept before."""
        values = [dict(decision) for decision in decisions]
        if values != self.decisions.get(dataset, []):
            write_note(self.path / "decisions", dataset, values)

    def add(self, case: Case, *, update: bool = False, image: ImageIdentity | None = None) -> CaseRecord:
        """Write a case; it is there whole when this returns, and not there at all if it raises.

        Adding the same case again changes nothing. Structures without a voxel are left out; `image` is kept as told.

        Args:
            update: replace a case of this name that differs or is damaged, in place of refusing.

        Raises:
            VolumeError: the volume holds NaN, infinity, or one value only.
            StoreError: another case has this name, or the labels are no label map.
            OutputError: the store cannot be written.
        """
        case.volume.check_voxels()
        volume, turn = case.volume.canonical()
        signal = native(volume.array)
        labels = unsigned_labels(turn.apply(case.labels), case.name)
        record = record_of(replace(case, volume=replace(volume, array=signal), labels=labels), case.volume.grid, image)
        outdated = update and record.name in self and not self._holds(record)
        if record.name not in self or outdated:
            self._write(record, signal, labels, outdated)
        stored = self.record(record.name)
        if stored.sha256 != record.sha256:
            raise StoreError(
                f"{self.path} has another case named {record.name} (of {stored.dataset}); "
                "prepare one of the two with --prefix, or into a store of its own."
            )
        return stored

    def _holds(self, record: CaseRecord) -> bool:
        """Whether this very case is here, undamaged."""
        try:
            self.verify(record.name)
            return self.record(record.name).is_same(record)
        except StoreError:
            return False

    def _write(self, record: CaseRecord, signal: Array, labels: Array, outdated: bool) -> None:
        target = self._folder / record.name
        self._records.pop(record.name, None)
        try:
            holder = partial_folder(self._folder)
            try:
                write_array(holder / "signal.b2nd", signal, signal_layout(signal))
                write_array(holder / "labels.b2nd", labels, LABELS)
                write_json(holder / "case.json", record.to_json())
                holder.chmod(0o755)
                if outdated or (target.exists() and record.name not in self):
                    _discard(target)
                _claim(holder, target)
            finally:
                shutil.rmtree(holder, ignore_errors=True)
        except (OSError, RuntimeError) as error:
            raise OutputError(f"{target} cannot be written: {getattr(error, 'strerror', None) or error}.") from error

    def read(self, name: str) -> Case:
        """A whole case, as it was added but for the axis order, which is canonical."""
        record = self.record(name)
        signal, labels = self.read_window(name, (0, 0, 0), record.shape)
        volume = Volume(
            signal, record.grid, record.modality, record.name, record.origin, spacing_stated=record.spacing_stated
        )
        return Case(
            name=record.name,
            patient=record.patient,
            dataset=record.dataset,
            volume=volume,
            labels=labels,
            structures=dict(record.structures),
            sequence=record.sequence,
            site=record.site,
            part=record.part,
            remark=record.remark,
        )

    def read_window(self, name: str, start: Triple, stop: Triple) -> tuple[Array, Array]:
        """Signal and labels of the voxels [start, stop), each in (X, Y, Z) canonical order; reads little else.

        Raises:
            StoreError: the window is empty or leaves the volume, or the files of the case are damaged.
        """
        record = self.record(name)
        if any(not 0 <= low < high <= side for low, high, side in zip(start, stop, record.shape, strict=True)):
            raise StoreError(f"{name}: the window {start} to {stop} is not inside a volume of shape {record.shape}.")
        window = tuple(slice(int(low), int(high)) for low, high in zip(start, stop, strict=True))
        folder = self._folder / name
        return (
            read_array(folder / "signal.b2nd", window, record.shape, self.threads),
            read_array(folder / "labels.b2nd", window, record.shape, self.threads),
        )

    def select(
        self,
        *,
        names: Collection[str] | None = None,
        datasets: Collection[str] | None = None,
        patients: Collection[str] | None = None,
        modality: Modality | None = None,
        structures: Collection[str] | None = None,
    ) -> tuple[CaseRecord, ...]:
        """The cases that fulfil every condition given; of `structures` a case must carry at least one."""
        return tuple(
            record
            for record in self.cases
            if (names is None or record.name in names)
            and (datasets is None or record.dataset in datasets)
            and (patients is None or record.patient in patients)
            and (modality is None or record.modality is modality)
            and (structures is None or any(structure in record.structures for structure in structures))
        )

    def labelled(self, dataset: str, modality: Modality | None = None) -> frozenset[str]:
        """Every structure that a dataset labels in some patient of this modality; a case without one of them lacks it.

        By modality, since datasets label more in one than in another: AMOS has bladders in CT only.
        """
        return frozenset(
            name for record in self.select(datasets={dataset}, modality=modality) for name in record.structures
        )

    def fingerprint(self) -> str:
        """SHA-256 over the names and contents of all cases: equal where two stores hold the same data."""
        return text_hash(f"{record.name} {record.sha256}" for record in self.cases)

    def verify(self, name: str) -> None:
        """Raise StoreError unless the voxels of a case are those that were written."""
        record = self.record(name)
        signal, labels = self.read_window(name, (0, 0, 0), record.shape)
        if content_hash(record, signal, labels) != record.sha256:
            raise StoreError(f"{self._folder / name} is damaged: its content changed; delete it and prepare again.")

    def sweep(self) -> int:
        """Delete what killed processes of this machine left, and what is a day old; returns how many folders."""
        inner = ("cases", "datasets", "skipped", "decisions", "framed")
        return sum(sweep(folder) for folder in (self.path, *(self.path / name for name in inner)))

    def refresh(self) -> None:
        """Forget the records that were read, where another process may have updated cases."""
        self._records.clear()

    @property
    def _folder(self) -> Path:
        return self.path / "cases"


def _claim(holder: Path, target: Path) -> None:
    """Rename a finished folder into place; where another process was first, its case stays."""
    try:
        holder.rename(target)
    except OSError:
        if not (target / "case.json").is_file():
            raise


def _discard(path: Path) -> None:
    """Delete a folder, which is gone at once by one rename."""
    holder = partial_folder(path.parent)
    path.rename(holder / path.name)
    shutil.rmtree(holder, ignore_errors=True)


def _unfinished(path: Path) -> bool:
    """Whether nothing is here but what a process leaves that was killed while it made a store."""
    return path.is_dir() and all(
        entry.name.startswith(PARTIAL)
        or (entry.name in ("cases", "datasets") and entry.is_dir() and not any(entry.iterdir()))
        for entry in path.iterdir()
    )
