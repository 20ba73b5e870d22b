"""One expert of a mixture becomes a LoRA of its own: to be trained further, merged into the base, or read by peft."""

from pathlib import Path

from ...errors import AdapterError
from ...models.checkpoints import load_model
from ...models.hub import find
from ..artifact import describe, load_adapter, save_adapter
from .adapter import MixtureAdapter


def extract(folder: Path, expert: str, output: Path, *, base: str | None = None, force: bool = False) -> None:
    """Write an expert as a LoRA folder, with the mixture's card.

    Args:
        folder: of the mixture.
        expert: its name.
        output: the LoRA's folder; an existing adapter is replaced with `force` only.
        base: the model that the mixture was trained on, a name or a folder; None takes the name in the mixture's own
            file.

    Raises:
        AdapterError: the folder holds no mixture, the mixture has no such expert, or it belongs to another base.
        CheckpointError: there is no such base.
        OutputError: the folder cannot be written, exists and `force` is False, or holds something else.
    """
    description = describe(folder)
    backbone = load_model(find(base or description["base"]["name"]))
    mixture = load_adapter(folder, backbone)
    if not isinstance(mixture, MixtureAdapter):
        raise AdapterError(f"{folder} is a {description['method']} adapter; only a mixture has experts to take out.")
    lora = mixture.expert(expert)
    mixture.detach()
    lora.attach(backbone)
    card = {**description["card"], "title": f"{expert} of {description['card'].get('title', folder.name)}"}
    save_adapter(lora, backbone, output, card, force=force)
