"""False alarms: what is answered where a structure is asked for that lies outside the field of view."""

import pandas as pd

from ..blocks import Block, Heading, Table, Text
from ..cells import Cell, count_cell
from ..coordinates import absent, complete, present
from ..intervals import interval_of_share
from ..patient_values import level_values
from ..statistics import grouped
from .results import StudyResults, question_in_words

ALARM_ML = 1.0
GOOD = 0.5  # Dice

_HOW = (
    "Structures that are known to lie outside the field of view are asked for by their names; the right answer is "
    f"nothing. Alarms: the share of answers above {ALARM_ML:g} ml, each patient's share first, then their mean, with "
    "the exact interval of a share of patients, or that over patients and training runs where it is wider; not warned: "
    "those of them beside which a user would be told no reason for doubt (volume, place, expected overlap). Median: of "
    "all answers, empty ones among them."
)


def absent_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = absent(complete(results.table))
    rows = rows[rows["predicted_ml"].notna()] if len(rows) else rows
    if rows.empty:
        return []
    lines = []
    for (method, dataset, modality, context, windows), group in grouped(
        rows, ("method", "dataset", "modality", "context", "windows")
    ):
        where = (method, question_in_words(rows, f"{modality} ({dataset})", context, windows=windows))
        lines.append((*where, "all", *_cells(group)))
        for (structure,), part in grouped(group, ("structure",)):
            lines.append((*where, structure, *_cells(part)))
    columns = (
        "method",
        "data",
        "asked for",
        "alarms",
        "alarms, not warned",
        "median ml",
        "largest ml",
        "answers",
        "patients",
    )
    return [
        Heading("Structures that are not there"),
        Text((_HOW,)),
        Table(columns, tuple(lines)),
        *_warned(present(complete(results.table))),
    ]


def _warned(rows: pd.DataFrame) -> list[Block]:
    """What the warnings cost: how many good answers about structures that are there are doubted, too."""
    judged = rows[rows["warnings"].notna()]
    lines = []
    for (method, dataset, modality, prompt), group in grouped(judged, ("method", "dataset", "modality", "prompt")):
        good, bad = group[group["dice"] >= GOOD], group[group["dice"] < GOOD]
        cells = [f"{int((part['warnings'] > 0).sum())} of {len(part)}" for part in (good, bad)]
        lines.append((method, f"{modality} ({dataset})", prompt, *cells))
    if not lines:
        return []
    columns = ("method", "data", "prompt", f"doubted, Dice {GOOD:g} or better", f"doubted, Dice below {GOOD:g}")
    return [Text(("Warnings beside answers about structures that are there:",)), Table(columns, tuple(lines))]


def _cells(rows: pd.DataFrame) -> tuple[str, ...]:
    alarms, sizes = rows["predicted_ml"] > ALARM_ML, rows["predicted_ml"]
    judged = rows["warnings"].notna().all()
    silent = _share(rows, alarms & (rows["warnings"] == 0)) if judged else "–"
    people = rows.groupby(["dataset", "patient"]).ngroups
    return (
        _share(rows, alarms),
        silent,
        f"{sizes.median():.1f}",
        f"{sizes.max():.0f}",
        str(len(rows)),
        count_cell(people),
    )


def _share(rows: pd.DataFrame, which: "pd.Series[bool]") -> Cell:
    """The mean over patients of the share of answers, with its interval."""
    shares = level_values(rows.assign(share=which.astype(float)), "share")
    interval = interval_of_share(shares.sample, shares.runs)
    if not interval.shown:
        return Cell(f"{interval.mean:.2f}", interval.mean)
    text = f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
    return Cell(text, interval.mean, interval.low, interval.high)
