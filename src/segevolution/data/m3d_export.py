"""A store written in the layout of M3D-Seg, which SegVol's own code reads; normalisation happens here.

Each dataset becomes a code: a folder with one json whose labels are all structures that the dataset labels. Where it
labels other structures in one modality than in another (AMOS: the bladder in CT only), each modality becomes a code of
its own, `<dataset>_ct` and `<dataset>_mri`: a row without a voxel means "this patient lacks it", never "nobody looked".
Axes run to Right, Anterior and Superior. Beside what SegVol's code reads, an item carries its modality, patient,
sequence, site and affine, so that our import brings the millimetres back.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..documents import read_json
from ..errors import OutputError, StoreError
from ..files import check_writable, sweep, write_json, write_text
from ..imaging.case import Part
from ..imaging.intensity import foreground_normalise
from ..imaging.volume import WITHOUT_PLACE
from ..vocabulary import STRUCTURES
from .m3d_seg import IMAGE, mask_name, write_item
from .record import CaseRecord
from .splits import Split
from .store import Store

# What an export keeps beside its cases, to go on after a stop. Hidden and not named .json: readers of the layout take
# every .json for a list of cases, and every folder for a case.
_STATE = ".segevolution-export"


@dataclass(frozen=True)
class Normalisation:
    """What is done to the signal on the way out.

    Attributes:
        low, high: percentiles of the foreground to which it is clipped; the published data used 0.05 and 99.95.
        raw: write the signal as it is.

    Raises:
        StoreError: the percentiles do not rise from 0 to 100.
    """

    low: float = 0.05
    high: float = 99.95
    raw: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 100:
            raise StoreError(f"percentiles must rise within 0 and 100; {self.low:g} and {self.high:g} do not.")


@dataclass(frozen=True)
class ExportReport:
    """What became of the cases of a store.

    Attributes:
        written: by this run.
        kept: there before, from a run that was stopped or is repeated.
        left_out: in the store, but in no part of the split.
        codes: code -> its number of cases.
    """

    written: tuple[str, ...]
    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    codes: Mapping[str, int]


@dataclass(frozen=True)
class _ExportedDataset:
    """One folder to write: its labels, and its cases with their parts."""

    name: str
    structures: tuple[str, ...]
    cases: tuple[tuple[CaseRecord, Part], ...]

    def state(self, how: Normalisation) -> dict[str, Any]:
        """What must be equal for a run to go on with what another began."""
        return {
            "normalisation": asdict(how),
            "structures": list(self.structures),
            "cases": {record.name: record.sha256 for record, _ in self.cases},
        }


def export_m3d_seg(
    store: Store,
    out: Path,
    how: Normalisation | None = None,
    *,
    split: Split | None = None,
    force: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> ExportReport:
    """Write every dataset of a store below a folder; run again to go on after a stop.

    Args:
        split: which case is in which list; without one each dataset's original parts, and training where none is known.
        force: replace an export of other data or settings; never anything that is no export.
        progress: told after each case how many are done, how many there are, and its name.

    Raises:
        OutputError: something else is at the place of a code, or it cannot be written.
        StoreError: the store is empty, damaged, or lacks a case of the split.
    """
    how = how or Normalisation()
    parts = _parts(store, split)
    codes = tuple(_codes(store, parts))
    if not codes:
        raise StoreError(f"{store.path} has no case to write; prepare a dataset into it, or give another split.")
    twice = [code.name for code in codes if sum(code.name == other.name for other in codes) > 1]
    if twice:
        raise StoreError(f"two datasets of {store.path} would both be written as {twice[0]}; export them apart.")
    out = Path(out)
    check_writable(out)
    states = {out / code.name: code.state(how) for code in codes}
    stale = [folder for folder, state in states.items() if not _is_ours(folder, state, force)]
    for folder in stale:
        shutil.rmtree(folder)
    for folder, state in states.items():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / _STATE, json.dumps(state))
        sweep(folder)
    written: list[str] = []
    kept_cases: list[str] = []
    total = sum(len(code.cases) for code in codes)
    for code in codes:
        items: dict[Part, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
        for record, part in code.cases:
            already_written = (out / code.name / record.name).is_dir()
            if not already_written:
                _write(store, record, code, out / code.name / record.name, how)
            (kept_cases if already_written else written).append(record.name)
            items[part].append(_item(record, code))
            if progress is not None:
                progress(len(written) + len(kept_cases), total, record.name)
        write_json(out / code.name / f"{code.name}.json", _header(store, code, items))
    return ExportReport(
        tuple(written),
        tuple(kept_cases),
        tuple(name for name in store.names if name not in parts),
        {code.name: len(code.cases) for code in codes},
    )


def _parts(store: Store, split: Split | None) -> dict[str, Part]:
    """Name of a case -> its part."""
    if split is None:
        return {record.name: record.part or "train" for record in store.cases}
    lists: dict[Part, tuple[str, ...]] = {"train": split.train, "validation": split.validation, "test": split.test}
    parts: dict[str, Part] = {name: part for part, names in lists.items() for name in names}
    missing = sorted(parts.keys() - set(store.names))
    if missing:
        raise StoreError(
            f"{store.path} has no case {missing[0]}, which the split names ({len(missing)} such); give the split of "
            "this store."
        )
    return parts


def _codes(store: Store, parts: Mapping[str, Part]) -> Iterator[_ExportedDataset]:
    records = [record for record in store.cases if record.name in parts]
    for dataset in sorted({record.dataset for record in records}):
        dataset_records = [record for record in records if record.dataset == dataset]
        modalities = sorted({record.modality for record in dataset_records}, key=str)
        labelled = {modality: _in_order(store.labelled(dataset, modality)) for modality in modalities}
        is_single = len(set(labelled.values())) == 1
        for modality in modalities[:1] if is_single else modalities:
            yield _ExportedDataset(
                dataset if is_single else f"{dataset}_{str(modality or 'unknown').lower()}",
                labelled[modality],
                tuple(
                    (record, parts[record.name])
                    for record in dataset_records
                    if is_single or record.modality is modality
                ),
            )


def _in_order(structures: Iterable[str]) -> tuple[str, ...]:
    """The vocabulary's order, then by name."""
    order = {name: number for number, name in enumerate(STRUCTURES)}
    return tuple(sorted(structures, key=lambda name: (order.get(name, len(order)), name)))


def _is_ours(folder: Path, state: Mapping[str, Any], force: bool) -> bool:
    """Whether a code's folder is free, or an export of equal cases began it; False: to be replaced, as `force` says.

    Raises:
        OutputError: it holds something else, or another export and `force` is False.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return True
    if not (folder / _STATE).is_file():
        raise OutputError(f"{folder} is there and is no export of this package; choose another place.")
    if _goes_on(read_json(folder / _STATE, dict[str, Any], error=StoreError), state):
        return True
    if not force:
        raise OutputError(
            f"{folder} is an export of other data or settings; use --force to replace it, or choose another place."
        )
    return False


def _goes_on(before: Mapping[str, Any], state: Mapping[str, Any]) -> bool:
    """Whether every case of an earlier run is, unchanged, one of this."""
    same = all(before.get(key) == state[key] for key in ("normalisation", "structures"))
    cases = before.get("cases")
    return same and isinstance(cases, Mapping) and cases.items() <= state["cases"].items()


def _write(store: Store, record: CaseRecord, code: _ExportedDataset, folder: Path, how: Normalisation) -> None:
    case = store.read(record.name)
    image = case.volume.array if how.raw else foreground_normalise(case.volume.array, how.low, how.high)
    write_item(folder, image, (case.mask(name) if name in case.structures else None for name in code.structures))


def _item(record: CaseRecord, code: _ExportedDataset) -> dict[str, Any]:
    folder = f"{code.name}/{record.name}"
    facts = {"modality": record.modality, "patient": record.patient, "sequence": record.sequence, "site": record.site}
    placed = record.origin is None or record.origin.format != WITHOUT_PLACE
    return {
        "image": f"{folder}/{IMAGE}",
        "label": f"{folder}/{mask_name(len(code.structures), record.shape)}",
        **{key: str(value) for key, value in facts.items() if value is not None},
        **({"affine": record.affine.tolist()} if placed else {}),
    }


def _header(store: Store, code: _ExportedDataset, items: Mapping[Part, list[dict[str, Any]]]) -> dict[str, Any]:
    dataset = code.cases[0][0].dataset
    modalities = sorted({str(record.modality) for record, _ in code.cases if record.modality is not None})
    return {
        "name": code.name,
        "description": f"{dataset}, exported by segevolution",
        "licence": str(store.datasets.get(dataset, {}).get("licence", "not stated")),
        "tensorImageSize": "4D",
        "modality": {str(number): modality for number, modality in enumerate(modalities)},
        "labels": {str(number): name for number, name in enumerate(("background", *code.structures))},
        "numTraining": len(items["train"]),
        "numValidation": len(items["validation"]),
        "numTest": len(items["test"]),
        "train": items["train"],
        **({"validation": items["validation"]} if items["validation"] else {}),
        "test": items["test"],
    }
