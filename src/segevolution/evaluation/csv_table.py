"""A table as CSV: numbers at full precision, an interval in columns of its own."""

import csv
import io
import math

from .blocks import Table
from .cells import MISSING, Cell


def csv_text(table: Table) -> str:
    """The table with a line of column names; "difference" with an interval has "difference low" and "difference high".

    Infinite numbers are `inf`, missing ones empty.
    """
    columns: list[list[str]] = []
    for place, (name, numeric) in enumerate(zip(table.columns, table.numeric, strict=True)):
        cells = [row[place] for row in table.rows]
        numbers = [cell for cell in cells if isinstance(cell, Cell)]
        has_bounds = any(not math.isnan(cell.low) or not math.isnan(cell.high) for cell in numbers)
        if numeric:
            columns.append([name, *(_number(cell, "value") for cell in cells)])
        elif not has_bounds:
            columns.append([name, *map(str, cells)])
        if has_bounds:
            for bound in ("low", "high"):
                columns.append([f"{name} {bound}", *(_number(cell, bound) for cell in cells)])
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(zip(*columns, strict=True))
    return stream.getvalue()


def _number(cell: str, which: str) -> str:
    """A cell's number, or its text where it is none but says something."""
    value = getattr(cell, which) if isinstance(cell, Cell) else math.nan
    if math.isnan(value):
        return "" if which != "value" or cell == MISSING else str(cell)
    return repr(value)
