"""What inexact boxes cost: Dice against the error of the box, in voxels, in millimetres and as a share of its sides."""

import math
from collections.abc import Iterator
from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import count_cell, interval_cell
from ..coordinates import complete, present
from ..curves import CurvePanel, PatientCurve, curve
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, question_in_words

LOST = 0.05  # Dice

_HOW = (
    "Each face of a tight box is moved by up to so many whole voxels or millimetres, drawn alike for every method; as "
    "a share, every side of the box is enlarged, or shrunk below 0, about its middle. Lost: the error at which the "
    f"mean Dice has first fallen by {LOST:g} from that of exact boxes, on a line between two errors."
)
_AXES = {"voxel": "voxels", "mm": "mm", "share": "share of the sides"}


def boxes_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = present(complete(results.table))
    rows = rows[(rows["shift"] == "none") & (rows["click"] == 0)]
    boxed = rows[rows["prompt"].str.split("+").map(lambda kinds: "box" in kinds)]
    if boxed.groupby("prompt")["jitter"].nunique().max() < 2 if len(boxed) else True:
        return []
    blocks: list[Block] = [Heading("Errors of boxes"), Text((_HOW,))]
    for (dataset, modality, prompt, context, points), group in grouped(
        boxed, ("dataset", "modality", "prompt", "context", "points")
    ):
        panels, lines = [], []
        for windows, part in _windows(group):
            for unit, curves in curves_by_unit(part, windows):
                panels.append(CurvePanel(_titled(unit, windows), _AXES[unit], tuple(curves), even=unit == "voxel"))
                lines += [_line(unit, one) for one in curves]
        if panels:
            name = "-".join(("boxes", dataset, modality, *prompt.split("+"), context, points))
            question = question_in_words(boxed, prompt, context, points=points)
            caption = f"{modality} ({dataset}), {question}: Dice against the error of the box."
            blocks += [Picture(name, caption, partial(draw_curves, tuple(panels)))]
            columns = ("unit", "method", "Dice at each error", "lost at", "patients")
            blocks += [Text((f"{modality} ({dataset}), {question}:",)), Table(columns, tuple(lines))]
    return blocks


def curves_by_unit(group: pd.DataFrame, suffix: str = "") -> Iterator[tuple[str, list[PatientCurve]]]:
    """(unit, a curve a method) of the answers to one kind of prompt; exact boxes stand at 0 in each unit.

    Args:
        group: rows that differ in method, case, structure, seeds, and the error of boxes only.
        suffix: of the lines' labels.
    """
    exact = group[group["jitter"] == 0]
    for unit in _AXES:
        moved = group[group["jitter_unit"] == unit]
        curves = []
        for method in dict.fromkeys(moved["method"]):
            mine, start = (part[part["method"] == method] for part in (moved, exact))
            places = sorted(set(mine["jitter"]))
            parts = [(float(at), mine[mine["jitter"] == at]) for at in places]
            label = f"{method}, {suffix}" if suffix else method
            drawn_curve = curve(label, [*([(0.0, start)] if len(start) else []), *parts])
            curves += [drawn_curve] if drawn_curve is not None else []
        if curves:
            yield unit, curves


def _windows(group: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """("", all rows), or where windows differ ("windows off", its rows) for each."""
    if group["windows"].nunique() == 1:
        yield "", group
        return
    for (windows,), part in grouped(group, ("windows",)):
        yield f"windows {windows or 'as preferred'}", part


def _titled(unit: str, windows: str) -> str:
    return _AXES[unit] + (f", {windows}" if windows else "")


def _line(unit: str, one: PatientCurve) -> tuple[str, ...]:
    """A method's row: Dice at each error in words, and where .05 is lost."""
    values = "; ".join(f"{at:g}: {interval_cell(interval)}" for at, interval in zip(one.at, one.intervals, strict=True))
    lost = _lost_at(one)
    return _AXES[unit], one.label, values, lost, count_cell(len(one.values))


def _lost_at(one: PatientCurve) -> str:
    """The error at which .05 is lost; of shares on either side of 0."""
    sides = list(_sides(one))
    places = [side.place_of_loss(LOST) for side in sides]
    signs = [-1 if side.at[-1] < 0 else 1 for side in sides]
    places_in_words = [
        f"{sign * abs(place):.3g}" for sign, place in zip(signs, places, strict=True) if math.isfinite(place)
    ]
    return " and ".join(places_in_words) or "never"


def _sides(one: PatientCurve) -> Iterator[PatientCurve]:
    """The curve from 0 downwards (places negative, in falling order), and from 0 upwards."""
    upward = [number for number, at in enumerate(one.at) if at >= 0]
    downward = [number for number, at in enumerate(one.at) if at <= 0][::-1]
    for numbers in (downward, upward):
        if len(numbers) > 1:
            at = tuple(one.at[number] for number in numbers)
            yield PatientCurve(one.label, at, tuple(one.places[number] for number in numbers))
