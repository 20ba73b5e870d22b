"""A report's table as HTML: numbers can be sorted, and gains and losses have a sign and a word beside their colour."""

import html
import math

from ..blocks import Table
from ..cells import Cell, Judgement, value_of

SIGNS = {Judgement.GAIN: "▲", Judgement.LOSS: "▼", Judgement.KEPT: "=", Judgement.CARE: "!", Judgement.OPEN: "·"}
_SHORT = 30  # rows that a printed page holds together
_LONG = 60  # letters from which a cell is broken into lines
_SAID = {
    Judgement.GAIN: "gain",
    Judgement.LOSS: "loss",
    Judgement.KEPT: "kept",
    Judgement.CARE: "with care",
    Judgement.OPEN: "not shown",
}


def html_table(table: Table, heading: str) -> str:
    """The table in a box that scrolls where it is wider than the page.

    Args:
        heading: above it; a caption that says no more than it is left out.
    """
    numeric = table.numeric
    head = "".join(
        f'<th scope="col"{_class("number" if number else "")}>{html.escape(column)}</th>'
        for column, number in zip(table.columns, numeric, strict=True)
    )
    body = "".join(
        f"<tr>{''.join(_cell(cell, number) for cell, number in zip(row, numeric, strict=True))}</tr>"
        for row in table.rows
    )
    says_more = table.caption and not heading.startswith(table.caption)
    caption = f"<caption>{html.escape(table.caption)}</caption>" if says_more else ""
    kind = "table short" if len(table.rows) <= _SHORT else "table"
    return (
        f'<div class="{kind}" tabindex="0"><table>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: str, numeric: bool) -> str:
    value = value_of(cell)
    turn = cell.turn if isinstance(cell, Cell) else None
    classes = " ".join(word for word in ("number" if numeric else "", turn or "", _length(cell)) if word)
    data = "" if math.isnan(value) else f' data-value="{value!r}"'
    text = html.escape(cell)
    if turn is not None:
        text = f'<span class="sign" title="{_SAID[turn]}" aria-label="{_SAID[turn]}">{SIGNS[turn]}</span> {text}'
    return f"<td{_class(classes)}{data}>{text}</td>"


def _length(cell: str) -> str:
    return "long" if len(cell) > _LONG else ""


def _class(words: str) -> str:
    return f' class="{words}"' if words else ""
