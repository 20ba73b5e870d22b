"""`segevolution adapters combine`: LoRAs that are trained already become the experts of one mixture."""

from pathlib import Path
from typing import Annotated

import typer

from .console import Force, Quiet, note


def combine_command(
    adapters: Annotated[
        list[str],
        typer.Argument(
            metavar="ADAPTER ...",
            help="LoRAs, trained on one base with the same settings: folders, or names that ship.",
        ),
    ],
    names: Annotated[str, typer.Option(help="Names of the experts, in the adapters' order, such as CT,MRI.")],
    base: Annotated[str, typer.Option("--base", help="The model they were trained on: a name or a folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the mixture.")],
    gate: Annotated[str, typer.Option(help="modality, learned or learned+modality.")] = "modality",
    top: Annotated[int, typer.Option(help="Experts that a learned gate takes for an image.")] = 1,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Combine LoRA folders into one mixture of adapters; of a learned gate only the gate trains afterwards."""
    from ..adapters.artifact import save_adapter
    from ..adapters.mixture import combine
    from ..adapters.shipped import find_adapter
    from ..errors import AdapterError
    from ..models.checkpoints import load_model
    from ..models.hub import find

    called = [name.strip() for name in names.split(",") if name.strip()]
    if len(called) != len(adapters) or len(set(called)) != len(called):
        raise AdapterError(f"{len(adapters)} adapters came with the names {names}; give a name of its own to each.")
    folders = [find_adapter(adapter) for adapter in adapters]
    model = load_model(find(base))
    mixture, card = combine(dict(zip(called, folders, strict=True)), model, {"gate": gate, "top_k": top})
    save_adapter(mixture, model, output, {**card, "base": base}, force=force)
    note(f"{output} holds {', '.join(called)} and identity, chosen by {gate}.", quiet=quiet)
    if mixture.config.learned:
        note("Its gate has learned nothing yet and takes identity: train it, nothing else will change.", quiet=quiet)
