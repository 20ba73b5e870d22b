"""A line a patient, from the reference to the method; and the primary question with its differences beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...metrics import METRICS, Metric
from ..cells import difference_cells, place
from ..comparisons import MethodComparison, PrimaryFinding, bounds_in_words
from ..patients import PatientPair
from ..significance import Equivalence
from ..statistics import Difference
from .style import BAND, GAIN, INK, LOSS, QUIET, WIDTH, FiniteScale, finite_scale, panel_grid, shortened


@dataclass(frozen=True)
class PairedPanel:
    """The patients of one question.

    Attributes:
        title: in up to two lines.
        reference, method: by name.
        pairs: one a patient.
        change: their paired difference.
        metric: of the values.
    """

    title: str
    reference: str
    method: str
    pairs: Sequence[PatientPair]
    change: Difference
    metric: Metric = METRICS["dice"]


def draw_paired(comparisons: Sequence[MethodComparison]) -> Figure:
    """A panel a question of one method against one reference, all on the scale of Dice."""
    panels = [
        PairedPanel(
            f"{place(comparison.question.dataset, comparison.question.modality)}\n{comparison.question.words}",
            comparison.reference,
            comparison.method,
            comparison.pairs,
            comparison.change,
        )
        for comparison in comparisons
    ]
    figure, grid = panel_grid(len(panels), 4, 2.3, extra=0.1)
    for axes, panel in zip(grid, panels, strict=True):
        _draw_lines(axes, panel, FiniteScale(1.0, math.nan))
        axes.set_ylim(-0.02, 1.02)
        axes.set_title("\n".join(shortened(line, 26) for line in panel.title.splitlines()), fontsize=7.5)
        change = f"{panel.change.estimate.mean:+.3f}, n = {len(panel.pairs)}"
        axes.set_xlabel(change, fontsize=7)
    for axes in grid[::4]:
        axes.set_ylabel("Dice")
    return figure


def draw_primary(primary: PrimaryFinding) -> Figure:
    """The primary question: its patients' lines; each one's difference, the mean, its interval and the margin."""
    question = primary.question
    panel = PairedPanel(
        question.where, question.reference, question.method, primary.pairs, primary.change, METRICS[question.metric]
    )
    tested = primary.equivalence if primary.change.estimate.shown else None
    return draw_pair_and_difference(panel, question.margin, tested)


def draw_pair_and_difference(
    panel: PairedPanel, margin: float | None = None, tested: Equivalence | None = None
) -> Figure:
    """A panel of lines, and beside it the differences.

    Args:
        panel: the patients.
        margin: within which a difference counts as none; shaded.
        tested: whose one-sided bounds stand in the place of the mean's 95 % interval.
    """
    figure = Figure(figsize=(0.8 * WIDTH, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    values = [value for pair in panel.pairs for value in (pair.reference, pair.method)]
    scale = finite_scale(values, 1.0 if not panel.metric.distance else 0.0)
    _draw_lines(left, panel, scale)
    left.set_ylim(-0.02 * scale.end, 1.02 * (scale.end if math.isnan(scale.infinite) else scale.infinite))
    better = "" if panel.metric.better == "higher" else ", lower is better"
    left.set_ylabel(f"{panel.metric.title}{better}")
    left.set_title("each line a patient", fontsize=7.5)
    _draw_differences(right, panel, margin, tested)
    return figure


def _draw_lines(axes: Axes, panel: PairedPanel, scale: FiniteScale) -> None:
    """Solid upwards, dashed downwards, dotted where nothing changed; the colour says gain or loss."""
    for pair in panel.pairs:
        ends = [scale.place(pair.reference), scale.place(pair.method)]
        rise = 0.0 if pair.method == pair.reference else pair.method - pair.reference
        better = rise > 0 if panel.metric.better == "higher" else rise < 0
        colour, dashes = (QUIET, ":") if not rise else (GAIN, "-") if better else (LOSS, "--")
        axes.plot([0, 1], ends, color=colour, ls=dashes, lw=1.0, marker="o", markersize=3)
    if not math.isnan(scale.infinite):
        axes.axhline(scale.infinite, color=QUIET, lw=0.6, ls=":")
        ticks = [tick for tick in axes.get_yticks() if 0 <= tick <= scale.end]
        axes.set_yticks([*ticks, scale.infinite], [*(f"{tick:g}" for tick in ticks), "∞"])
    axes.set_xlim(-0.25, 1.25)
    axes.set_xticks([0, 1], [shortened(panel.reference, 14), shortened(panel.method, 14)])
    axes.grid(axis="y")


def _draw_differences(axes: Axes, panel: PairedPanel, margin: float | None, tested: Equivalence | None) -> None:
    """A dot a patient, beside them the mean, or of ranks the pseudomedian, and its interval where there is one."""
    estimate = panel.change.estimate
    if margin is not None:
        axes.axhspan(-margin, margin, color=BAND, lw=0)
        for bound in (-margin, margin):
            axes.axhline(bound, color=QUIET, lw=0.8, ls="--")
    axes.axhline(0, color=INK, lw=0.8)
    sizes = [abs(value) for value in panel.change.values]
    scale = finite_scale(sizes)
    count = len(panel.change.values)
    for x, value in zip(np.linspace(-0.16, 0.16, count) if count > 1 else [0.0], panel.change.values, strict=True):
        y = math.copysign(scale.infinite, value) if math.isinf(value) else value
        axes.plot([x], [y], marker="o", markersize=3.5, color=QUIET, ls="none")
    low, high = (estimate.low, estimate.high) if tested is None else (tested.low, tested.high)
    if math.isfinite(estimate.mean):
        axes.plot([0.45], [estimate.mean], marker="s", markersize=5, color=INK, ls="none")
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([0.45, 0.45], [low, high], color=INK, lw=1.6, solid_capstyle="butt")
    axes.set_xlim(-0.4, 0.75)
    axes.set_xticks([0, 0.45], ["patients", "pseudomedian" if panel.change.ranked else "mean"])
    axes.grid(axis="y")
    axes.set_title(f"{shortened(panel.method, 20)} minus {shortened(panel.reference, 20)}", fontsize=7.5)
    size = difference_cells(panel.change)[0] if tested is None else f"{tested.mean:+.3f}, {bounds_in_words(tested)}"
    axes.set_xlabel(f"{size}, n = {estimate.patients}", fontsize=7.5)
    if not math.isnan(scale.infinite):
        ticks = [tick for tick in axes.get_yticks() if abs(tick) <= scale.end]
        ends = [-scale.infinite, scale.infinite]
        axes.set_yticks([*ticks, *ends], [*(f"{tick:+g}" for tick in ticks), "-∞", "+∞"])
        axes.set_ylim(1.1 * ends[0], 1.1 * ends[1])
