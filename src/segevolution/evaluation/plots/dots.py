"""Dots a patient with the mean of each method: of every question, and of every structure.

Below six patients there are dots and a mean without an interval. An infinite distance is a dot at the axis' end.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...metrics import METRICS, Metric
from ..cells import place
from ..levels import LevelRow, MetricTable, StructureTable
from .style import (
    INK,
    QUIET,
    WIDTH,
    FiniteScale,
    SeriesStyle,
    finite_scale,
    series_legend,
    series_styles,
    shortened,
)

_LANE, _GAP = 0.17, 0.1  # inches: a method's lane, and between two rows


def draw_levels(table: MetricTable, methods: Sequence[str]) -> Figure:
    """A metric of each plain question: a panel a dataset, a row a question, a lane a method."""
    rows = [row for row in table.rows if row.question.plain] or list(table.rows)
    return _draw(rows, methods, table.metric, lambda row: row.question.words)


def draw_structures(table: StructureTable, methods: Sequence[str]) -> Figure:
    """Dice of each structure with one kind of prompt: a panel a dataset, a row a structure, a lane a method."""
    contexts = len({row.question.words for row in table.rows}) > 1
    return _draw(
        table.rows,
        methods,
        METRICS["dice"],
        lambda row: f"{row.structure}, {row.question.words}" if contexts else str(row.structure),
    )


def _draw(rows: Sequence[LevelRow], methods: Sequence[str], metric: Metric, label: Callable[[LevelRow], str]) -> Figure:
    datasets = list(dict.fromkeys((row.question.dataset, row.question.modality) for row in rows))
    parts = [[row for row in rows if (row.question.dataset, row.question.modality) == name] for name in datasets]
    heights = [len(part) * (_LANE * len(methods) + _GAP) + 0.1 for part in parts]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.5 * len(parts) + 0.55), layout="constrained")
    styles = series_styles(methods)
    panels = figure.subplots(max(1, len(parts)), 1, squeeze=False, sharex=True, height_ratios=heights or [1])[:, 0]
    finite = [value for row in rows for values in row.values.values() for value in values.values()]
    scale = finite_scale(finite, 0.0 if metric.distance else 1.0)
    for axes, (dataset, modality), part in zip(panels, datasets, parts, strict=True):
        patients = max((row.patients for row in part), default=0)
        axes.set_title(f"{place(dataset, modality)}, n = {patients}")
        _draw_panel(axes, part, styles, scale, label)
    better = "" if metric.better == "higher" else ", lower is better"
    title = f"{metric.title}{better}"
    panels[-1].set_xlabel(title[0].upper() + title[1:])
    _set_ends(panels[-1], scale)
    series_legend(figure, styles)
    return figure


def _draw_panel(
    axes: Axes,
    rows: Sequence[LevelRow],
    styles: dict[str, SeriesStyle],
    scale: FiniteScale,
    label: Callable[[LevelRow], str],
) -> None:
    step = 1 / (len(styles) + _GAP / _LANE)
    for number, row in enumerate(rows):
        for lane, (method, style) in enumerate(styles.items()):
            if method in row.levels and row.levels[method].patients:
                y = -(number + step * (lane - (len(styles) - 1) / 2))
                _draw_lane(axes, row, method, style, scale, y + 0.12 * step, step)
        if number:
            axes.axhline(0.5 - number, color=QUIET, lw=0.3, alpha=0.5)
    axes.set_yticks([-number for number in range(len(rows))], [shortened(label(row), 34) for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(0.5 - len(rows), 0.5)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _draw_lane(
    axes: Axes, row: LevelRow, method: str, style: SeriesStyle, scale: FiniteScale, y: float, step: float
) -> None:
    """Patients as dots in the lower part of the lane; above them the method's marker, with its interval."""
    values = [scale.place(value) for value in row.values[method].values()]
    below = [y - 0.34 * step] * len(values)
    axes.plot(values, below, ls="none", marker="o", markersize=2.8, color=style.colour, alpha=0.6, mew=0)
    level = row.levels[method]
    if not math.isnan(level.low):
        ends = [scale.place(level.low), scale.place(level.high)]
        axes.plot(ends, [y, y], color=style.colour, lw=1.5, solid_capstyle="butt")
    axes.plot(
        [scale.place(level.mean)],
        [y],
        marker=style.marker,
        markersize=4.5,
        color=style.colour,
        markeredgecolor=INK,
        mew=0.5,
        ls="none",
    )


def _set_ends(axes: Axes, scale: FiniteScale) -> None:
    if math.isnan(scale.infinite):
        axes.set_xlim(-0.02 * scale.end, 1.02 * scale.end)
        return
    axes.set_xlim(-0.02 * scale.end, 1.04 * scale.infinite)
    ticks = [float(tick) for tick in axes.get_xticks() if 0 <= tick <= scale.end]
    axes.set_xticks([*ticks, scale.infinite], [*(f"{tick:g}" for tick in np.round(ticks, 6)), "∞"])
