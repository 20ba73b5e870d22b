"""The one kind of progress bar: what is done, how much of it, and how long the rest takes; on stderr."""

import sys
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Writer = Callable[[str], None]


def progress_bar(quiet: bool = False, console: Console | None = None) -> Progress:
    """A progress bar, gone when it is done; silent where asked, or where stderr is no terminal.

    Args:
        quiet: show nothing.
        console: that it is drawn on; None = stderr.
    """
    console = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)


def write_stderr(line: str) -> None:
    """Print one line on stderr."""
    print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time as a person says it: "40 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
