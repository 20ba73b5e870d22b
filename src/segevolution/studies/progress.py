"""A progress bar on stderr for work that counts its pieces."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from ..progress import progress_bar


@contextmanager
def bar(console: Console, what: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function that is told (done, total, name); the bar appears with the first call."""
    with progress_bar(console.quiet, console) as progress:
        task = progress.add_task(what, total=None, visible=False)

        def tell(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, description=f"{what}: {name}", visible=True)

        yield tell
