"""A picture to judge answers by: a row a structure, slices through it as a radiologist sees them, with the prompt.

A volume is cut in three planes through the structure. A stack of few thick slices, or a slab, shows little across, so
it is shown as four slices spread over the structure. What was not found has no row and is named below.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten, wrap

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files import replacing
from ..imaging.framing import foreground_box
from ..imaging.intensity import LOWEST_SIGNAL_OF_MR
from ..imaging.legend import Colour, legend
from ..imaging.prompts import Prompt
from ..imaging.usable_signal import usable_signal
from ..imaging.volume import Volume
from ..vocabulary import Modality
from .preview_panel import PLANES, Panel, draw_panel

Mask = npt.NDArray[np.bool_]
Rgb = tuple[float, float, float]

SOFT_TISSUE = (-160.0, 240.0)  # HU shown from black to white
_THICK = 2.5  # times as far apart as voxels in the plane: a stack of slices
_FEW = 80  # slices
_SLAB = 0.35  # of the shorter other side: a volume that is less high than that is shown slice by slice, too
_SLICES_OF_STACK = 4
_WINDOW = 2.2  # times the structure's extent
_LEAST_WINDOW_MM = 140.0
_CELL, _TEXT, _HEAD, _FOOT = 2.7, 2.2, 0.45, 0.35  # inches
_DPI = 100
_DOUBT = "#ff7b6b"


@dataclass(frozen=True, eq=False)
class PreviewRow:
    """One structure of a preview.

    Attributes:
        name: as it is shown.
        mask: (X, Y, Z) boolean in the volume's order; empty = not found.
        prompt: what was asked, on the volume's grid; its points and box are drawn.
        expected_overlap: see `Confidence`.
        warnings: reasons to doubt it.
    """

    name: str
    mask: Mask
    prompt: Prompt | None = None
    expected_overlap: float | None = None
    warnings: tuple[str, ...] = ()


def write_preview(
    path: Path, volume: Volume, rows: Sequence[PreviewRow], *, title: str = "", force: bool = True
) -> None:
    """Draw a PNG; see `draw_preview`. Raises OutputError where it cannot be written."""
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(draw_preview(volume, rows, title))


def draw_preview(volume: Volume, rows: Sequence[PreviewRow], title: str = "") -> bytes:
    """A row for each structure that was found: slices through it, patient's right on the left, true to millimetres.

    Args:
        volume: in any orientation.
        rows: structures, with masks in the volume's order.
        title: written above.

    Returns:
        The bytes of a PNG.
    """
    ordered, turn = volume.canonical()
    colours = [label.colour for label in legend([row.name for row in rows])]
    drawn_rows = [(row, colour) for row, colour in zip(rows, colours, strict=True) if row.mask.any()]
    missing = [row.name for row in rows if not row.mask.any()]
    # Where nothing was found, the scan and the prompt are shown all the same.
    coloured_rows: list[tuple[PreviewRow, Colour]] = (
        drawn_rows or [(PreviewRow("", rows[0].mask, rows[0].prompt), (0, 0, 0))][: len(rows)]
    )
    axis = stack_axis(ordered)
    columns = 3 if axis is None else _SLICES_OF_STACK
    width, height = _TEXT + _CELL * columns, _HEAD + _CELL * len(coloured_rows) + _FOOT
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="black")
    black_to_white = display_range(volume)
    for number, (row, colour) in enumerate(coloured_rows):
        mask = turn.apply(row.mask)
        prompt = None if row.prompt is None else row.prompt.turned(ordered.grid, turn)
        window = shown_window(mask, prompt, ordered)
        top = height - _HEAD - _CELL * (number + 1)
        _write_row(figure, row, colour, volume.grid.voxel_volume, (0.1 / width, (top + _CELL - 0.15) / height))
        for column, (plane, place) in enumerate(cuts(mask, axis, ordered.array.shape)):
            cell = ((_TEXT + _CELL * column) / width, top / height, 0.97 * _CELL / width, 0.97 * _CELL / height)
            axes = figure.add_axes(cell)
            panel = Panel(PLANES[plane], place, window, black_to_white)
            draw_panel(axes, ordered, panel, mask, _rgb(colour), prompt)
    figure.text(0.1 / width, 1 - 0.28 / height, title, color="white", fontsize=10)
    if missing:
        text = shorten(f"not found: {', '.join(missing)}", 150, placeholder=" ...")
        figure.text(0.1 / width, 0.12 / height, text, color=_DOUBT, fontsize=9)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return stream.getvalue()


def display_range(volume: Volume) -> tuple[float, float]:
    """Signal shown as black and as white: a soft-tissue window for CT, else the 1st and 99.5th percentile."""
    if volume.modality is Modality.CT:
        return SOFT_TISSUE
    measured = usable_signal(volume.array, volume.modality).measured
    if volume.modality is None and float(measured.min()) < LOWEST_SIGNAL_OF_MR:
        return SOFT_TISSUE
    low, high = np.percentile(measured, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def stack_axis(ordered: Volume) -> int | None:
    """The axis across which a volume is a stack of few thick slices, or a slab; None for any other."""
    spacing, shape = np.array(ordered.grid.spacing), np.array(ordered.array.shape)
    thick = int(np.argmax(spacing))
    if spacing[thick] >= _THICK * np.delete(spacing, thick).max() and shape[thick] <= _FEW:
        return thick
    extent = spacing * shape
    thin = int(np.argmin(extent))
    return thin if extent[thin] <= _SLAB * np.delete(extent, thin).min() and shape[thin] <= _FEW else None


def cuts(mask: Mask, axis: int | None, shape: Sequence[int]) -> list[tuple[int, int]]:
    """(axis of canonical (X, Y, Z) that is cut, number of the slice) for each panel of a row, from left to right."""
    if axis is None:
        return [(plane, slice_to_show(mask, plane)) for plane in PLANES]
    low, high = foreground_box(mask) if mask.any() else ((0, 0, 0), tuple(shape))
    last = high[axis] - 1
    places = np.linspace(low[axis], last, _SLICES_OF_STACK + 2)[1:-1]
    return [(axis, round(place)) for place in places[::-1]]


def slice_to_show(mask: Mask, axis: int) -> int:
    """The slice along an axis that shows most of a mask, nearest to its middle; the image's middle without a mask."""
    others = tuple(other for other in range(3) if other != axis)
    voxels = mask.sum(axis=others)
    if not voxels.any():
        return int(mask.shape[axis] // 2)
    middle = np.average(np.arange(len(voxels)), weights=voxels)
    large = np.flatnonzero(voxels >= 0.9 * voxels.max())
    return int(large[np.argmin(np.abs(large - middle))])


def shown_window(mask: Mask, prompt: Prompt | None, ordered: Volume) -> tuple[npt.NDArray[np.float64], float]:
    """Centre (3,) in voxels and side in millimetres of what is shown round a structure and its prompt."""
    corners = [np.array(foreground_box(mask), float) - ((0, 0, 0), (1, 1, 1))] if mask.any() else []
    if prompt is not None and prompt.box is not None:
        corners.append(np.array(prompt.box.voxels, float))
    if not corners:
        extent = np.array(ordered.array.shape) * ordered.grid.spacing
        return (np.array(ordered.array.shape) - 1) / 2, float(extent.max())
    low, high = np.min([pair[0] for pair in corners], axis=0), np.max([pair[1] for pair in corners], axis=0)
    side = _WINDOW * float(((high - low + 1) * ordered.grid.spacing).max())
    return (low + high) / 2, max(side, _LEAST_WINDOW_MM)


def _write_row(
    figure: Figure, row: PreviewRow, colour: Colour, voxel_volume: float, place: tuple[float, float]
) -> None:
    """What stands beside a row: name, volume, expected overlap, and reasons to doubt it."""
    if not row.name:
        return
    x, y = place
    size = figure.get_size_inches()[1]
    lines: list[tuple[str, str | Rgb, float]] = [(text, _rgb(colour), 11.0) for text in wrap(row.name, 24)]
    lines.append((f"{row.mask.sum() * voxel_volume / 1000:.1f} ml", "white", 9.0))
    if row.expected_overlap is not None:
        lines.append((f"expected overlap {row.expected_overlap:.2f}", "white", 9.0))
    for warning in row.warnings:
        lines += [(text, _DOUBT, 8.0) for text in wrap(warning, 34)]
    for text, ink, points in lines[:15]:
        figure.text(x, y, text, color=ink, fontsize=points, va="top")
        y -= 1.35 * points / 72 / size


def _rgb(colour: Colour) -> Rgb:
    red, green, blue = (part / 255 for part in colour)
    return red, green, blue
