"""The `segevolution` command: a table of subcommands, each imported only when it is called.

To add one: write `cli/NAME.py` that makes `app = typer.Typer(add_completion=False)`, with one command (then
`segevolution NAME ...` runs it) or several (then they are `segevolution NAME VERB ...`), and add its line to
COMMANDS. At its top such a file imports nothing heavier than typer and rich; torch comes inside the bodies.
"""

import importlib
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from .. import __version__
from ..errors import SegevolutionError
from ..files import one_line
from ..processors import prepare_threads

COMMANDS: dict[str, tuple[str, str]] = {
    "segment": ("segevolution.cli.segment", "Segment structures in a scan by text, points or a box."),
    "serve": ("segevolution.cli.serve", "Serve a model to 3D Slicer, napari and a page in the browser."),
    "view": ("segevolution.cli.view", "Show a scan in the browser, and segment it there by clicks."),
    "study": ("segevolution.cli.study", "Run a study: evaluate a base, adapt it, evaluate again, report."),
    "adapt": ("segevolution.cli.adapt", "Adapt a model to your patients, and learn whether that helped."),
    "train": ("segevolution.cli.train", "Train a base model by a recipe."),
    "adapters": ("segevolution.cli.adapters", "List, show, merge, combine, take apart, explain and export adapters."),
    "data": ("segevolution.cli.data", "Prepare and inspect datasets."),
    "models": ("segevolution.cli.models", "List, show, pull, convert, export and calibrate models."),
}


class LazyGroup(TyperGroup):
    """A group whose help comes from COMMANDS and whose commands are imported when invoked."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, (_, summary) in COMMANDS.items():
            self.commands[name] = TyperCommand(name, help=summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that `args` begin with, then import what it really is."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            module, summary = COMMANDS[name]
            command = typer.main.get_command(importlib.import_module(module).app)
            command.name = name
            command.help = command.help or summary
        return name, command, rest


app = typer.Typer(
    name="segevolution",
    cls=LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"segevolution {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Adapt promptable 3-D segmentation models to new modalities, and prove whether that helped.

    For research; not a medical device.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave: status 0, 2 with one sentence for what a user can mend, 130 when interrupted.

    Args:
        arguments: without the program's name; None reads them from the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # What the terminal's encoding lacks is escaped, not a traceback.
            stream.reconfigure(errors="backslashreplace")
    prepare_threads()
    try:
        app(arguments, prog_name="segevolution")
    except SegevolutionError as error:
        typer.echo(one_line(f"segevolution: {error}"), err=True)
        sys.exit(2)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        typer.echo(one_line(f"segevolution: {where}{error.strerror or error}."), err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
