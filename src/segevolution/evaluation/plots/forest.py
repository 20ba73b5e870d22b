"""Forest plots: paired differences with their intervals, beside the line of no difference or inside a margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..cells import MISSING, Judgement, difference_cells, place, turn_of, turn_of_kept
from ..comparisons import MethodComparison
from ..intervals import FEWEST
from ..retention import Retention
from .style import BAND, GAIN, INK, LOSS, QUIET, WIDTH, shortened

_SIGNS = {Judgement.GAIN: "▲", Judgement.LOSS: "▼", Judgement.KEPT: "=", Judgement.OPEN: "·"}
_COLOURS = {Judgement.GAIN: GAIN, Judgement.LOSS: LOSS, Judgement.KEPT: GAIN, Judgement.OPEN: QUIET}
_ROW, _GROUP = 0.19, 0.26  # inches
_LETTERS = 42
_EDGE, _FOOT, _LEAST_WIDE = 0.08, 0.5, 1.4  # inches: beside and above all, below the axes, of the intervals


@dataclass(frozen=True)
class ForestRow:
    """One difference.

    Attributes:
        group: rows of one group stand together below its name.
        label: on the left.
        mean, low, high: NaN bounds where there are too few patients.
        patients: how many.
        turn: what it shows.
        change: on the right, the numbers.
        verdict: beside them.
    """

    group: str
    label: str
    mean: float
    low: float
    high: float
    patients: int
    turn: Judgement
    change: str
    verdict: str


def draw_comparisons(comparisons: Sequence[MethodComparison], reference: str) -> Figure:
    """Differences of Dice against a reference: a group a dataset, in it a row a question and method."""
    methods = list(dict.fromkeys(comparison.method for comparison in comparisons))
    questions = list(dict.fromkeys(comparison.question for comparison in comparisons))
    datasets = list(dict.fromkeys((question.dataset, question.modality) for question in questions))
    rows = []
    for dataset, modality in datasets:
        for question in questions:
            if (question.dataset, question.modality) != (dataset, modality):
                continue
            for comparison in comparisons:
                if comparison.question == question and comparison.change.estimate.patients:
                    rows.append(_row(comparison, several=len(methods) > 1))
    who = methods[0] if len(methods) == 1 else "method"
    return draw_forest(rows, f"difference of Dice, {who} minus {reference}")


def _row(comparison: MethodComparison, *, several: bool) -> ForestRow:
    estimate, question = comparison.change.estimate, comparison.question
    change, _ = difference_cells(comparison.change)
    return ForestRow(
        group=place(question.dataset, question.modality),
        label=f"{question.words}: {comparison.method}" if several else question.words,
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        patients=estimate.patients,
        turn=turn_of(comparison.verdict),
        change=change,
        verdict=comparison.verdict.value,
    )


def draw_retention(retention: Sequence[Retention]) -> Figure:
    """Changes of data that were to be kept, with both one-sided bounds, inside the margin or not."""
    rows = []
    for kept_data in sorted(retention, key=lambda one: (one.dataset, one.modality)):
        tested, estimate = kept_data.equivalence, kept_data.change.estimate
        few = estimate.patients < FEWEST
        change = MISSING if not estimate.patients else f"{estimate.mean:+.3f}"
        bounds = "" if few else f" [{tested.low:+.3f}, {tested.high:+.3f}]"
        rows.append(
            ForestRow(
                group=place(kept_data.dataset, kept_data.modality),
                label=kept_data.method,
                mean=estimate.mean,
                low=math.nan if few else tested.low,
                high=math.nan if few else tested.high,
                patients=estimate.patients,
                turn=turn_of_kept(kept_data.verdict),
                change=f"{change}{bounds}",
                verdict=kept_data.verdict.value,
            )
        )
    margin = max(kept_data.equivalence.margin for kept_data in retention)
    return draw_forest(rows, f"change of Dice; shaded: the margin of {margin:g}", margin)


def draw_forest(rows: Sequence[ForestRow], label: str, margin: float | None = None) -> Figure:
    """The plot of rows, those of a group together.

    Args:
        rows: from top to bottom.
        label: of the axis.
        margin: within which a change counts as none; shaded.
    """
    groups = [(name, list(part)) for name, part in groupby(rows, lambda row: row.group)]
    figure = Figure(figsize=(WIDTH, 0.75 + _ROW * len(rows) + _GROUP * len(groups)))
    axes = figure.subplots()
    if margin is not None:
        axes.axvspan(-margin, margin, color=BAND, lw=0)
        for bound in (-margin, margin):
            axes.axvline(bound, color=QUIET, lw=0.8, ls="--")
    axes.axvline(0, color=INK, lw=0.8)
    y = 0.0
    ticks: list[float] = []
    labels: list[str] = []
    headings: list[int] = []
    for name, part in groups:
        y -= _GROUP / _ROW
        headings.append(len(ticks))
        ticks.append(y)
        labels.append(shortened(name, _LETTERS))
        for row in part:
            y -= 1
            ticks.append(y)
            labels.append(shortened(row.label, _LETTERS))
            _draw_row(axes, row, y)
    axes.set_yticks(ticks, labels)
    for number in headings:
        axes.get_yticklabels()[number].set_fontweight("bold")
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(y - 0.7, -0.4)
    reach = [value for row in rows for value in (row.mean, row.low, row.high) if math.isfinite(value)]
    reach += [0.0, *((-1.3 * margin, 1.3 * margin) if margin is not None else ())]
    room = max(0.01, 0.06 * (max(reach) - min(reach)))
    axes.set_xlim(min(reach) - room, max(reach) + room)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel(label)
    _make_room(figure, axes)
    return figure


def _make_room(figure: Figure, axes: Axes) -> None:
    """Give the words on both sides the inches that they take, the intervals the rest, and no word an edge to end at."""
    canvas: Any = FigureCanvasAgg(figure)
    renderer, dots = canvas.get_renderer(), figure.dpi
    left = max(label.get_window_extent(renderer).width for label in axes.get_yticklabels()) / dots + 2 * _EDGE
    end = axes.get_window_extent(renderer).x1
    right = max((text.get_window_extent(renderer).x1 - end for text in axes.texts), default=0.0) / dots + _EDGE
    width, height = max(WIDTH, left + right + _LEAST_WIDE), figure.get_size_inches()[1]
    figure.set_size_inches(width, height)
    figure.subplots_adjust(left=left / width, right=1 - right / width, bottom=_FOOT / height, top=1 - _EDGE / height)


def _draw_row(axes: Axes, row: ForestRow, y: float) -> None:
    """The interval, the mean (filled where something is shown), the sign and the words."""
    colour = _COLOURS[row.turn]
    if math.isfinite(row.low) and math.isfinite(row.high):
        axes.plot([row.low, row.high], [y, y], color=colour, lw=1.5, solid_capstyle="butt")
    if math.isfinite(row.mean):
        face = "none" if row.turn is Judgement.OPEN else colour
        axes.plot([row.mean], [y], marker="s", markersize=4.5, markerfacecolor=face, markeredgecolor=colour, ls="none")
    ends = [(0.04, row.change, INK), (1.62, f"n = {row.patients}", INK), (2.1, _SIGNS[row.turn], colour)]
    for inches, text, ink in (*ends, (2.26, row.verdict, INK)):
        axes.annotate(
            text,
            (1, y),
            (72 * inches, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=7,
            color=ink,
        )
