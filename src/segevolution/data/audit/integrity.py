"""Check that the files of a case hold what its record says, and that a case is like its peers."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from ...imaging.grid import Array
from ..record import CaseRecord, content_hash
from .entries import AuditedCase
from .findings import Finding

_CHECK = "integrity"
_SPACING = (0.1, 20.0)  # millimetres; outside, a header is in other units or was lost
_SHEAR = 0.02  # cosine between axes that should be square to each other, about 1 degree
_SPACING_RATIO = 5.0  # against the dataset's median
_PEERS = 8  # fewer tell nothing of what is usual
_MOST = 0.8  # a structure that this share of a dataset carries is expected
_Z, _RATIO = 5.0, 4.0  # robust standard deviations of the logarithm, and times the median: both must be exceeded

_AGAIN = "Delete the folder of the case and prepare it again."
_HEADER = "Compare with the original header, and prepare the case again from a file whose affine is right."
_LABELS = "Name the value where the dataset is prepared, or ask its authors what it is: nothing is trained on it now."


def check_content(name: str, record: CaseRecord, signal: Array, labels: Array) -> list[Finding]:
    """Compare the voxels of a case with its record.

    Args:
        name: "store/case".
        signal, labels: (X, Y, Z), whole.
    """
    if content_hash(record, signal, labels) != record.sha256:
        message = f"{name} is damaged: its voxels or its record are not those that were written."
        return [Finding(_CHECK, "error", (name,), message, _AGAIN)]
    findings = []
    if signal.dtype.kind == "f" and not np.isfinite(signal).all():
        bad = int(signal.size - np.isfinite(signal).sum())
        message = f"{name} holds NaN or infinity in {bad} voxels."
        findings.append(Finding(_CHECK, "error", (name,), message, "Repair the original file and prepare it again."))
    counts = np.bincount(labels.ravel())
    named_values = {value for values in record.structures.values() for value in values}
    stray = [int(value) for value in np.flatnonzero(counts) if value and value not in named_values]
    if stray:
        stray_text = ", ".join(map(str, stray[:5])) + (" ..." if len(stray) > 5 else "")
        message = f"{name} has label values that no structure names: {stray_text} ({counts[stray].sum()} voxels)."
        findings.append(Finding(_CHECK, "warning", (name,), message, _LABELS))
    for structure, values in record.structures.items():
        voxel_count = int(counts[[value for value in values if value < len(counts)]].sum())
        if voxel_count != record.voxels.get(structure):
            message = f"{name} has {voxel_count} voxels of {structure}, its record says {record.voxels.get(structure)}."
            findings.append(Finding(_CHECK, "error", (name,), message, _AGAIN))
    return findings


def check_records(entries: Sequence[AuditedCase]) -> list[Finding]:
    """All that records alone tell: geometry, empty cases, and what is unlike the rest of its dataset."""
    findings = []
    groups: dict[tuple[str, str, str], list[AuditedCase]] = defaultdict(list)
    for entry in entries:
        groups[entry.group].append(entry)
        findings += _geometry(entry)
    for members in groups.values():
        findings += _empty(members)
        findings += _unlike_spacings(members)
        findings += _missing(members)
        findings += _volumes(members)
    return findings


def _geometry(entry: AuditedCase) -> list[Finding]:
    record, name = entry.record, entry.name
    findings = []
    low, high = _SPACING
    if not all(low <= side <= high for side in record.spacing):
        spacing_text = " x ".join(f"{side:g}" for side in record.spacing)
        message = f"{name} has a voxel spacing of {spacing_text} mm, where {low:g} to {high:g} mm is plausible."
        findings.append(Finding("geometry", "warning", (name,), message, _HEADER))
    columns = record.affine[:3, :3] / np.linalg.norm(record.affine[:3, :3], axis=0)
    if np.abs(columns.T @ columns - np.eye(3)).max() > _SHEAR:
        message = f"{name} has an affine whose axes are not at right angles, as after a gantry tilt."
        findings.append(
            Finding("geometry", "warning", (name,), message, "Resample it onto a square grid, then prepare.")
        )
    if np.array_equal(record.source_affine, np.eye(4)):
        message = f"{name} has the identity as affine: its spacing and orientation seem lost."
        remedy = "Trust no millimetre of it, nor left and right, unless the original says 1 mm and RAS+ too."
        findings.append(Finding("geometry", "note", (name,), message, remedy))
    if min(record.shape) < 4:
        shape_text = " x ".join(map(str, record.shape))
        message = f"{name} has a shape of {shape_text}: hardly a volume."
        findings.append(Finding("geometry", "warning", (name,), message, "Look whether slices are missing."))
    return findings


def _empty(members: Sequence[AuditedCase]) -> list[Finding]:
    """Cases without a structure; where no case of a dataset has one, it is for pre-training, and that is a note."""
    empty = [entry.name for entry in members if not entry.record.structures]
    if len(empty) == len(members):
        message = f"none of the {len(empty)} cases of {members[0].record.dataset} has a structure."
        return [Finding("empty", "note", tuple(empty), message, "Nothing, if they are for pre-training.")]
    remedy = "Look whether its labels were found; else drop it."
    return [Finding("empty", "warning", (name,), f"{name} has no structure with a voxel.", remedy) for name in empty]


def _unlike_spacings(members: Sequence[AuditedCase]) -> list[Finding]:
    if len(members) < 3:
        return []
    sides = np.array([entry.record.spacing for entry in members])
    middle = np.median(sides, axis=0)
    findings = []
    for entry, ratios in zip(members, np.maximum(sides / middle, middle / sides), strict=True):
        if ratios.max() > _SPACING_RATIO:
            axis = int(ratios.argmax())
            message = (
                f"{entry.name} has a spacing of {entry.record.spacing[axis]:g} mm along {'xyz'[axis]}, where "
                f"{middle[axis]:g} mm is usual in {entry.record.dataset}."
            )
            findings.append(Finding("geometry", "warning", (entry.name,), message, _HEADER))
    return findings


def _missing(members: Sequence[AuditedCase]) -> list[Finding]:
    """Structures that nearly all cases of a dataset carry and some do not: one finding a structure."""
    findings = []
    for structure in _structures(members):
        lacking = [entry.name for entry in members if structure not in entry.record.structures]
        having = len(members) - len(lacking)
        if lacking and len(members) >= _PEERS and having >= _MOST * len(members):
            dataset = members[0].record.dataset
            message = f"{structure} is missing in {len(lacking)} of {len(members)} cases of {dataset}."
            remedy = "Nothing, if these patients lack it or it lies outside the scan: absent classes are no samples."
            findings.append(Finding("empty", "note", tuple(lacking), message, remedy))
    return findings


def _volumes(members: Sequence[AuditedCase]) -> list[Finding]:
    findings = []
    for structure in _structures(members):
        having = [entry for entry in members if structure in entry.record.structures]
        if len(having) < _PEERS:
            continue
        sizes = np.array([entry.record.voxels[structure] * entry.record.grid.voxel_volume / 1000 for entry in having])
        logs = np.log(sizes)
        middle = float(np.median(logs))
        spread = 1.4826 * float(np.median(np.abs(logs - middle)))
        for entry, size, log in zip(having, sizes, logs, strict=True):
            if abs(log - middle) > max(_Z * spread, np.log(_RATIO)):
                message = (
                    f"{entry.name} has {size:.3g} ml of {structure}, where {np.exp(middle):.3g} ml is usual in "
                    f"{entry.record.dataset}."
                )
                remedy = "Look at its labels; a scan that ends within the structure explains a small one."
                findings.append(Finding("volume", "note", (entry.name,), message, remedy))
    return findings


def _structures(members: Iterable[AuditedCase]) -> list[str]:
    return sorted({name for entry in members for name in entry.record.structures})
