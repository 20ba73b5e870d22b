"""The coordinates of a question: what must be the same of two answers before they may be compared or averaged.

Answers at another strength of a shift, to another box or after another click answer another question. A mean over
them means nothing unless somebody asks for it, so statistics refuse rows that hold several (`require_one`), tables
have a row for each (`varying`), and their names say which (`in_words`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

PLAIN: Mapping[str, Any] = {
    "shift": "none",
    "strength": 0.0,
    "unit": "",
    "jitter": 0.0,
    "jitter_unit": "",
    "points": 0,
    "windows": "",
    "click": 0,
}
"""The coordinates that are never averaged over, each with its value where nothing was changed."""

LATER: Mapping[str, Any] = {
    **{name: value for name, value in PLAIN.items() if name != "shift"},
    "prompt_seed": 0,
    "base": "",
    "family": "",
    "cohort": "",
    "trained_on": 0,
    "predicted_ml": float("nan"),
    "warnings": float("nan"),
}
"""Columns that tables of earlier versions lack, with their values there."""

QUESTION = ("dataset", "modality", "patient", "case", "structure", "prompt", "context", *PLAIN, "prompt_seed")
"""What two answers must share to be answers to the same question about the same case."""


_SHORT_UNIT = 15  # letters


def complete(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every coordinate: columns that are not there, and missing values, are those of plain questions.

    Texts become plain Python strings: taken out of Arrow they cost thousands of small tables a third of their time.
    """
    plain_values = {**LATER, "shift": "none"}
    missing = table[[name for name in plain_values if name in table.columns]].isna().any()
    values: dict[str, Any] = {
        str(name): table[name].astype(object) for name, kind in table.dtypes.items() if kind == "string"
    }
    for name, plain in plain_values.items():
        if name not in table.columns:
            values[name] = plain
        elif missing[name] and not (isinstance(plain, float) and table[name].dtype == float and math.isnan(plain)):
            values[name] = table[name].astype(object).where(table[name].notna(), plain).astype(type(plain))
    whole = table.assign(**values) if values else table
    if "method" in whole.columns and "" in set(whole["family"].tolist()):
        whole = whole.assign(family=whole["family"].where(whole["family"] != "", whole["method"]))
    return whole


def varying(table: pd.DataFrame) -> list[str]:
    """The coordinates that have several values for one kind of prompt, in the order of PLAIN.

    That "point" has points and "text" has none, or "box" an error that "point" has not, is what these words mean.
    """
    names = [name for name in PLAIN if name in table.columns]
    # Sets of plain values first: this is asked of thousands of small tables.
    several = [name for name in names if len(set(table[name].tolist())) > 1 and table[name].nunique(dropna=False) > 1]
    if not several or "prompt" not in table.columns:
        return several
    counts = table.groupby("prompt", observed=True)[several].nunique(dropna=False)
    return [name for name in several if (counts[name] > 1).any()]


def present(table: pd.DataFrame) -> pd.DataFrame:
    """Rows about structures that are there; those about structures outside the field of view are left out."""
    return table[table["voxels"] > 0] if "voxels" in table.columns else table


def absent(table: pd.DataFrame) -> pd.DataFrame:
    """Rows about structures that are known to lie outside the field of view."""
    return table[table["voxels"] == 0]


def require_one(rows: pd.DataFrame) -> None:
    """Raise ValueError for rows that hold several values of a coordinate, which must not be averaged."""
    several = varying(rows)
    if several:
        values = ", ".join(str(value) for value in list(dict.fromkeys(rows[several[0]]))[:4])
        raise ValueError(
            f"these answers differ in {' and '.join(several)} ({values}), so they are not averaged; group them by it."
        )


def plain_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of unchanged scans and of first answers about structures that are there, as `exact_rows` takes them."""
    rows = present(complete(table))
    names = ("shift", "strength", "unit", "click")
    plain = tuple(PLAIN[name] for name in names)
    unchanged = [values == plain for values in zip(*(rows[name].tolist() for name in names), strict=True)]
    return exact_rows(rows if all(unchanged) else rows[unchanged])


def exact_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Of each kind of prompt the rows with the most exact boxes, and the points and windows that come first.

    Args:
        rows: of a complete table.
    """
    prompts, errors = rows["prompt"].tolist(), rows["jitter"].abs().tolist()
    least: dict[str, float] = {}
    for prompt, error in zip(prompts, errors, strict=True):
        least[prompt] = min(error, least.get(prompt, error))
    places = [place for place, error in enumerate(errors) if error == least[prompts[place]]]
    for name in ("jitter", "jitter_unit", "points", "windows"):
        values = rows[name].tolist()
        first: dict[str, Any] = {}
        for place in places:
            first.setdefault(prompts[place], values[place])
        places = [place for place in places if values[place] == first[prompts[place]]]
    return rows if len(places) == len(rows) else rows.iloc[places]


def in_words(columns: Sequence[str], values: Sequence[Any], prompt: str = "box") -> str:
    """What tells a group from others, such as "noise 0.1, click 2"; empty for no columns.

    A unit of many words is left to the table's own column, and the jitter of a `prompt` without a box is not told.
    """
    at = dict(zip(columns, values, strict=True))
    if len(str(at.get("unit", ""))) > _SHORT_UNIT:
        at["unit"] = ""
    if "box" not in prompt.split("+"):
        at = {name: value for name, value in at.items() if not name.startswith("jitter")}
    if "point" not in prompt.split("+"):
        at.pop("points", None)
    parts = []
    if at.get("shift") == "none":
        parts.append("unchanged")
    elif "shift" in at or "strength" in at:
        size = "" if "strength" not in at else f"{float(at['strength']):g} {at.get('unit', '')}".strip()
        parts.append(f"{at.get('shift', 'shift')} {size}".strip())
    elif "unit" in at:
        parts.append(f"strength in {at['unit'] or 'no unit'}")
    if "jitter" in at:
        parts.append(_box_in_words(float(at["jitter"]), str(at.get("jitter_unit", ""))))
    elif "jitter_unit" in at:
        parts.append(f"jitter in {at['jitter_unit'] or 'no unit'}")
    if "points" in at:
        parts.append(f"{at['points']} point{'s' if int(at['points']) != 1 else ''}")
    if "windows" in at:
        parts.append(f"windows {at['windows'] or 'as preferred'}")
    if "click" in at:
        parts.append(f"click {at['click']}")
    return ", ".join(parts)


def _box_in_words(amount: float, unit: str) -> str:
    if not amount:
        return "exact boxes"
    if unit == "share":
        return f"boxes {'enlarged' if amount > 0 else 'shrunk'} by {abs(amount):.0%}"
    return f"boxes +-{amount:g} {unit}".strip()
