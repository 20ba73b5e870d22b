"""A picture to judge an answer by: three orthogonal slices with outlines, as a radiologist sees them."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ..files import replacing
from ..imaging.grid import Array
from ..imaging.intensity import LOWEST_SIGNAL_OF_MR
from ..imaging.usable_signal import usable_signal
from ..imaging.volume import Volume
from ..vocabulary import Modality

Mask = npt.NDArray[np.bool_]

SOFT_TISSUE = (-160.0, 240.0)  # HU shown from black to white
# (name, axis of canonical (X, Y, Z) that is cut, left, right, top and bottom of the picture)
PLANES = (
    ("axial", 2, "R", "L", "A", "P"),
    ("coronal", 1, "R", "L", "S", "I"),
    ("sagittal", 0, "A", "P", "S", "I"),
)
SMALLEST_SIDE_MM = 1.0


def write_preview(
    path: Path, volume: Volume, masks: Sequence[tuple[str, Mask]], *, title: str = "", force: bool = True
) -> None:
    """Draw a PNG; see `draw_preview`. Raises OutputError where it cannot be written."""
    with replacing(path, force=force) as temporary:
        temporary.write_bytes(draw_preview(volume, masks, title))


def draw_preview(volume: Volume, masks: Sequence[tuple[str, Mask]], title: str = "") -> bytes:
    """Axial, coronal and sagittal slices through the masks, patient's right on the left, true to millimetres.

    Each slice is the one that shows most of the structures, nearest to the middle of what was found.

    Args:
        volume: in any orientation.
        masks: (name, (X, Y, Z) mask in the volume's order).
        title: written above.

    Returns:
        The bytes of a PNG.
    """
    ordered, turn = volume.canonical()
    turned = [turn.apply(mask) for _, mask in masks]
    spacing = ordered.grid.spacing
    low, high = display_range(volume)
    colours = [colormaps["tab10" if len(masks) <= 10 else "tab20"](number % 20) for number in range(len(masks))]
    extents = [side * step for side, step in zip(ordered.array.shape, spacing, strict=True)]
    widths = [extents[0], extents[0], extents[1]]
    tallest = max(extents[1], extents[2], SMALLEST_SIDE_MM)
    figure = Figure(
        figsize=(max(6.0, min(16.0, 4.2 * sum(widths) / tallest)), 5.2), facecolor="black", layout="constrained"
    )
    panels = figure.subplots(1, 3, width_ratios=widths)
    for panel, (name, axis, left, right, top, bottom) in zip(panels, PLANES, strict=True):
        number = slice_to_show(turned, axis, ordered.array.shape[axis])
        across, up = (other for other in range(3) if other != axis)
        box = (0.0, extents[across], 0.0, extents[up])
        panel.imshow(
            as_seen(ordered.array, axis, number), cmap="gray", vmin=low, vmax=high, extent=box, interpolation="nearest"
        )
        for colour, mask in zip(colours, turned, strict=True):
            _outline(panel, as_seen(mask, axis, number), box, colour)
        _letters(panel, left, right, top, bottom)
        place = ordered.grid.to_mm([[number if other == axis else 0 for other in range(3)]])[0][axis]
        panel.set_title(f"{name}, {'xyz'[axis]} = {place:.0f} mm", color="white", fontsize=9)
        panel.axis("off")
    entries = [
        Line2D([], [], color=colour, label=f"{name}, {mask.sum() * volume.grid.voxel_volume / 1000:.1f} ml")
        for colour, (name, mask) in zip(colours, masks, strict=True)
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=4, frameon=False, labelcolor="white", fontsize=9)
    if title:
        figure.suptitle(title, color="white", fontsize=10)
    stream = io.BytesIO()
    FigureCanvasAgg(figure).print_png(stream, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return stream.getvalue()


def display_range(volume: Volume) -> tuple[float, float]:
    """Signal shown as black and as white: a soft-tissue window for CT, else the 1st and 99.5th percentile."""
    measured = usable_signal(volume.array, volume.modality).measured
    lowest = float(measured.min())
    if volume.modality is Modality.CT or (volume.modality is None and lowest < LOWEST_SIGNAL_OF_MR):
        return SOFT_TISSUE
    low, high = np.percentile(measured, (1, 99.5))
    return float(low), float(max(high, low + 1e-6))


def slice_to_show(masks: Sequence[Mask], axis: int, length: int) -> int:
    """The slice along an axis that shows most structures; among those, the nearest to the middle of all of them."""
    others = tuple(other for other in range(3) if other != axis)
    voxels = np.array([mask.sum(axis=others) for mask in masks]).reshape(len(masks), length)
    if not voxels.any():
        return length // 2
    middle = np.average(np.arange(length), weights=voxels.sum(axis=0))
    shown = (voxels > 0).sum(axis=0)
    best = np.flatnonzero(shown == shown.max())
    return int(best[np.argmin(np.abs(best - middle))])


def as_seen(array: Array, axis: int, number: int) -> Array:
    """A slice of a canonical (X, Y, Z) array as rows from top to bottom, columns from left to right of the picture.

    The patient's right is on the left; anterior is on top of an axial and on the left of a sagittal slice.
    """
    return np.asarray(np.take(array, number, axis=axis).T[::-1, ::-1])


def _outline(panel: Axes, mask: Mask, box: tuple[float, ...], colour: tuple[float, ...]) -> None:
    """Draw the edge of a mask; padded by one voxel, so that what ends at the border is closed."""
    if not mask.any():
        return
    rows, columns = mask.shape
    across, up = box[1] / columns, box[3] / rows
    x = (np.arange(columns + 2) - 0.5) * across
    y = box[3] - (np.arange(rows + 2) - 0.5) * up
    panel.contour(x, y, np.pad(mask, 1).astype(float), levels=[0.5], colors=[colour], linewidths=1.2)


def _letters(panel: Axes, left: str, right: str, top: str, bottom: str) -> None:
    for letter, x, y in ((left, 0.02, 0.5), (right, 0.98, 0.5), (top, 0.5, 0.97), (bottom, 0.5, 0.03)):
        panel.text(
            x,
            y,
            letter,
            transform=panel.transAxes,
            color="#ffd24a",
            fontsize=9,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )
