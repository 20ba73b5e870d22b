"""`segevolution adapters extract`: one expert of a mixture becomes a LoRA adapter of its own."""

from pathlib import Path
from typing import Annotated

import typer

from .console import Force, Quiet, note


def extract_command(
    adapter: Annotated[str, typer.Argument(metavar="ADAPTER", help="A mixture: a folder, or a name that ships.")],
    expert: Annotated[str, typer.Option(metavar="NAME", help="Which of its experts, such as MRI.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the LoRA adapter.")],
    base: Annotated[str, typer.Option("--base", help="The model it was trained on; default as the adapter says.")] = "",
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Take one expert out of a mixture, as a LoRA that answers every scan, whatever its modality.

    Training goes on from it (start: in a recipe), peft reads it, and `adapters merge` makes it part of the base.
    """
    from ..adapters.mixture import extract
    from ..adapters.shipped import find_adapter

    extract(find_adapter(adapter), expert, output, base=base or None, force=force)
    note(f"{output} holds {expert} of {adapter}, without a gate: it changes CT, too.", quiet=quiet)
