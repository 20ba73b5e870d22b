"""`segevolution models export`: a model, with or without an adapter, as a folder for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import OutputError
from .console import Quiet, note


class ModelLayout(StrEnum):
    """What is written."""

    HUGGINGFACE = "huggingface"
    MONAI = "monai"


def export_command(
    name: Annotated[str, typer.Argument(help="A name from `models list`, or a model folder.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that is new or empty.")],
    to: Annotated[ModelLayout, typer.Option(help="The program that it is for.")],
    adapter: Annotated[
        str | None, typer.Option(metavar="NAME", help="monai: an adapter folder, or one that ships.")
    ] = None,
    structures: Annotated[
        str, typer.Option(metavar="NAME,NAME,...", help="monai: what it segments; default all that the model knows.")
    ] = "",
    modality: Annotated[str | None, typer.Option(metavar="NAME", help="monai: of the images, such as CT.")] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the weights, if they are yours; default what its card says.")
    ] = None,
    case_names: Annotated[
        bool, typer.Option("--case-names", help="Name the patients that cards name; else only their number.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write a model as a folder for the Hugging Face hub, or as a MONAI bundle, with a card."""
    from ..exports.huggingface import export_model
    from ..exports.monai_bundle import export_bundle

    if to is ModelLayout.MONAI:
        names = tuple(word.strip() for word in structures.split(",") if word.strip())
        labels = export_bundle(
            name,
            output,
            adapter=adapter,
            structures=names,
            modality=modality,
            licence=licence,
            case_names=case_names,
        )
        note(f"{output} is a MONAI bundle that segments {', '.join(labels)}.", quiet=quiet)
        return
    option_values = {"--adapter": adapter, "--structures": structures, "--modality": modality}
    for option, value in option_values.items():
        if value:
            raise OutputError(f"{option} belongs to --to monai; an adapter goes to the hub by: adapters export.")
    export_model(name, output, licence=licence, case_names=case_names)
    note(f"{output} is a folder for the Hugging Face hub; read its README.md before you share it.", quiet=quiet)
