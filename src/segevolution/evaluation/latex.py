"""A table as LaTeX, as it stands in a paper: booktabs, escaped, its caption with n and how the intervals are made."""

import math
import re
from collections.abc import Sequence

from .blocks import Table
from .cells import Cell, Judgement
from .intervals import FEWEST

INTERVALS = (
    "Brackets: 95 % interval over patients, on each side the wider of Student's t and the studentised bootstrap; none "
    f"below {FEWEST} patients."
)
_ESCAPED = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "…": r"\ldots{}",
    "∞": r"$\infty$",
    "\n": " ",
}
_ARROWS = {Judgement.GAIN: r"$\uparrow$ ", Judgement.LOSS: r"$\downarrow$ ", Judgement.KEPT: "$=$ "}
_WIDE = 5  # columns from which a table is set smaller


def latex_text(text: str) -> str:
    """Text that LaTeX sets exactly as it is."""
    return "".join(_ESCAPED.get(sign, sign) for sign in text)


def latex_table(table: Table, title: str) -> str:
    """A floating table; its document needs the package booktabs, and no other.

    Args:
        table: with a name.
        title: what it shows, where it has no caption of its own.
    """
    form = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = [
        "% \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        f"  \\caption{{{latex_text(_caption(table, title))}}}",
        f"  \\label{{tab:{re.sub(r'[^A-Za-z0-9-]+', '-', table.name)}}}",
        *([r"  \footnotesize"] if len(table.columns) > _WIDE else []),
        f"  \\begin{{tabular}}{{{form}}}",
        r"    \toprule",
        f"    {_row(table.columns)}",
        r"    \midrule",
        *(f"    {_row(row)}" for row in table.rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(map(_cell, cells)) + r" \\"


def _cell(cell: str) -> str:
    """A cell, its minus signs as such, and an arrow before what was gained or lost."""
    turn = cell.turn if isinstance(cell, Cell) else None
    text = latex_text(cell)
    if isinstance(cell, Cell) and not math.isnan(cell.value):
        text = re.sub(r"(?<![\w.])-(?=\d|inf)", "$-$", text).replace("inf", r"$\infty$")
    return f"{_ARROWS.get(turn, '') if turn else ''}{text}"


def _caption(table: Table, title: str) -> str:
    """What is shown, of how many patients, and how its intervals are made."""
    parts = [(table.caption or title).rstrip(".") + "."]
    if "patients" in table.columns:
        place = table.columns.index("patients")
        counts = sorted({int(number) for row in table.rows for number in re.findall(r"\d+", row[place])})
        if counts:
            parts.append(f"n = {counts[0]}{f' to {counts[-1]}' if len(counts) > 1 else ''} patients.")
    cells = [cell for row in table.rows for cell in row if isinstance(cell, Cell)]
    if table.note or any(not math.isnan(cell.low) for cell in cells):
        parts.append(table.note or INTERVALS)
    return " ".join(parts)
