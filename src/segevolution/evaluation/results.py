"""The table of results: one tidy row a prompt, appended a job at a time, never a half part.

A study's folder holds

    parts/<run>/<dataset>/<case>.parquet    the rows of one job (run, case, shift, strength), whole or not at all
    masks/<run>/<dataset>/<case>.npz        masks for one kind of prompt on the unchanged scan, for pictures
    results.parquet                         the parts joined; every number of a report comes from here
    manifest.json                           versions, revision, seeds, recipe, fingerprints, device, time

A part carries the key of the job that made it: what a changed recipe no longer asks for is never mistaken for a
result of it. The part is written after the masks, so that its presence means that the job is done. Both tables carry a
digest of their rows: a damaged part counts as not there, and is measured again.
"""

import hashlib
import platform
import subprocess
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..errors import OutputError
from ..files import replacing
from ..metrics import METRICS
from .coordinates import LATER

Mask = npt.NDArray[np.bool_]

_TEXT, _WHOLE, _REAL = pa.string(), pa.int64(), pa.float64()

SCHEMA = pa.schema(
    [
        ("run", _TEXT),  # one trained (or unadapted) model, such as "lora-s0"
        ("method", _TEXT),  # such as "base", "lora", "scratch"
        ("seed", _WHOLE),  # of the training
        ("base", _TEXT),  # the network that was adapted, or asked as it is; "" in tables from before it was noted
        ("family", _TEXT),  # the method without its training set and shots; as "method" in earlier tables
        ("cohort", _TEXT),  # name of the training set; "" where a study has one, and for what is not trained
        ("trained_on", _WHOLE),  # patients that the run learned from; 0 for what is not trained, and in earlier tables
        ("dataset", _TEXT),
        ("case", _TEXT),
        ("patient", _TEXT),
        ("modality", _TEXT),  # "unknown" where the case does not say
        ("sequence", _TEXT),
        ("labels", _TEXT),  # where the truth comes from, such as "manual" or "exact (simulated)"
        ("structure", _TEXT),
        ("prompt", _TEXT),  # "text", "point", "box", "text+point", "text+box", "point+box"
        ("prompt_seed", _WHOLE),  # of the simulated prompt
        ("context", _TEXT),  # whether the model was told the modality: "known" or "withheld"
        ("shift", _TEXT),  # the appearance shift applied to the signal: "none", "noise" ...
        ("strength", _REAL),  # of the shift; 0 is no change
        ("unit", _TEXT),  # of the strength; "" without a shift
        ("jitter", _REAL),  # how far each face of the box may have moved, or by what share its sides were enlarged
        ("jitter_unit", _TEXT),  # "voxel", "mm" or "share"; "" where jitter is 0: exact boxes, and without a box
        ("points", _WHOLE),  # positive points that the prompt began with; 0 without points, and in earlier tables
        ("windows", _TEXT),  # how the network looked closer: "off", "focus" ...; "" as it prefers
        ("click", _WHOLE),  # how many clicks have corrected the first answer; 0: it is the first answer
        ("nsd_tolerance_mm", _REAL),  # missing where no metric with a tolerance was measured
        *((name, _REAL) for name in METRICS),  # "dice", "nsd", "hd95_mm" ...; missing where not measured
        ("predicted_iou", _REAL),  # the network's own estimate
        ("voxels", _WHOLE),  # of the truth; 0 for a structure that is known to lie outside the field of view
        ("predicted_voxels", _WHOLE),  # of the answer
        ("predicted_ml", _REAL),  # the same in millilitres; missing where the spacing is a guess, and in earlier tables
        ("warnings", _REAL),  # reasons to doubt the answer; missing where it was not judged, and in earlier tables
        ("seconds", _REAL),  # this prompt, with the encodings that it caused
        ("encodings", _WHOLE),  # that this prompt caused
        ("decodings", _WHOLE),
    ]
)

FROM_PLAN = frozenset({"method", "seed", "base", "family", "cohort", "trained_on", "labels"})
"""Columns that describe an answer and are part of no key: what the plan says of them now counts, not what was noted."""

_KEY, _ROWS = b"segevolution.key", b"segevolution.rows"
_ROUNDING = 1e-9  # by which a metric may pass the ends of its span
_UNREADABLE = (OSError, ValueError, TypeError, LookupError, OverflowError, MemoryError, pa.ArrowException)
"""What readers raise of a damaged file."""

_PACKAGES = ("torch", "transformers", "peft", "lightning", "numpy", "scipy", "pandas", "pyarrow")


_LONGEST = 200  # signs of an escaped name; file systems hold 255, and a shift and a suffix come on top


@dataclass(frozen=True)
class PartName:
    """Which job a part belongs to, and the key of everything that decided its numbers."""

    run: str
    dataset: str
    case: str
    key: str
    shift: str = "none"
    strength: float = 0.0

    def path(self, folder: Path, suffix: str) -> Path:
        """Its place under `folder`; names are escaped, so that any case name is one file."""
        name = _escaped(self.case, " +@")
        if self.shift != "none":
            name += f",{self.shift},{self.strength!r}"  # a comma in a case's name is escaped
        return folder / _escaped(self.run) / _escaped(self.dataset) / (name + suffix)


def _escaped(name: str, safe: str = "") -> str:
    """The name of one file or folder: no separator, and neither "." nor ".."."""
    quoted = quote(name, safe)
    if len(quoted) > _LONGEST:  # each letter of other scripts takes six signs; a comma in a name is escaped
        return f"{quoted[: _LONGEST - 17]},{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")


class Results:
    """The results of one study on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.table_path = self.folder / "results.parquet"
        self._checked: dict[PartName, tuple[int, int, int]] = {}  # the file that was found whole

    def has(self, part: PartName) -> bool:
        """Whether the part is there, whole, and made by the job with this very key."""
        path = part.path(self.folder / "parts", ".parquet")
        try:
            status = path.stat()
        except OSError:
            return False
        file = (status.st_ino, status.st_mtime_ns, status.st_size)
        if self._checked.get(part) != file:
            if self._part(part) is None:
                return False
            self._checked[part] = file
        return True

    def _part(self, part: PartName, values: Mapping[str, Any] | None = None) -> pa.Table | None:
        """The rows of a part with `values` as `_read` takes them; None where `has` would say no."""
        try:
            return _read(part.path(self.folder / "parts", ".parquet"), values or {}, part.key)
        except OutputError:
            return None

    def write(self, part: PartName, rows: Sequence[Mapping[str, Any]], masks: Mapping[str, Mask] | None = None) -> None:
        """Write a job's masks, then its rows: each whole or not at all.

        Raises:
            OutputError: the folder cannot be written, or a row lacks a column of SCHEMA or has one too many.
        """
        names = set(SCHEMA.names)
        for row in rows:
            if set(row) != names:
                raise OutputError(f"a result row of {part.case} has other columns: {sorted(set(row) ^ names)}.")
        if masks:
            with replacing(part.path(self.folder / "masks", ".npz")) as temporary, temporary.open("wb") as stream:
                arrays: dict[str, Any] = {f"mask:{name}": np.packbits(mask) for name, mask in masks.items()}
                np.savez_compressed(stream, shape=np.asarray(next(iter(masks.values())).shape), **arrays)
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)
        with replacing(part.path(self.folder / "parts", ".parquet")) as temporary:
            pq.write_table(table.replace_schema_metadata({_KEY: part.key.encode(), _ROWS: _digest(table)}), temporary)

    def masks(self, part: PartName) -> dict[str, Mask]:
        """structure -> (X, Y, Z) mask in the case's own grid; empty where none were kept."""
        path = part.path(self.folder / "masks", ".npz")
        if not path.is_file():
            return {}
        try:
            with np.load(path) as stored:
                shape = tuple(stored["shape"])
                return {
                    name.removeprefix("mask:"): np.unpackbits(stored[name], count=int(np.prod(shape)))
                    .reshape(shape)
                    .astype(bool)
                    for name in stored.files
                    if name != "shape"
                }
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise OutputError(f"{path} is damaged ({error}); delete it, and the picture is left out.") from error

    def rows(
        self, parts: Iterable[PartName], planned: Mapping[PartName, Mapping[str, Any]] | None = None
    ) -> pd.DataFrame:
        """The rows of the parts that are there, in the order given.

        Args:
            parts: of the study.
            planned: what the plan says of a part's rows: in the columns of FROM_PLAN it counts, in others only where
                an earlier version wrote the part and knew no such column.
        """
        table: pd.DataFrame = self._joined(parts, planned or {}).to_pandas()
        return table

    def join(
        self, parts: Iterable[PartName], planned: Mapping[PartName, Mapping[str, Any]] | None = None
    ) -> pd.DataFrame:
        """Write the rows of the parts into results.parquet and return them; otherwise as `rows`."""
        joined = self._joined(parts, planned or {})
        with replacing(self.table_path) as temporary:
            pq.write_table(joined.replace_schema_metadata({_ROWS: _digest(joined)}), temporary)
        return self.table()

    def _joined(self, parts: Iterable[PartName], planned: Mapping[PartName, Mapping[str, Any]]) -> pa.Table:
        tables = [self._part(part, planned.get(part)) for part in parts]
        whole = [table for table in tables if table is not None]
        return pa.concat_tables(whole) if whole else SCHEMA.empty_table()

    def has_table(self) -> bool:
        """Whether results.parquet is there and whole."""
        try:
            _read(self.table_path, {})
        except OutputError:
            return False
        return True

    def table(self) -> pd.DataFrame:
        """results.parquet as it is; see `read_table`."""
        return read_table(self.table_path)


def read_table(path: Path) -> pd.DataFrame:
    """results.parquet as a frame with the columns of SCHEMA; those that an older table lacks have plain values.

    Raises:
        OutputError: it is not there, damaged, or not such a table.
    """
    table: pd.DataFrame = _read(path, {}).to_pandas()
    return table


def _read(path: Path, values: Mapping[str, Any], key: str | None = None) -> pa.Table:
    """A file of rows, with `values`, or else LATER, in columns that it lacks; metrics that it lacks are missing.

    Args:
        values: of columns; those of FROM_PLAN in place of the file's own.
        key: of the job that must have made it; None: of any.
    """
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.schema_arrow.metadata or {}
            if key is not None and metadata.get(_KEY) != key.encode():
                raise pa.ArrowInvalid("another job made it")
            stored = file.read()
        unknown = set(SCHEMA.names) - set(stored.column_names) - set(LATER) - (set(METRICS) - {"dice"})
        if unknown or not set(stored.column_names) <= set(SCHEMA.names):
            raise pa.ArrowInvalid("it has other columns")
        _require_whole(stored, metadata.get(_ROWS))
        columns = [_column(stored, field, values) for field in SCHEMA]
    except _UNREADABLE as error:
        raise OutputError(f"{path} is no table of results; run the study that makes it.") from error
    return pa.table(columns, schema=SCHEMA)


def _require_whole(stored: pa.Table, digest: bytes | None) -> None:
    """Raise ArrowInvalid for rows that are not those of the digest, or, without one, for a metric beyond its span."""
    if digest is not None and digest != _digest(stored):
        raise pa.ArrowInvalid("its rows are not those that were written")
    for name in METRICS if digest is None else ():
        if name in stored.column_names:
            values, (low, high) = stored[name].cast(_REAL).to_numpy(), METRICS[name].span
            if ((values < low - _ROUNDING) | (values > high + _ROUNDING)).any():
                raise pa.ArrowInvalid(f"it has impossible values of {name}")


def _digest(table: pa.Table) -> bytes:
    """Of the names, types and values of all columns, whatever the file's encoding."""
    digest = hashlib.sha256()
    for field in table.schema:
        column = table[field.name]
        digest.update(f"{field.name}:{field.type}:{len(column)}".encode())
        digest.update(np.packbits(column.is_null().to_numpy()).tobytes())
        if field.type == _TEXT:
            texts = column.fill_null("").to_pylist()
            digest.update(",".join(str(len(text)) for text in texts).encode() + "".join(texts).encode())
        else:
            digest.update(column.fill_null(0).to_numpy().tobytes())
    return digest.hexdigest().encode()


def _column(stored: pa.Table, field: pa.Field, values: Mapping[str, Any]) -> pa.Array:
    """A column as the plan or the file says it, or as a file of an earlier version would: only boxes have jitter."""
    if field.name in stored.column_names and not (field.name in FROM_PLAN and field.name in values):
        return stored[field.name].cast(field.type)
    value = values.get(field.name, LATER.get(field.name))
    if field.name in ("jitter", "jitter_unit"):
        boxes = ["box" in prompt.split("+") for prompt in stored["prompt"].to_pylist()]
        return pa.array([value if box else LATER[field.name] for box in boxes], field.type)
    return pa.array([value] * len(stored), field.type)


def surroundings() -> dict[str, Any]:
    """Versions, platform and git revision (None outside a checkout): what a manifest says beside the recipe."""
    return {
        "segevolution": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "git": _revision(),
    }


def _revision() -> dict[str, Any] | None:
    package_folder = Path(__file__).resolve().parent
    try:
        run = [
            subprocess.run(
                ["git", "-C", str(package_folder), *git_command], capture_output=True, text=True, timeout=10, check=True
            )
            for git_command in (
                ["rev-parse", "HEAD"],
                ["ls-files", "--error-unmatch", __file__],
                ["status", "--porcelain"],
            )
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return {"revision": run[0].stdout.strip(), "changed": bool(run[2].stdout.strip())}
