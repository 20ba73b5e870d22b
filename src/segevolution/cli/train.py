"""`segevolution train RECIPE`: train a base model from nothing, as segvol-mini was."""

from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, DataRoot, Device, Quiet, note, print_json

app = typer.Typer(add_completion=False)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A shipped recipe (segvol_mini) or a YAML file.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to it, such as fit.devices=1 stages.1.fit.steps=500."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; default runs/<name>.")
    ] = None,
    data: DataRoot = None,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a network by a recipe, or go on with a run that was stopped: call it again with the same folder."""
    from ..studies.pretrain import load_pretraining, pretrain

    what = load_pretraining(recipe, changes or [])
    folder = output or Path("runs") / what.name
    made = pretrain(what, folder, root=data, device=device, quiet=quiet)
    if as_json:
        print_json({"model": made.model and str(made.model), "stages": [vars(stage) for stage in made.stages]})
    elif made.model is None:
        note(f"stopped before the end; the same command goes on from {folder}.", quiet=quiet)
    else:
        typer.echo(f"{made.model}")
