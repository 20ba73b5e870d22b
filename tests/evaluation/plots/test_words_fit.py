"""Words of a plot lie inside it, and those of neighbours do not meet."""

import itertools

import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segevolution.appearance import SHIFTS
from segevolution.evaluation.cells import Judgement
from segevolution.evaluation.curves import CurvePanel, PatientCurve
from segevolution.evaluation.patient_values import PatientValues
from segevolution.evaluation.plots.curves import draw_curves
from segevolution.evaluation.plots.forest import ForestRow, draw_forest
from segevolution.evaluation.plots.style import STYLE


def boxes(figure, texts):
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    return [text.get_window_extent(renderer) for text in texts if text.get_text()]


@pytest.mark.parametrize(
    "method", ["lora", "lora-without-replay", "a-method-with-a-name-that-is-longer-than-any-that-ships"]
)
def test_the_words_beside_a_forest_lie_inside_it(method):
    row = ForestRow(
        "MRI (chaos)",
        f"text+point+box: {method}",
        0.069,
        -0.18,
        0.496,
        14,
        Judgement.OPEN,
        "+0.069 [-0.180, +0.496]",
        "too few patients",
    )
    with rc_context(STYLE):
        figure = draw_forest([row] * 3, "difference of Dice, method minus base")
        (axes,) = figure.axes
        for box in boxes(figure, [*axes.get_yticklabels(), *axes.texts, axes.xaxis.label]):
            assert 0 <= box.x0 < box.x1 <= figure.bbox.width
            assert 0 <= box.y0 < box.y1 <= figure.bbox.height
        assert axes.get_window_extent().width / figure.dpi > 1.3


@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_the_words_below_neighbouring_curves_do_not_meet(count):
    shifts = sorted(SHIFTS.items(), key=lambda item: -len(item[1].unit))[:count]
    places = tuple(PatientValues({("ours", "a"): value}, 1, {}, {}) for value in (0.8, 0.7))
    line = PatientCurve("base", (0.0, 1.0), places)
    panels = [CurvePanel(name, shift.unit, (line,)) for name, shift in shifts]
    with rc_context(STYLE):
        figure = draw_curves(panels)
        labels = boxes(figure, [axes.xaxis.label for axes in figure.axes])
    assert len(labels) == count
    assert not any(one.overlaps(other) for one, other in itertools.combinations(labels, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in labels)
