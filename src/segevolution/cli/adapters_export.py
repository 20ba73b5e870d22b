"""`segevolution adapters export`: an adapter as a folder for the Hugging Face hub or for peft."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..errors import AdapterError
from .console import Quiet, note


class AdapterLayout(StrEnum):
    """What is written."""

    HUGGINGFACE = "huggingface"
    PEFT = "peft"


def export_command(
    folder: Annotated[str, typer.Argument(help="An adapter folder, or the name of one that ships.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that is new or empty.")],
    to: Annotated[AdapterLayout, typer.Option(help="The program that it is for.")],
    base: Annotated[
        str | None, typer.Option("--base", help="peft: the model it was trained on; default the one that it names.")
    ] = None,
    expert: Annotated[str | None, typer.Option(metavar="NAME", help="peft: which expert of a mixture.")] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the adapter's weights, if they are yours.")
    ] = None,
    case_names: Annotated[
        bool, typer.Option("--case-names", help="Name the patients that it was trained on; else only their number.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Write an adapter as a folder for the Hugging Face hub, or a LoRA as a folder for peft, with a card."""
    from ..adapters.shipped import find_adapter
    from ..exports.huggingface import export_adapter
    from ..exports.peft_folder import export_peft

    source = find_adapter(folder)
    if to is AdapterLayout.PEFT:
        export_peft(source, output, base=base, expert=expert, licence=licence, case_names=case_names)
        note(f"{output} is a folder for peft.PeftModel.from_pretrained.", quiet=quiet)
        return
    if base is not None or expert is not None:
        raise AdapterError("--base and --expert belong to --to peft; for the hub an adapter stays as it is.")
    export_adapter(source, output, licence=licence, case_names=case_names)
    note(f"{output} is a folder for the Hugging Face hub; read its README.md before you share it.", quiet=quiet)
