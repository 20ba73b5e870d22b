"""How answers bear a shift of appearance: Dice against its strength, area under the curve, where .05 is lost."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import MISSING, count_cell, interval_cell, number_cell, paired_cell
from ..coordinates import complete, present
from ..curves import CurvePanel, PatientCurve, curve, curve_of
from ..patient_values import difference_values
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, question_in_words

LOST = 0.05  # Dice

_SEPARATE = ("jitter", "jitter_unit", "points", "windows")
_Curves = tuple[PatientCurve, PatientCurve | None]
"""A method's curve, and the curve of its differences to the reference."""

_HOW = (
    "The same patients, prompts and drawn changes for all methods. The curve begins at the unchanged scan. Area: the "
    "mean Dice along the curve from strength 0 to the last one. Lost: the strength at which the mean Dice has fallen "
    f"by {LOST:g}, on a line between two strengths; never, where it has not at the last one. Against: paired "
    "difference of the area to the reference, and of the fall of Dice at the last strength (below zero: it falls more)."
)


def shifts_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = present(complete(results.table))
    rows = rows[rows["click"] == 0]
    if rows["shift"].nunique() < 2:
        return []
    blocks: list[Block] = [Heading("Shifts of appearance"), Text((_HOW,))]
    lines = []
    for place, group in grouped(rows, ("dataset", "modality", "prompt", "context", *_SEPARATE)):
        dataset, modality, prompt, context, *separate = place
        question = question_in_words(rows, prompt, context, **dict(zip(_SEPARATE, separate, strict=True)))
        panels = []
        for shift, unit, at, curves in _of(group, results.reference):
            panels.append(CurvePanel(f"{shift.replace('_', ' ')}", unit, tuple(one for one, _ in curves)))
            for one, against in curves:
                lines.append((f"{modality} ({dataset})", question, shift, one.label, *_cells(one, against), at))
        if panels:
            jitter, jitter_unit, points, windows = separate
            where = (dataset, modality, *prompt.split("+"), context, f"{jitter}{jitter_unit}", points, windows)
            caption = f"{modality} ({dataset}), {question}: Dice against the strength of each shift."
            blocks.append(Picture("-".join(("shifts", *where)), caption, partial(draw_curves, tuple(panels))))
    columns = ("data", "prompt", "shift", "method", "unchanged", "area", "lost at", "area against", "fall against")
    return [*blocks, Table((*columns, "patients", "strengths"), tuple(lines))]


def _of(group: pd.DataFrame, reference: str) -> Iterator[tuple[str, str, str, list[_Curves]]]:
    """(shift, unit, its strengths in words, the curves of each method) of one kind of prompt on one dataset."""
    plain = group[group["shift"] == "none"]
    for (shift, unit), changed in grouped(group[group["shift"] != "none"], ("shift", "unit")):
        curves = []
        for method in dict.fromkeys(changed["method"]):
            shift_curve = curve(method, _parts(plain, changed, (method,)))
            if shift_curve is not None:
                curves.append((shift_curve, _against(plain, changed, method, reference)))
        if curves:
            strengths = ", ".join(f"{at:g}" for at in curves[0][0].at[1:])
            yield shift, unit, f"{strengths} {unit}", curves


def _parts(plain: pd.DataFrame, changed: pd.DataFrame, methods: Sequence[str]) -> list[tuple[float, pd.DataFrame]]:
    """Strength and the rows of some methods, from the unchanged scans of the same cases on."""
    mine = changed[changed["method"].isin(list(methods))]
    start = plain[plain["method"].isin(list(methods)) & plain["case"].isin(set(mine["case"]))]
    return [(0.0, start), *((float(at), mine[mine["strength"] == at]) for at in sorted(set(mine["strength"])))]


def _against(plain: pd.DataFrame, changed: pd.DataFrame, method: str, reference: str) -> PatientCurve | None:
    """The differences to the reference at each strength; None of itself, and where one of both lacks a strength."""
    if method == reference:
        return None
    parts = _parts(plain, changed, (method, reference))
    return curve_of(method, [(at, difference_values(part, method, reference)) for at, part in parts])


def _cells(one: PatientCurve, against: PatientCurve | None) -> tuple[str, ...]:
    """Unchanged, area, where .05 is lost, both differences to the reference, patients."""
    lost = one.place_of_loss(LOST)
    where = "never" if math.isinf(lost) else f"{lost:.3g}"
    changes = (MISSING, MISSING)
    if against is not None:
        changes = (paired_cell(against.areas()), paired_cell(against.rises(), reach=2.0))
    return number_cell(one.means[0], ".3f"), interval_cell(one.area()), where, *changes, count_cell(len(one.values))
