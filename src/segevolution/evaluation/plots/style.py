"""One style for all plots: sizes for a page of a paper, colours that colour-blind people tell apart, and markers.

Colours are those of Okabe and Ito (2008), darkened until each has a contrast of 3 on white. Every colour has a name
under which a page shows another one on a dark ground, so each is written in this module and nowhere else. No plot says
a thing by colour alone: each method has a marker, and gains and losses have signs or dashes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 7.0
"""Inches: two columns of a journal, or the text of an A4 page."""

INK, QUIET, GRID, PAPER = "#1b1f24", "#5b6470", "#d5dae1", "#fefefe"
GAIN, LOSS, BAND = "#0072b3", "#c44e01", "#e8edf3"
SERIES = ("#6e7782", "#0072b2", "#c44e00", "#00875f", "#a34f86", "#9a6700", "#2f86c6")

COLOUR_NAMES: Mapping[str, str] = {
    INK: "ink",
    QUIET: "quiet",
    GRID: "grid",
    PAPER: "paper",
    GAIN: "gain",
    LOSS: "loss",
    BAND: "band",
    **{colour: f"series-{number}" for number, colour in enumerate(SERIES)},
}
"""Colour -> the name by which a page knows it."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
Dashes = Literal["-", "--", "-.", ":"]
_DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":")

STYLE: Mapping[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "text.color": INK,
    "text.parse_math": False,  # a structure may be called $x$
    "text.usetex": False,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "lines.linewidth": 1.3,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "segevolution",
    "pdf.fonttype": 42,  # fonts are embedded whole, as publishers ask
    "hatch.linewidth": 0.6,
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one method, run or line is drawn."""

    colour: str
    marker: str
    dashes: Dashes


def series_styles(names: Sequence[str]) -> dict[str, SeriesStyle]:
    """Name -> style, in order; of more names than colours, a further round has other markers and dashes."""
    return {
        name: SeriesStyle(
            SERIES[number % len(SERIES)],
            _MARKERS[(number + number // len(SERIES)) % len(_MARKERS)],
            _DASHES[number // len(SERIES) % len(_DASHES)],
        )
        for number, name in enumerate(dict.fromkeys(names))
    }


def series_legend(figure: Figure, styles: Mapping[str, SeriesStyle], *, lines: bool = False) -> None:
    """A legend below the plots; `lines` shows the dashes, too."""
    handles = [
        Line2D(
            [],
            [],
            color=style.colour,
            marker=style.marker,
            linestyle=style.dashes if lines else "none",
            markersize=4.5,
            label=name,
        )
        for name, style in styles.items()
    ]
    longest = max(map(len, styles), default=1)
    columns = max(1, min(len(handles), int(WIDTH * 13 / (longest + 6))))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def panel_grid(count: int, columns: int, height: float, *, extra: float = 0.45) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, at most `columns` beside each other, each `height` inches high."""
    count = max(1, count)
    columns = min(columns, count)
    lines = math.ceil(count / columns)
    width = WIDTH if count > 1 else 0.62 * WIDTH
    figure = Figure(figsize=(width, height * lines + extra), layout="constrained")
    panels = list(figure.subplots(lines, columns, squeeze=False).ravel())
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure, panels[:count]


def shortened(text: str, letters: int) -> str:
    """The text, its middle left out where it is longer."""
    if len(text) <= letters:
        return text
    head = (letters - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (letters - 1 - head) :]}"


@dataclass(frozen=True)
class FiniteScale:
    """Where values are drawn on an axis on which an infinite one stands at its end, named "∞".

    Attributes:
        end: of the finite values.
        infinite: where infinite ones are drawn; NaN where there are none.
    """

    end: float
    infinite: float

    def place(self, value: float) -> float:
        """Where a value stands."""
        return self.infinite if math.isinf(value) else value


def finite_scale(values: Sequence[float], least: float = 0.0) -> FiniteScale:
    """The scale of some values; `least` is the least end."""
    end = max([least, *(value for value in values if math.isfinite(value))]) or 1.0
    return FiniteScale(end, 1.12 * end if any(map(math.isinf, values)) else math.nan)
