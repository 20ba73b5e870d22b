"""Stores as a picture: one slice a case with its labels outlined, to find by eye what no check finds."""

import colorsys
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ..errors import OutputError, StoreError
from ..files import check_writable, replacing
from ..imaging.case import Case
from ..imaging.grid import Array
from ..vocabulary import STRUCTURES, Modality
from .record import CaseRecord
from .store import Store

Colour = tuple[float, float, float]

_PICTURES = (".png", ".pdf", ".svg")

# HU shown from black to white: soft tissue, and the narrower window of a brain.
_SOFT_TISSUE = (-160.0, 240.0)
_BRAIN = (-20.0, 90.0)
_IN_BRAIN = ("brain", "cerebral", "ventricles", "thalamus", "grey matter", "hippocampus")

# By the axis of canonical (X, Y, Z) that is cut: its picture's left and right.
_SIDES = (("A", "P"), ("R", "L"), ("R", "L"))

# A case is cut across its thickest axis, as it was acquired, where that is this much thicker than Z.
_THICKER = 1.5

_GOLDEN = 0.618034
_CELL = 2.5  # inches
_LEGEND_COLUMN = 2.1  # inches


def contact_sheet(
    stores: Sequence[Store], path: Path, *, most: int = 24, columns: int = 6, force: bool = False
) -> tuple[int, int]:
    """Draw up to `most` cases, every dataset, modality and sequence in turn; returns how many of how many.

    The slice is the one that shows most structures, axial unless the case was acquired otherwise, seen as radiologists
    do: the patient's right on the left. CT is shown in a window of HU, everything else between percentiles. A structure
    has the same colour on every sheet.

    Raises:
        StoreError: the stores are empty.
        OutputError: `path` exists without `force`, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _PICTURES:
        raise OutputError(f"{path} is no picture; end its name in {' or '.join(_PICTURES)}.")
    cases = [(store, record) for store in stores for record in store.cases]
    if not cases:
        raise StoreError(f"{' and '.join(str(store.path) for store in stores)} holds no case to draw.")
    check_writable(path, force=force)
    sheet_cases = _spread(cases, most)
    columns = min(columns, len(sheet_cases))
    rows = -(-len(sheet_cases) // columns)
    figure = Figure(facecolor="black")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    outlined: set[str] = set()
    for (store, record), axis in zip(sheet_cases, axes.flat, strict=False):
        outlined |= _draw(store.read(record.name), axis)
    names = _in_order(outlined)
    legend_columns = max(1, int(columns * _CELL / _LEGEND_COLUMN))
    legend = 0.2 * -(-len(names) // legend_columns) + 0.15
    height = rows * (_CELL + 0.4) + legend
    figure.set_size_inches(columns * _CELL, height)
    figure.subplots_adjust(0.01, legend / height, 0.99, 1 - 0.4 / height, 0.04, 0.4 / _CELL)
    if names:
        lines = [Line2D([], [], color=structure_colour(name), linewidth=2.5) for name in names]
        figure.legend(
            lines, names, loc="lower center", ncols=legend_columns, fontsize=7, frameon=False, labelcolor="white"
        )
    with replacing(path, force=force) as temporary:
        figure.savefig(temporary, dpi=120, facecolor="black")
    return len(sheet_cases), len(cases)


def structure_colour(name: str) -> Colour:
    """(red, green, blue) of a structure, the same in every picture; neighbours in the vocabulary differ most."""
    number = STRUCTURES.index(name) if name in STRUCTURES else zlib.crc32(name.encode()) % 1000
    return colorsys.hsv_to_rgb(number * _GOLDEN % 1, (0.9, 0.5)[number // 5 % 2], (1.0, 0.75)[number // 10 % 2])


def display_range(case: Case, picture: Array, structures: Iterable[str]) -> tuple[float, float]:
    """What is black and what is white."""
    if case.volume.modality is Modality.CT:
        brain = any(word in name for name in structures for word in _IN_BRAIN)
        return _BRAIN if brain else _SOFT_TISSUE
    signal = picture[picture > picture.min()]
    low, high = np.percentile(signal if signal.size else picture, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def best_slice(case: Case) -> tuple[int, int]:
    """(axis, index) of the slice with most labels, of these with most voxels; the middle one where there is none."""
    spacing = case.volume.grid.spacing
    axis = int(np.argmax(spacing)) if max(spacing) > _THICKER * spacing[2] else 2
    slices = np.moveaxis(case.labels, axis, 0).reshape(case.labels.shape[axis], -1)
    filled = np.count_nonzero(slices, axis=1)
    if not filled.any():
        return axis, len(slices) // 2
    label_counts = [int(np.count_nonzero(np.bincount(labels))) if labels.any() else 0 for labels in slices]
    return axis, max(range(len(slices)), key=lambda index: (label_counts[index], int(filled[index])))


def _spread(cases: Sequence[tuple[Store, CaseRecord]], most: int) -> list[tuple[Store, CaseRecord]]:
    """Groups of dataset, modality and sequence in turn, evenly spaced within each, in the order given."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for number, (store, record) in enumerate(cases):
        groups[store.path, record.dataset, record.modality, record.sequence].append(number)
    turns = chain.from_iterable(zip_longest(*(_bisected(members) for members in groups.values())))
    case_numbers = [number for number in turns if number is not None][:most]
    return [cases[number] for number in sorted(case_numbers)]


def _bisected(members: list[int]) -> list[int]:
    """The first, the last, then always the middle of the widest gap: any beginning is spread evenly."""
    ends = [0, len(members) - 1] if len(members) > 1 else [0]
    order, gaps = ends, [(0, len(members) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [members[place] for place in order]


def _draw(case: Case, axis: Axes) -> set[str]:
    """Draw a slice; returns the structures outlined on it."""
    cut, index = best_slice(case)
    across, up = (other for other in range(3) if other != cut)
    spacing = case.volume.grid.spacing
    picture, labels = (_seen(array, cut, index) for array in (case.volume.array, case.labels))
    masks = {name: np.isin(labels, values) for name, values in case.structures.items()}
    masks = {name: mask for name, mask in masks.items() if mask.any() and not _of_parts(name, case)}
    low, high = display_range(case, picture, case.structures)
    axis.imshow(picture, cmap="gray", vmin=low, vmax=high, origin="lower", aspect=spacing[up] / spacing[across])
    for name, mask in masks.items():
        axis.contour(mask, [0.5], colors=[structure_colour(name)], linewidths=0.9)
    edge = [withStroke(linewidth=1.5, foreground="black")]
    for place, letter in zip((0.03, 0.97), _SIDES[cut], strict=True):
        side = "left" if place < 0.5 else "right"
        axis.text(place, 0.5, letter, transform=axis.transAxes, color="white", fontsize=7, ha=side, path_effects=edge)
    kind = " ".join(filter(None, (str(case.volume.modality or "?"), case.sequence)))
    axis.set_title(f"{_short(case.name)}\n{kind}, {_short(case.dataset)}", color="white", fontsize=7, pad=3)
    return set(masks)


def _of_parts(name: str, case: Case) -> bool:
    """Whether a structure is the union of others, whose outlines show it already."""
    own_values = set(case.structures[name])
    parts = [set(values) for other, values in case.structures.items() if set(values) < own_values and other != name]
    return bool(parts) and set[int]().union(*parts) == own_values


def _seen(array: Array, cut: int, index: int) -> Array:
    """(rows, columns), rows upwards; the patient's right, or front, which canonical axes run to, on the left."""
    return np.asarray(np.take(array, index, axis=cut)[::-1].T)


def _in_order(names: Iterable[str]) -> list[str]:
    """Structures as the vocabulary lists them, then the others."""
    return sorted(names, key=lambda name: (STRUCTURES.index(name) if name in STRUCTURES else len(STRUCTURES), name))


def _short(name: str, most: int = 30) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
