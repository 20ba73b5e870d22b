"""How many points are worth asking for: Dice against the number of points a prompt begins with."""

from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import count_cell, interval_cell
from ..coordinates import complete, present
from ..curves import CurvePanel, curve
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, question_in_words

_HOW = (
    "Points are drawn anywhere inside the label. With several prompt seeds each question is asked once a seed and "
    "averaged; spread: the standard deviation between seeds of the mean over all answers."
)


def points_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = present(complete(results.table))
    rows = rows[(rows["shift"] == "none") & (rows["click"] == 0) & (rows["points"] > 0)]
    if rows["points"].nunique() < 2:
        return []
    panels, lines = [], []
    for (dataset, modality, prompt, context, windows), group in grouped(
        rows, ("dataset", "modality", "prompt", "context", "windows")
    ):
        question = question_in_words(rows, prompt, context, windows=windows)
        exact = group[group["jitter"] == 0]
        curves = []
        for method in dict.fromkeys(exact["method"]):
            mine = exact[exact["method"] == method]
            numbers = sorted(set(mine["points"]))
            point_curve = curve(method, [(float(number), mine[mine["points"] == number]) for number in numbers])
            if point_curve is None:
                continue
            curves.append(point_curve)
            cells = "; ".join(
                f"{at:g}: {interval_cell(interval)}"
                for at, interval in zip(point_curve.at, point_curve.intervals, strict=True)
            )
            lines.append(
                (f"{modality} ({dataset})", question, method, cells, _spread(mine), count_cell(len(point_curve.values)))
            )
        if curves:
            panels.append(CurvePanel(f"{modality} ({dataset}), {question}", "points", tuple(curves), even=True))
    if not panels:
        return []
    columns = ("data", "prompt", "method", "Dice at each number", "spread of seeds", "patients")
    return [
        Heading("Numbers of points"),
        Text((_HOW,)),
        Picture("points", "Dice against the number of points.", partial(draw_curves, tuple(panels))),
        Table(columns, tuple(lines)),
    ]


def _spread(rows: pd.DataFrame) -> str:
    """Number of points: standard deviation between prompt seeds of the mean Dice."""
    means = rows.groupby(["points", "prompt_seed"])["dice"].mean().unstack("prompt_seed")
    if means.shape[1] < 2:
        return "one seed"
    return "; ".join(f"{number}: {value:.3f}" for number, value in means.std(axis=1, ddof=1).items())
