"""A case in several slices: the truth, each answer, and where it errs, a colour a structure."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...imaging.case import Case
from ...imaging.legend import Colour, legend
from ...inference.preview import display_range, shown_window, stack_axis
from ...inference.preview_panel import PLANES, Panel, Rgb, draw_outline, draw_scan, fill_area
from .style import shortened

Mask = npt.NDArray[np.bool_]

MISSED, EXTRA = "#4fc3ff", "#ff9f1c"
_SLICES = 3
_PANEL, _HEAD = 1.75, 0.28  # inches
_AXIAL = 2
_DASHES = "\\\\\\\\"


def draw_case(case: Case, answers: Mapping[str, Mapping[str, Mask]], structures: Sequence[str]) -> Figure:
    """Slices from top to bottom; beside each other the truth, and each answer with its errors.

    Slices lie across the case's stack, or are axial, and are spread over the true structures. The patient's right is
    on the left; the scale is in the picture.

    Args:
        case: in any axis order.
        answers: name -> structure -> (X, Y, Z) mask on the case's grid; drawn in the order given.
        structures: those whose truth is outlined; each keeps its colour in all panels.
    """
    ordered, turn = case.volume.canonical()
    truth = {name: turn.apply(case.mask(name)) for name in structures}
    turned = {name: {one: turn.apply(mask) for one, mask in masks.items()} for name, masks in answers.items()}
    colours = {label.name: _rgb(label.colour) for label in legend(list(structures))}
    everything = np.logical_or.reduce(list(truth.values()))
    axis = stack_axis(ordered)
    axis = _AXIAL if axis is None else axis
    window, black_to_white = shown_window(everything, None, ordered), display_range(case.volume)
    titles = ["truth", *(title for name in answers for title in (name, f"{name}: errors"))]
    places = _places(everything, axis)
    shape = _shape(ordered.array.shape, ordered.grid.spacing, axis, window[1])
    tall, foot = _PANEL * shape, 0.22 * (1 + (len(structures) + 1) // 6) + 0.1
    size = (_PANEL * len(titles), tall * len(places) + _HEAD + foot)
    figure = Figure(figsize=size, facecolor="black")
    for row, place in enumerate(places):
        for column, title in enumerate(titles):
            bottom = foot + tall * (len(places) - 1 - row)
            cell = (column / len(titles), bottom / size[1], 0.985 / len(titles), 0.985 * tall / size[1])
            axes = figure.add_axes(cell)
            panel = Panel(PLANES[axis], place, window, black_to_white)
            draw_scan(axes, ordered, panel)
            if not row:
                axes.set_title(shortened(title, 24), color="white", fontsize=8, loc="center", pad=3)
            masks = truth if not column else turned[list(answers)[(column - 1) // 2]]
            if column and not column % 2:
                missed, extra = _errors(truth, masks)
                fill_area(axes, ordered, panel, missed, MISSED)
                fill_area(axes, ordered, panel, extra, EXTRA, _DASHES)
                continue
            for name, mask in masks.items():
                if name in colours:
                    draw_outline(axes, ordered, panel, mask, colours[name], 1.1)
    handles: list[Line2D | Patch] = [Line2D([], [], color=colour, label=name) for name, colour in colours.items()]
    handles.append(Patch(facecolor=MISSED, alpha=0.65, label="missed"))
    handles.append(Patch(facecolor="none", edgecolor=EXTRA, hatch=_DASHES, label="too much"))
    figure.legend(handles=handles, loc="lower center", ncols=6, labelcolor="white", fontsize=7)
    return figure


def _rgb(colour: Colour) -> Rgb:
    red, green, blue = (part / 255 for part in colour)
    return red, green, blue


def _errors(truth: Mapping[str, Mask], answer: Mapping[str, Mask]) -> tuple[Mask, Mask]:
    """What any structure lacks of its truth, and what it has beyond it."""
    empty = np.zeros_like(next(iter(truth.values())))
    pairs = [(mask, answer.get(name, empty)) for name, mask in truth.items()]
    missed: Mask = np.logical_or.reduce([true & ~answered for true, answered in pairs])
    extra: Mask = np.logical_or.reduce([answered & ~true for true, answered in pairs])
    return missed, extra


def _places(mask: Mask, axis: int) -> list[int]:
    """The slices that are shown, from the patient's head or right or front on."""
    others = tuple(other for other in range(3) if other != axis)
    inside = np.flatnonzero(mask.any(axis=others))
    if not inside.size:
        return [mask.shape[axis] // 2]
    if inside.size > _SLICES:
        inside = inside[np.arange(1, _SLICES + 1) * inside.size // (_SLICES + 1)]
    return [int(place) for place in inside[::-1]]


def _shape(shape: Sequence[int], spacing: Sequence[float], axis: int, side: float) -> float:
    """Height of a panel as a share of its width, for what the window shows."""
    plane = PLANES[axis]
    wide, high = (min(side, shape[one] * spacing[one]) for one in (plane.across, plane.up))
    return min(1.3, max(0.5, high / wide))
