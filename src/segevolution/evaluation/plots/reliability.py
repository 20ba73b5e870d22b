"""The reliability diagram: the overlap that a network predicts of its answers against the one that they have."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ..calibration import IouCalibration
from ..cells import place
from .style import QUIET, panel_grid, series_legend, series_styles


def draw_reliability(calibrations: Sequence[IouCalibration]) -> Figure:
    """A panel a dataset; below the diagonal a network thinks too well of its answers.

    Args:
        calibrations: of methods and datasets; a bin is drawn at its means, the larger the more answers it holds.
    """
    datasets = list(dict.fromkeys((one.dataset, one.modality) for one in calibrations))
    styles = series_styles([one.method for one in calibrations])
    figure, panels = panel_grid(len(datasets), 3, 2.5)
    most = max((part.answers for one in calibrations for part in one.bins), default=1)
    for axes, (dataset, modality) in zip(panels, datasets, strict=True):
        axes.plot([0, 1], [0, 1], color=QUIET, lw=0.8, ls="--")
        for one in calibrations:
            if (one.dataset, one.modality) != (dataset, modality):
                continue
            style = styles[one.method]
            predicted, true = [part.predicted for part in one.bins], [part.true for part in one.bins]
            axes.plot(predicted, true, color=style.colour, ls=style.dashes, lw=1.1)
            sizes = [10 + 60 * part.answers / most for part in one.bins]
            axes.scatter(predicted, true, s=sizes, color=style.colour, marker=style.marker, linewidths=0)
        axes.set_title(place(dataset, modality))
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("predicted overlap (IoU)")
        axes.set_ylabel("true overlap (IoU)")
        axes.grid()
    series_legend(figure, styles, lines=True)
    return figure
