"""What corrections bring: Dice and seconds after each click, and how many clicks an answer takes to be good."""

import math
from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import count_cell, interval_cell
from ..coordinates import complete, present
from ..curves import CurvePanel, curve
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, question_in_words

GOALS = (0.8, 0.9)  # Dice

_HOW = (
    "A simulated person clicks into the deepest voxel of the largest error, again and again. Click 0 is the first "
    "answer. To .80, to .90: the median number of clicks until an answer is so good, over (case, structure), and how "
    "many of them never are. Seconds: the median of one click, the first answer left out."
)


def clicks_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = present(complete(results.table))
    rows = rows[rows["shift"] == "none"]
    if rows["click"].nunique() < 2:
        return []
    panels, lines = [], []
    for (dataset, modality, prompt, context, points, windows), group in grouped(
        rows, ("dataset", "modality", "prompt", "context", "points", "windows")
    ):
        question = question_in_words(rows, prompt, context, points=points, windows=windows)
        exact = group[group["jitter"] == 0]
        curves = []
        for method in dict.fromkeys(exact["method"]):
            mine = exact[exact["method"] == method]
            numbers = sorted(set(mine["click"]))
            click_curve = curve(method, [(float(number), mine[mine["click"] == number]) for number in numbers])
            if click_curve is None or len(numbers) < 2:
                continue
            curves.append(click_curve)
            after = mine[(mine["click"] > 0) & (mine["decodings"] > 0)]["seconds"]
            seconds = f"{after.median():.2f}" if len(after) else "–"
            needed = [_needed(mine, goal) for goal in GOALS]
            steps = "; ".join(
                f"{at:g}: {interval.mean:.3f}"
                for at, interval in zip(click_curve.at, click_curve.intervals, strict=True)
            )
            ends = (interval_cell(click_curve.intervals[0]), interval_cell(click_curve.intervals[-1]))
            where = (f"{modality} ({dataset})", question, method)
            lines.append((*where, *ends, steps, *needed, seconds, count_cell(len(click_curve.values))))
        if curves:
            panels.append(CurvePanel(f"{modality} ({dataset}), {question}", "clicks", tuple(curves)))
    if not panels:
        return []
    goals = tuple(f"clicks to {goal:.2f}" for goal in GOALS)
    columns = ("data", "prompt", "method", "first answer", "after the last click", "Dice after each click", *goals)
    return [
        Heading("Clicks"),
        Text((_HOW,)),
        Picture("clicks", "Dice after each click.", partial(draw_curves, tuple(panels))),
        Table((*columns, "seconds a click", "patients"), tuple(lines)),
    ]


def _needed(rows: pd.DataFrame, goal: float) -> str:
    """The median number of clicks to a Dice, and how many questions never reach it."""
    questions = rows.sort_values("click").groupby(
        ["run", "dataset", "case", "structure", "prompt_seed", "context"], observed=True
    )
    needed = [one["click"][one["dice"] >= goal].min() for _, one in questions]  # NaN: never
    never = int(pd.isna(pd.Series(needed)).sum())
    median = pd.Series(needed, dtype=float).fillna(math.inf).median()
    word = f"{median:g}" if math.isfinite(median) else f"more than {rows['click'].max()}"
    return f"{word}; {never} of {len(needed)} never"
