"""`segevolution train RECIPE`: train a base model from nothing, as segvol-mini was, or its encoder without labels."""

from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, DataRoot, Device, Force, Quiet, note, print_json, shipped_names

app = typer.Typer(add_completion=False)

_SHIPPED = ", ".join(shipped_names("pretraining", "trainings"))


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help=f"A shipped recipe ({_SHIPPED}) or a YAML file.")],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Changes to it, such as fit.devices=1 stages.1.fit.steps=500."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; default runs/<name>.")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Start from a pre-trained image encoder: a SimMIM run, or vit_pretrain.ckpt."),
    ] = None,
    data: DataRoot = None,
    pack: Annotated[
        Path | None, typer.Option("--pack", help="Do not train: write all that the training needs into this file.")
    ] = None,
    packed: Annotated[
        Path | None, typer.Option("--packed", help="Train from a file that --pack wrote, and no other data.")
    ] = None,
    force: Force = False,
    device: Device = "auto",
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a network by a recipe, or go on with a run that was stopped: call it again with the same folder."""
    from ..errors import RecipeError
    from ..pretraining.data import pack_training
    from ..pretraining.pretrain import pretrain
    from ..pretraining.recipe import TRAININGS, load_pretraining
    from ..recipes.reading import says
    from ..runtime import resolve_device

    resolve_device(device)
    if packed is not None and (pack is not None or data is not None):
        raise RecipeError("--packed trains from that file alone; leave --pack and --data out.")
    if force and pack is None:
        raise RecipeError("--force replaces the file of --pack; a training begins anew in a new folder, see --output.")
    if says("simmim", TRAININGS, recipe):
        if pack is not None or packed is not None:
            raise RecipeError(f"{recipe} trains without labels, which a pack is not made for; give --data.")
        _without_labels(recipe, changes or [], output, encoder, data, device, quiet=quiet, as_json=as_json)
        return
    training_recipe = load_pretraining(recipe, changes or [])
    folder = output or Path("runs") / training_recipe.name
    if pack is not None:
        packed_file = pack_training(training_recipe, pack, folder, root=data, force=force)
        if as_json:
            print_json({"pack": str(packed_file.path), "bytes": packed_file.size, "cases": packed_file.cases})
        else:
            note(", ".join(f"{cases} cases of {name}" for name, cases in packed_file.cases.items()), quiet=quiet)
            typer.echo(f"{packed_file.path}: {packed_file.size / 1e6:.1f} MB")
        return
    outcome = pretrain(training_recipe, folder, root=data, packed=packed, encoder=encoder, device=device, quiet=quiet)
    if as_json:
        print_json({"model": outcome.model and str(outcome.model), "stages": [vars(stage) for stage in outcome.stages]})
    elif outcome.model is None:
        note(f"stopped before the end; the same command goes on from {folder}.", quiet=quiet)
    else:
        typer.echo(f"{outcome.model}")


def _without_labels(
    recipe: str,
    changes: list[str],
    output: Path | None,
    encoder: Path | None,
    data: Path | None,
    device: str,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """The same for a recipe of SimMIM, which leaves an encoder or an adapter."""
    from ..errors import RecipeError
    from ..pretraining.simmim import load_simmim, pretrain_simmim

    simmim_recipe = load_simmim(recipe, changes)
    if encoder is not None:
        raise RecipeError(
            f"{simmim_recipe.name} makes an encoder and takes none; give --encoder to a training with labels."
        )
    folder = output or Path("runs") / simmim_recipe.name
    training_run = pretrain_simmim(simmim_recipe, folder, root=data, device=device, quiet=quiet)
    if as_json:
        print_json({"made": training_run.made and str(training_run.made), "fit": vars(training_run.result)})
    elif training_run.made is None:
        note(f"stopped before the end; the same command goes on from {folder}.", quiet=quiet)
    else:
        note(f"reconstructions are drawn in {training_run.picture}", quiet=quiet)
        typer.echo(f"{training_run.made}")
