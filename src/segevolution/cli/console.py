"""Print results on stdout, as a table or as JSON for machines, and notes on stderr."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..files import json_text, one_line
from ..progress import progress_bar

__all__ = [
    "AsJson",
    "DataRoot",
    "Device",
    "Force",
    "Latex",
    "Quiet",
    "note",
    "print_json",
    "print_table",
    "progress_bar",
    "shipped_names",
]

PIPE_WIDTH = 240
MOST_SEED = 2**32 - 1

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results only, no progress.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data", help="Where the recipe's data paths begin; default $SEGEVOLUTION_DATA.")
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output where it exists.")]
Latex = Annotated[bool, typer.Option("--latex", help="Write the report's tables as LaTeX, too: tables/*.tex.")]


def shipped_names(room: str, folder: str) -> list[str]:
    """The recipes of one kind that ship, for a help text: a look into a folder, without an import."""
    return sorted(path.stem for path in (Path(__file__).parents[1] / room / folder).glob("*.yaml"))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under their column names on stdout; a pipe gets wide lines, so that no cell is folded.

    Empty column names leave the header out.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(width=width, highlight=False).print(table)


def print_json(value: Any) -> None:
    """Print indented JSON on stdout; NaN and infinity become null."""
    typer.echo(json_text(value), nl=False)


def note(text: str, *, quiet: bool = False) -> None:
    """Say on stderr, in one line, what is going on, so that stdout holds results only."""
    if not quiet:
        typer.echo(one_line(text), err=True)
