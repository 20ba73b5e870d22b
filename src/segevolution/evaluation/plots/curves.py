"""Curves of a coordinate of the question: shifts, boxes, clicks, points, patients to learn from."""

from collections.abc import Sequence
from textwrap import fill

from matplotlib.figure import Figure

from ..curves import CurvePanel
from .style import panel_grid, series_legend, series_styles, shortened

_LETTERS = 84  # of a line below the panels, shared by those beside each other, so that their words do not meet


def draw_curves(panels: Sequence[CurvePanel], y_label: str = "Dice", columns: int = 3) -> Figure:
    """The panels, row by row; bands are 95 % intervals, and there are none below six patients."""
    figure, grid = panel_grid(len(panels), columns, 2.2)
    styles = series_styles([line.label for panel in panels for line in panel.curves])
    for axes, panel in zip(grid, panels, strict=False):
        ticks = sorted({place for line in panel.curves for place in line.at})
        for line in panel.curves:
            style = styles[line.label]
            places = [ticks.index(place) for place in line.at] if panel.even else list(line.at)
            intervals = line.intervals
            means = [one.mean for one in intervals]
            axes.plot(places, means, marker=style.marker, markersize=3.5, ls=style.dashes, color=style.colour)
            if all(one.shown for one in intervals):
                low, high = [one.low for one in intervals], [one.high for one in intervals]
                axes.fill_between(places, low, high, color=style.colour, alpha=0.15, lw=0)
        if panel.even:
            axes.set_xticks(range(len(ticks)), [f"{round(place, 1):g}" for place in ticks])
        axes.set_title(shortened(panel.title, 38 if len(panels) > 1 else 60), fontsize=7.5)
        axes.set_xlabel(fill(panel.x_label, _LETTERS // min(columns, len(panels))))
        axes.set_ylim(0, 1)
        axes.grid(axis="y")
    for axes in grid[:: min(columns, len(grid))]:
        axes.set_ylabel(y_label)
    series_legend(figure, styles, lines=True)
    return figure
