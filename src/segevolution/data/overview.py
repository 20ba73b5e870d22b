"""What is in a store, as rows and as a picture."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import OutputError, StoreError
from ..files import check_writable, replacing
from ..imaging.case import Case
from .record import CaseRecord
from .store import Store

COLUMNS = ("dataset", "modality", "sequence", "structure", "cases", "patients", "median_ml")

_PICTURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Row:
    """One line of the overview: how often a structure appears, and how large it is.

    Attributes:
        structure: "(all)" on the line of the whole group.
        median_ml: of the structure's volume in millilitres; None on the group's line.
    """

    dataset: str
    modality: str
    sequence: str
    structure: str
    cases: int
    patients: int
    median_ml: float | None


def overview(records: Iterable[CaseRecord]) -> tuple[Row, ...]:
    """Datasets x modality x sequence x structures, sorted; the first line of each group counts all of its cases."""
    groups: dict[tuple[str, str, str], list[CaseRecord]] = defaultdict(list)
    for record in records:
        groups[record.dataset, str(record.modality or "?"), record.sequence or ""].append(record)
    rows = []
    for group, members in sorted(groups.items()):
        rows.append(Row(*group, "(all)", len(members), len({record.patient for record in members}), None))
        for structure in sorted({name for record in members for name in record.structures}):
            having = [record for record in members if structure in record.structures]
            sizes = [record.voxels[structure] * record.grid.voxel_volume / 1000 for record in having]
            patients = len({record.patient for record in having})
            rows.append(Row(*group, structure, len(having), patients, round(float(np.median(sizes)), 2)))
    return tuple(rows)


def contact_sheet(store: Store, path: Path, *, most: int = 24, columns: int = 6, force: bool = False) -> int:
    """Draw one slice a case with its labels outlined, cases spread evenly over the store; returns how many.

    The slice is the axial one with most labelled voxels, seen as radiologists do: the patient's right on the left.

    Raises:
        StoreError: the store is empty.
        OutputError: `path` exists without `force`, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _PICTURES:
        raise OutputError(f"{path} is no picture; end its name in {' or '.join(_PICTURES)}.")
    check_writable(path, force=force)
    names = store.names
    if not names:
        raise StoreError(f"{store.path} holds no case to draw.")
    shown = [names[round(i)] for i in np.linspace(0, len(names) - 1, min(most, len(names)))]
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.7 * rows), facecolor="black")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for name, axis in zip(shown, axes.flat, strict=False):
        _draw(store.read(name), axis)
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.95, 0.04, 0.16)
    with replacing(path, force=force) as temporary:
        figure.savefig(temporary, dpi=110, facecolor="black")
    return len(shown)


def _draw(case: Case, axis: Axes) -> None:
    height = int(np.count_nonzero(case.labels, axis=(0, 1)).argmax())
    low, high = np.percentile(case.volume.array, (1, 99.5))
    x, y, _ = case.volume.grid.spacing
    # Canonical x runs to the patient's right, which a radiologist sees on the left; y runs up.
    picture, labels = (array[::-1, :, height].T for array in (case.volume.array, case.labels))
    axis.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), origin="lower", aspect=y / x)
    colours = colormaps["tab10"]
    for value in np.unique(labels[labels > 0]):
        axis.contour(labels == value, [0.5], colors=[colours(int(value - 1) % 10)], linewidths=0.8)
    sequence = f" {case.sequence}" if case.sequence else ""
    axis.set_title(f"{case.name}\n{case.volume.modality or '?'}{sequence}", color="white", fontsize=7)
