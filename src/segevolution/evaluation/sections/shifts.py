"""How answers bear a shift of appearance: Dice against its strength, area under the curve, where .05 is lost."""

import math
from collections.abc import Iterator
from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import count_cell, interval_cell, number_cell, paired_cell
from ..coordinates import complete, present
from ..curves import CurvePanel, PatientCurve, areas, curve
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, question_in_words

LOST = 0.05  # Dice

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
    reference = results.reference
    blocks: list[Block] = [Heading("Shifts of appearance"), Text((_HOW,))]
    lines = []
    for place, group in grouped(rows, ("dataset", "modality", "prompt", "context", "jitter", "points", "windows")):
        dataset, modality, prompt, context, jitter, points, windows = place
        question = question_in_words(rows, prompt, context, jitter=jitter, points=points, windows=windows)
        panels = []
        for shift, unit, at, curves in _of(group):
            panels.append(CurvePanel(f"{shift.replace('_', ' ')}", unit, tuple(curves)))
            base = next((one for one in curves if one.label == reference), None)
            for one in curves:
                lines.append((f"{modality} ({dataset})", question, shift, one.label, *_cells(one, base), at))
        if panels:
            name = "-".join(("shifts", dataset, modality, *prompt.split("+"), context, jitter, points, windows))
            caption = f"{modality} ({dataset}), {question}: Dice against the strength of each shift."
            blocks.append(Picture(name, caption, partial(draw_curves, tuple(panels))))
    columns = ("data", "prompt", "shift", "method", "unchanged", "area", "lost at", "area against", "fall against")
    return [*blocks, Table((*columns, "patients", "strengths"), tuple(lines))]


def _of(group: pd.DataFrame) -> Iterator[tuple[str, str, str, list[PatientCurve]]]:
    """(shift, unit, its strengths in words, a curve a method) of the answers to one kind of prompt on one dataset."""
    plain = group[group["shift"] == "none"]
    for (shift, unit), changed in grouped(group[group["shift"] != "none"], ("shift", "unit")):
        curves = []
        for method in dict.fromkeys(changed["method"]):
            mine = changed[changed["method"] == method]
            start = plain[(plain["method"] == method) & plain["case"].isin(set(mine["case"]))]
            parts = [(0.0, start), *((float(at), mine[mine["strength"] == at]) for at in sorted(set(mine["strength"])))]
            shift_curve = curve(method, parts)
            curves += [shift_curve] if shift_curve is not None else []
        if curves:
            strengths = ", ".join(f"{at:g}" for at in curves[0].at[1:])
            yield shift, unit, f"{strengths} {unit}", curves


def _cells(one: PatientCurve, base: PatientCurve | None) -> tuple[str, ...]:
    """Unchanged, area, where .05 is lost, both differences to the reference, patients."""
    lost = one.place_of_loss(LOST)
    where = "never" if math.isinf(lost) else f"{lost:.3g}"
    against = ("–", "–")
    if base is not None and base is not one and base.at == one.at:
        mine, others = one.shared(base)
        falls = [values[:, -1] - values[:, 0] for values in (mine, others)]
        against = (
            paired_cell(areas(mine, one.at) - areas(others, one.at)),
            paired_cell(falls[0] - falls[1]),
        )
    return number_cell(one.means[0], ".3f"), interval_cell(one.area()), where, *against, count_cell(len(one.values))
