"""The record of a case in a store: all that is known without reading its voxels."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from ..documents import Document, Limits, read_json
from ..errors import StoreError, VolumeError
from ..files import safe_name
from ..imaging.case import Case, Part
from ..imaging.grid import Array, Floats, Grid, Triple
from ..imaging.volume import Origin
from ..vocabulary import Modality
from .images import ImageIdentity

# Percentiles of the signal that a record keeps: enough to see a case on another scale than its dataset.
_PERCENTILES = (0.0, 0.5, 50.0, 99.5, 100.0)


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """One case of a store.

    Attributes:
        name: unique in the store.
        patient: unique within `dataset`; (dataset, patient) is a person.
        shape, affine: of the stored arrays, canonical (RAS+) order.
        structures: canonical structure name -> its label values; only structures with at least one voxel.
        voxels: the same names -> number of voxels.
        signal: the 0, 0.5, 50, 99.5 and 100th percentile of the stored signal.
        dtype: of the stored signal.
        source_shape, source_affine: the grid of the file, before its axes were turned.
        origin: the file itself, if it came from one.
        part: where the dataset's authors put the case; None where they did not say.
        remark: what its reader had to assume or leave out, see `Case`.
        spacing_stated: whether the file said how far voxels lie apart; else 1 mm is assumed, and no millimetre counts.
        sha256: of voxels, labels, grid and facts; equal for equal cases.
        image: what tells its image from another of the same name; None where it has no file, and in older stores.
    """

    name: str
    patient: str
    dataset: str
    modality: Modality | None
    sequence: str | None
    site: str | None
    shape: Triple
    affine: Floats
    structures: Mapping[str, tuple[int, ...]]
    voxels: Mapping[str, int]
    signal: tuple[float, ...]
    dtype: str
    source_shape: Triple
    source_affine: Floats
    sha256: str
    origin: Origin | None = field(default=None, repr=False)
    part: Part | None = None
    remark: str | None = None
    spacing_stated: bool = True
    image: ImageIdentity | None = None

    @property
    def grid(self) -> Grid:
        """Where the stored voxels lie."""
        return Grid(self.shape, self.affine)

    @property
    def source_grid(self) -> Grid:
        """Where the voxels of the original file lie."""
        return Grid(self.source_shape, self.source_affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along the stored axes."""
        return self.grid.spacing

    @property
    def person(self) -> tuple[str, str]:
        """(dataset, patient): what a split must never tear apart."""
        return self.dataset, self.patient

    def is_same(self, other: "CaseRecord") -> bool:
        """Whether the content is equal, and the image was not changed in its place, as by packing it anew."""
        changed = self.image is not None and other.image is not None and self.image.is_changed(other.image)
        return self.sha256 == other.sha256 and not changed

    def to_json(self) -> dict[str, Any]:
        """A dictionary for `case.json`; floats keep every digit."""
        value = {key: item for key, item in vars(self).items() if key != "origin"}
        value |= {"affine": self.affine.tolist(), "source_affine": self.source_affine.tolist()}
        value |= {"structures": {name: list(values) for name, values in self.structures.items()}}
        value["origin"] = _origin_to_json(self.origin) if self.origin else None
        value["image"] = asdict(self.image) if self.image else None
        return value

    @classmethod
    def load(cls, path: Path, name: str) -> "CaseRecord":
        """Read a `case.json`.

        Raises:
            StoreError: it is missing or damaged, or of another case than `name`.
        """
        try:
            value = read_json(path, _RecordFile, error=StoreError, limits=_LIMITS)
            if value.name != name:
                raise StoreError(f'{path}: name must be "{name}", as its folder, not "{value.name[:60]}".')
            return _record(value)
        except (StoreError, VolumeError, ValueError, TypeError) as error:
            raise StoreError(
                f"the record of case {name} is damaged ({str(error).rstrip('.')}); delete its folder and prepare again."
            ) from error


_Row = tuple[float, float, float, float]
_Affine = tuple[_Row, _Row, _Row, _Row]
_Side = Annotated[int, Field(gt=0, le=100_000)]
_Shape = tuple[_Side, _Side, _Side]
_Count = Annotated[int, Field(ge=0)]
_LIMITS = Limits(bytes=8 * 2**20, items=200_000)


class _OriginFile(Document):
    path: str
    format: str
    header: str | None = None
    series: str | None = None
    orientation: str | None = None


class _ImageFile(Document):
    path: str
    content: str
    is_series: bool = False


class _RecordFile(Document):
    """case.json; see `CaseRecord`."""

    name: str
    patient: str
    dataset: str
    modality: Modality | None
    sequence: str | None
    site: str | None
    shape: _Shape
    affine: _Affine
    structures: dict[str, list[_Count]]
    voxels: dict[str, _Count]
    signal: tuple[float, float, float, float, float]
    dtype: str
    source_shape: _Shape
    source_affine: _Affine
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    origin: _OriginFile | None
    part: Part | None = None
    remark: str | None = None
    spacing_stated: bool = True
    image: _ImageFile | None = None


def _record(value: _RecordFile) -> CaseRecord:
    """A record of what its file says; ValueError, TypeError or VolumeError where that cannot be."""
    facts = {key: getattr(value, key) for key in _RecordFile.model_fields}
    facts |= {key: np.asarray(facts[key], np.float64) for key in ("affine", "source_affine")}
    facts["structures"] = {name: tuple(values) for name, values in value.structures.items()}
    if value.structures.keys() != value.voxels.keys():
        raise ValueError("structures and voxels name different structures")
    if np.dtype(value.dtype).kind not in "biuf":
        raise ValueError(f"dtype must be a kind of number, not {value.dtype}")
    facts["image"] = ImageIdentity(**value.image.model_dump()) if value.image is not None else None
    facts["origin"] = None
    if value.origin is not None:
        header = base64.b64decode(value.origin.header, validate=True) if value.origin.header else None
        origin = value.origin
        facts["origin"] = Origin(Path(origin.path), origin.format, header, origin.series, origin.orientation)
    safe_name(value.name, "a case", error=StoreError)
    safe_name(value.dataset, "a dataset", error=StoreError)
    record = CaseRecord(**facts)
    for grid in (record.grid, record.source_grid):
        grid.spacing  # noqa: B018  # an impossible affine is said here
    return record


def _origin_to_json(origin: Origin) -> dict[str, Any]:
    header = base64.b64encode(origin.header).decode() if origin.header else None
    return {
        "path": str(origin.path),
        "format": origin.format,
        "header": header,
        "series": origin.series,
        "orientation": origin.orientation,
    }


def record_of(case: Case, source_grid: Grid, image: ImageIdentity | None = None) -> CaseRecord:
    """The record of a case whose arrays are already in canonical order."""
    structures = structures_present(case.labels, case.structures)
    counts = np.bincount(case.labels.ravel(), minlength=1 + max((max(v) for v in structures.values() if v), default=0))
    facts = CaseRecord(
        name=safe_name(case.name, "a case", error=StoreError),
        patient=case.patient,
        dataset=safe_name(case.dataset, "a dataset", error=StoreError),
        modality=case.volume.modality,
        sequence=case.sequence,
        site=case.site,
        shape=case.volume.grid.shape,
        affine=case.volume.grid.affine,
        structures=structures,
        voxels={name: int(counts[list(values)].sum()) for name, values in structures.items()},
        signal=_percentiles(case.volume.array),
        dtype=case.volume.array.dtype.name,
        source_shape=source_grid.shape,
        source_affine=source_grid.affine,
        sha256="",
        origin=case.volume.origin and replace(case.volume.origin, source=None),  # a store keeps no headers
        part=case.part,
        remark=case.remark,
        spacing_stated=case.volume.spacing_stated,
        image=image,
    )
    object.__setattr__(facts, "sha256", content_hash(facts, case.volume.array, case.labels))
    return facts


def _percentiles(array: Array) -> tuple[float, ...]:
    # Truth values have no differences, and half floats overflow in them.
    wide = {"bool": np.uint8, "float16": np.float32}.get(array.dtype.name)
    return tuple(float(value) for value in np.percentile(array if wide is None else array.astype(wide), _PERCENTILES))


def structures_present(labels: Array, structures: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Those structures that have a voxel, sorted by name, each value once."""
    present = set(np.unique(labels).tolist())
    return {
        name: tuple(sorted({int(value) for value in values}))
        for name, values in sorted(structures.items())
        if present.intersection(values)
    }


def content_hash(record: CaseRecord, signal: Array, labels: Array) -> str:
    """SHA-256 of all that makes a case: voxels, labels, grid, names. Where the file lay does not count."""
    beside = {"origin", "sha256", "signal", "voxels", "remark", "spacing_stated", "image"} | (
        {"part"} if record.part is None else set()
    )
    record_values = {key: item for key, item in record.to_json().items() if key not in beside}
    digest = hashlib.sha256(json.dumps(record_values, sort_keys=True).encode())
    for array in (signal, labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def text_hash(lines: Iterable[str]) -> str:
    """SHA-256 of lines of text."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
