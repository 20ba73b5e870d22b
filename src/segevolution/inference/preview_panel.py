"""One panel of a preview: a slice, the outline of a mask, the prompt, a scale and the letters of the sides."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from ..imaging.grid import Array
from ..imaging.prompts import Prompt
from ..imaging.volume import Volume

Mask = npt.NDArray[np.bool_]
Rgb = tuple[float, float, float]

_SCALES_MM = (100, 50, 20, 10, 5, 2, 1)
_INK = "#ffd24a"
_BOX, _ON, _OFF = "#5fd3ff", "#5dff7a", "#ff5d5d"


@dataclass(frozen=True)
class PanelPlane:
    """A way to cut a canonical (X, Y, Z) array.

    Attributes:
        name: of the plane.
        axis: that is cut.
        left, right, top, bottom: the sides of the picture.
    """

    name: str
    axis: int
    left: str
    right: str
    top: str
    bottom: str

    @property
    def across(self) -> int:
        """The axis that runs, reversed, from left to right."""
        return 1 if self.axis == 0 else 0

    @property
    def up(self) -> int:
        """The axis that runs from bottom to top."""
        return 1 if self.axis == 2 else 2


PLANES: dict[int, PanelPlane] = {
    2: PanelPlane("axial", 2, "R", "L", "A", "P"),
    1: PanelPlane("coronal", 1, "R", "L", "S", "I"),
    0: PanelPlane("sagittal", 0, "A", "P", "S", "I"),
}
"""Axis that is cut -> plane, in the order in which they are shown."""


@dataclass(frozen=True, eq=False)
class Panel:
    """What one panel shows.

    Attributes:
        plane: how it is cut.
        place: number of the slice.
        window: centre (3,) in voxels and side in millimetres of what is shown.
        black_to_white: signal shown as black and as white.
    """

    plane: PanelPlane
    place: int
    window: tuple[npt.NDArray[np.float64], float]
    black_to_white: tuple[float, float]


def draw_panel(axes: Axes, ordered: Volume, panel: Panel, mask: Mask, colour: Rgb, prompt: Prompt | None) -> None:
    """Draw a panel of a canonical volume; mask and prompt are in the same voxels."""
    draw_scan(axes, ordered, panel)
    draw_outline(axes, ordered, panel, mask, colour)
    if prompt is not None:
        _draw_prompt(axes, prompt, panel, ordered.grid.spacing)
    plane = panel.plane
    number = ordered.grid.to_mm([[panel.place if other == plane.axis else 0 for other in range(3)]])[0][plane.axis]
    title = f"{plane.name}, {'xyz'[plane.axis]} = {number:.0f} mm"
    axes.text(0.03, 0.985, title, **{**_style(axes, 7, "white"), "ha": "left"})


def draw_scan(axes: Axes, ordered: Volume, panel: Panel) -> None:
    """Draw a slice of a canonical volume, its patient's right on the left, with letters of the sides and a scale."""
    spacing, frame = ordered.grid.spacing, _frame(ordered, panel.plane)
    low, high = panel.black_to_white
    cut = _cut(ordered.array, panel.plane, panel.place)
    axes.imshow(cut, cmap="gray", vmin=low, vmax=high, extent=frame, origin="lower", interpolation="nearest")
    _set_view(axes, panel, frame, spacing)
    axes.axis("off")


def draw_outline(axes: Axes, ordered: Volume, panel: Panel, mask: Mask, colour: Rgb, width: float = 1.3) -> None:
    """Draw the outline of a mask in the panel's slice, if it is there."""
    outline = _cut(mask, panel.plane, panel.place)
    if outline.any():
        x, y = _padded_places(ordered, panel.plane)
        padded = np.pad(outline, 1).astype(float)
        axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=width)


def fill_area(axes: Axes, ordered: Volume, panel: Panel, mask: Mask, colour: str, hatch: str | None = None) -> None:
    """Fill a mask in the panel's slice, or hatch it."""
    area = _cut(mask, panel.plane, panel.place)
    if not area.any():
        return
    x, y = _padded_places(ordered, panel.plane)
    padded = np.pad(area, 1).astype(float)
    if hatch is None:
        axes.contourf(x, y, padded, levels=[0.5, 1.5], colors=[colour], alpha=0.65)
        return
    hatched = axes.contourf(x, y, padded, levels=[0.5, 1.5], colors="none", hatches=[hatch])
    hatched.set_edgecolor(colour)
    axes.contour(x, y, padded, levels=[0.5], colors=[colour], linewidths=0.8)


def _frame(ordered: Volume, plane: PanelPlane) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of a whole slice in millimetres.

    They run with the axes; the picture is turned by its limits, so that the patient's right is on the left.
    """
    across, up = ordered.grid.spacing[plane.across], ordered.grid.spacing[plane.up]
    columns, rows = ordered.array.shape[plane.across], ordered.array.shape[plane.up]
    return -0.5 * across, (columns - 0.5) * across, -0.5 * up, (rows - 0.5) * up


def _padded_places(ordered: Volume, plane: PanelPlane) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Millimetres of a slice's columns and rows, with one more on each side."""
    spacing, shape = ordered.grid.spacing, ordered.array.shape
    x, y = ((np.arange(shape[axis] + 2) - 1) * spacing[axis] for axis in (plane.across, plane.up))
    return x, y


def _cut(array: Array, plane: PanelPlane, place: int) -> Array:
    """A slice as (rows along `up`, columns along `across`), neither reversed."""
    return np.asarray(np.take(array, place, axis=plane.axis).T)


def _draw_prompt(axes: Axes, prompt: Prompt, panel: Panel, spacing: tuple[float, float, float]) -> None:
    """The box where the slice cuts it, and the points, faint where they lie in other slices."""
    plane = panel.plane
    across, up = spacing[plane.across], spacing[plane.up]
    if prompt.box is not None:
        low, high = np.array(prompt.box.voxels)
        if low[plane.axis] <= panel.place <= high[plane.axis]:
            corner = ((low[plane.across] - 0.5) * across, (low[plane.up] - 0.5) * up)
            width = (high[plane.across] - low[plane.across] + 1) * across
            height = (high[plane.up] - low[plane.up] + 1) * up
            axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=_BOX, linewidth=1.1, linestyle="--"))
    for place, label in zip(prompt.points, prompt.labels, strict=True):
        within = abs(place[plane.axis] - panel.place) <= 0.5
        x, y = place[plane.across] * across, place[plane.up] * up
        axes.plot(
            [x],
            [y],
            marker="o" if label else "x",
            markersize=5 if within else 4,
            markeredgewidth=1.5 if within else 1.0,
            markeredgecolor=_ON if label else _OFF,
            markerfacecolor="none",
            alpha=1.0 if within else 0.45,
        )


def _set_view(
    axes: Axes, panel: Panel, frame: tuple[float, float, float, float], spacing: tuple[float, float, float]
) -> None:
    """Show the window as far as the image goes, right side on the left, with letters and a scale."""
    plane = panel.plane
    centre, side = panel.window
    middle = centre[plane.across] * spacing[plane.across], centre[plane.up] * spacing[plane.up]
    left, right = max(frame[0], middle[0] - side / 2), min(frame[1], middle[0] + side / 2)
    bottom, top = max(frame[2], middle[1] - side / 2), min(frame[3], middle[1] + side / 2)
    axes.set_xlim(right, left)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal", adjustable="box", anchor="C")
    for letter, x, y in (
        (plane.left, 0.03, 0.5),
        (plane.right, 0.97, 0.5),
        (plane.top, 0.62, 0.95),
        (plane.bottom, 0.5, 0.04),
    ):
        axes.text(x, y, letter, **{**_style(axes, 8, _INK), "va": "center"})
    length = next((scale for scale in _SCALES_MM if scale <= 0.35 * (right - left)), _SCALES_MM[-1])
    start = left + 0.05 * (right - left) + length
    height = bottom + 0.06 * (top - bottom)
    axes.plot([start, start - length], [height, height], color=_INK, linewidth=2, solid_capstyle="butt")
    label = f"{length / 10:g} cm" if length >= 10 else f"{length} mm"
    axes.annotate(
        label, (start - length / 2, height), (0, 3), textcoords="offset points", color=_INK, fontsize=7, ha="center"
    )


def _style(axes: Axes, size: float, colour: str) -> dict[str, Any]:
    """How letters stand on a picture."""
    return {
        "transform": axes.transAxes,
        "color": colour,
        "fontsize": size,
        "ha": "center",
        "va": "top",
        "path_effects": [withStroke(linewidth=2, foreground="black")],
    }
