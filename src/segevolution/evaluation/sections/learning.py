"""How many patients a method needs: Dice against the number of patients it learned from.

A point is a method of the table, such as "lora (5 shots)". Patients whose number differs between the seeds or folds of
one method are no other point: their range stands beside it.
"""

from collections.abc import Iterator
from functools import partial

import pandas as pd

from ..blocks import Block, Heading, Picture, Table, Text
from ..cells import MISSING, Cell, count_cell, interval_cell, paired_cell
from ..coordinates import complete, plain_rows
from ..curves import CurvePanel, PatientCurve, curve, curve_of
from ..patient_values import difference_values
from ..plots.curves import draw_curves
from ..statistics import grouped
from .results import StudyResults, learned_from, question_in_words

_HOW = (
    "The same tested patients at every number. Intervals hold both sources of variance, patients and training runs. "
    "What is not trained is a line without slope. Against: paired difference to the reference."
)

_Parts = list[tuple[float, pd.DataFrame]]
"""Patients to learn from, and the rows of the method that learned from so many."""


def learning_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = plain_rows(complete(results.table))
    trained = rows[rows["trained_on"] > 0]
    if trained.empty or trained.groupby(["family", "cohort"])["method"].nunique().max() < 2:
        return []
    panels, lines = [], []
    for (dataset, modality, prompt, context), group in grouped(rows, ("dataset", "modality", "prompt", "context")):
        data, question, curves = f"{modality} ({dataset})", question_in_words(rows, prompt, context), []
        for label, parts in _families(group):
            learning_curve = curve(label, parts)
            if learning_curve is not None:
                curves.append(learning_curve)
                against = _against(group, parts, results.reference)
                lines += [(data, question, label, *cells) for cells in _cells(parts, learning_curve, against)]
        if curves:
            panels.append(CurvePanel(f"{data}, {question}", "patients to learn from", tuple(curves), even=True))
    columns = ("data", "prompt", "method", "learned from", "Dice", "against", "seeds", "patients")
    return [
        Heading("Patients to learn from"),
        Text((_HOW,)),
        Picture("learning", "Dice against the number of patients to learn from.", partial(draw_curves, tuple(panels))),
        Table(columns, tuple(lines)),
    ]


def _families(group: pd.DataFrame) -> Iterator[tuple[str, _Parts]]:
    """(label, parts) of each method and training set; what is not trained stands at every number of the others."""
    families = []
    for (family, cohort), mine in grouped(group, ("family", "cohort")):
        parts = sorted(((_mean_number(part), part) for _, part in grouped(mine, ("method",))), key=lambda part: part[0])
        families.append((f"{family} ({cohort})" if cohort else family, parts))
    numbers = sorted({at for _, parts in families for at, _ in parts if at})
    for label, parts in families:
        yield label, parts if parts[-1][0] else [(at, part) for at in numbers for _, part in parts]


def _mean_number(rows: pd.DataFrame) -> float:
    """The mean over a method's runs of the patients whom they learned from."""
    return float(rows.drop_duplicates("run")["trained_on"].mean())


def _against(group: pd.DataFrame, parts: _Parts, reference: str) -> PatientCurve | None:
    """The differences to the reference at each number; None of the reference itself, and without one."""
    still = group[group["method"] == reference]
    methods = [str(part["method"].iloc[0]) for _, part in parts]
    if still.empty or reference in methods:
        return None
    places = [
        (at, difference_values(pd.concat([part, still]), method, reference))
        for (at, part), method in zip(parts, methods, strict=True)
    ]
    return curve_of(reference, places)


def _cells(parts: _Parts, curve_shown: PatientCurve, against: PatientCurve | None) -> Iterator[tuple[str, ...]]:
    """A row for each number, one alone for what is not trained."""
    for place, (interval, (_, part)) in enumerate(zip(curve_shown.intervals, parts, strict=True)):
        is_trained = bool((part["trained_on"] > 0).any())
        if place and not is_trained:
            return
        learned = learned_from(part) if is_trained else MISSING
        change = Cell(MISSING) if against is None else paired_cell(against.places[place])
        yield learned, interval_cell(interval), change, str(part["seed"].nunique() or 1), count_cell(interval.count)
