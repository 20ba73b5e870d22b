"""A progress bar on stderr for work that counts its pieces."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def bar(console: Console, what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function that is told (done, total, name); the bar appears with the first call."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[name]}"), console=console) as progress:
        task = progress.add_task(what, total=None, name="", visible=False)

        def tell(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, name=name, visible=True)

        yield tell
