"""The coordinates of a question: what must be the same of two answers before they may be compared or averaged.

Answers at another strength of a shift, to another box or after another click answer another question. A mean over
them means nothing unless somebody asks for it, so statistics refuse rows that hold several (`require_one`), tables
have a row for each (`varying`), and their names say which (`in_words`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

PLAIN: Mapping[str, Any] = {
    "shift": "none",
    "strength": 0.0,
    "unit": "",
    "jitter": 0.0,
    "jitter_unit": "",
    "click": 0,
}
"""The coordinates that are never averaged over, each with its value where nothing was changed."""

LATER: Mapping[str, Any] = {
    **{name: value for name, value in PLAIN.items() if name != "shift"},
    "prompt_seed": 0,
    "base": "",
}
"""Columns that tables of earlier versions lack, with their values there."""

QUESTION = ("dataset", "modality", "patient", "case", "structure", "prompt", "context", *PLAIN, "prompt_seed")
"""What two answers must share to be answers to the same question about the same case."""


_SHORT_UNIT = 15  # letters


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every coordinate: columns that are not there, and missing values, are those of plain questions."""
    values: dict[str, Any] = {}
    for name, plain in {**LATER, "shift": "none"}.items():
        if name not in table.columns:
            values[name] = plain
        elif table[name].isna().any():
            values[name] = table[name].astype(object).where(table[name].notna(), plain).astype(type(plain))
    return table.assign(**values) if values else table


def varying(table: pd.DataFrame) -> list[str]:
    """The coordinates that have several values in a table, in the order of PLAIN."""
    return [name for name in PLAIN if name in table.columns and table[name].nunique(dropna=False) > 1]


def require_one(rows: pd.DataFrame) -> None:
    """Raise ValueError for rows that hold several values of a coordinate, which must not be averaged."""
    several = varying(rows)
    if several:
        values = ", ".join(str(value) for value in list(dict.fromkeys(rows[several[0]]))[:4])
        raise ValueError(
            f"these answers differ in {' and '.join(several)} ({values}), so they are not averaged; group them by it."
        )


def plain_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of unchanged scans and of first answers, with the most exact boxes of each kind of prompt."""
    rows = complete(table)
    rows = rows[(rows["shift"] == "none") & (rows["click"] == 0)]
    exact = rows.groupby("prompt", observed=True)["jitter"].transform("min")
    return rows[rows["jitter"] == exact]


def in_words(columns: Sequence[str], values: Sequence[Any], prompt: str = "box") -> str:
    """What tells a group from others, such as "noise 0.1, click 2"; empty for no columns.

    A unit of many words is left to the table's own column, and the jitter of a `prompt` without a box is not told.
    """
    at = dict(zip(columns, values, strict=True))
    if len(str(at.get("unit", ""))) > _SHORT_UNIT:
        at["unit"] = ""
    if "box" not in prompt.split("+"):
        at = {name: value for name, value in at.items() if not name.startswith("jitter")}
    parts = []
    if at.get("shift") == "none":
        parts.append("unchanged")
    elif "shift" in at or "strength" in at:
        size = "" if "strength" not in at else f"{float(at['strength']):g} {at.get('unit', '')}".strip()
        parts.append(f"{at.get('shift', 'shift')} {size}".strip())
    elif "unit" in at:
        parts.append(f"strength in {at['unit'] or 'no unit'}")
    if "jitter" in at:
        size = f"{float(at['jitter']):g} {at.get('jitter_unit', '')}".strip()
        parts.append(f"boxes +-{size}" if float(at["jitter"]) else "exact boxes")
    elif "jitter_unit" in at:
        parts.append(f"jitter in {at['jitter_unit'] or 'no unit'}")
    if "click" in at:
        parts.append(f"click {at['click']}")
    return ", ".join(parts)
