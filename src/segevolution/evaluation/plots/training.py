"""Training curves: the loss of each run, and the Dice of its validation patients where it had any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .style import WIDTH, series_legend, series_styles

_SMOOTHED = 20  # points that a curve of losses has at most


@dataclass(frozen=True)
class Trace:
    """Numbers along the steps of a training.

    Attributes:
        steps: increasing.
        values: one a step.
    """

    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class TrainingCurve:
    """What one run left.

    Attributes:
        run: its name.
        loss: of the batches.
        validation: mean Dice of the validation patients; None where it had none.
        kept_step: of the weights that were taken; None where the last were.
    """

    run: str
    loss: Trace
    validation: Trace | None = None
    kept_step: int | None = None


def draw_training(curves: Sequence[TrainingCurve]) -> Figure:
    """Losses on the left; validation on the right, where a run has it."""
    validated = [curve for curve in curves if curve.validation is not None]
    figure = Figure(figsize=(WIDTH if validated else 0.62 * WIDTH, 2.7), layout="constrained")
    panels = list(figure.subplots(1, 2 if validated else 1, squeeze=False)[0])
    styles = series_styles([curve.run for curve in curves])
    for curve in curves:
        style = styles[curve.run]
        panels[0].plot(*_in_windows(curve.loss), color=style.colour, ls=style.dashes)
        if curve.validation is not None:
            panels[1].plot(
                curve.validation.steps,
                curve.validation.values,
                color=style.colour,
                ls=style.dashes,
                marker=style.marker,
                markersize=3.5,
            )
            _ring(panels[1], curve, style.colour)
    panels[0].set_ylabel("training loss")
    panels[0].set_ylim(bottom=0)
    if validated:
        panels[1].set_ylabel("Dice, validation patients")
        panels[1].set_ylim(0, 1)
    for axes in panels:
        axes.set_xlabel("steps")
        axes.grid()
    series_legend(figure, styles, lines=True)
    return figure


def _in_windows(trace: Trace) -> tuple[list[float], list[float]]:
    """The means of a trace over equal numbers of its points, at most so many as a reader can tell apart."""
    parts = [part for part in np.array_split(np.arange(len(trace.steps)), _SMOOTHED) if len(part)]
    steps, values = np.asarray(trace.steps), np.asarray(trace.values)
    return [float(steps[part].mean()) for part in parts], [float(values[part].mean()) for part in parts]


def _ring(axes: Axes, curve: TrainingCurve, colour: str) -> None:
    """A ring round the step whose weights were taken."""
    if curve.validation is None or curve.kept_step not in curve.validation.steps:
        return
    value = curve.validation.values[curve.validation.steps.index(curve.kept_step)]
    axes.plot([curve.kept_step], [value], marker="o", markersize=9, mfc="none", mec=colour, ls="none")
