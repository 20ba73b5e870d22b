"""LoRAs that are trained already become the experts of one mixture, of which only the gate still trains."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import AdapterError
from ...models.backbone import BackboneModule
from ...models.checkpoints import fingerprint
from ..artifact import WEIGHTS, describe
from ..lora import LoraAdapter, LoraConfig
from ..state_checks import read_state
from .adapter import MixtureAdapter
from .config import GATE, MixtureConfig
from .experts import different


def combine(
    folders: Mapping[str, Path], backbone: BackboneModule, settings: Mapping[str, Any] | None = None
) -> tuple[MixtureAdapter, dict[str, Any]]:
    """Make a mixture of LoRA folders and attach it.

    Args:
        folders: name of the expert -> folder; one is enough, since identity stands beside it.
        backbone: the base that all of them were trained on, carrying no adapter.
        settings: of the gate, see MixtureConfig; "modality" unless it names another. `train` is set to the gate alone
            where that learns.

    Returns:
        The mixture, attached and in the backbone's mode, and a card that says what the experts' cards say.

    Raises:
        AdapterError: no folder, one that holds no LoRA, one of another base or other settings.
    """
    if not folders:
        raise AdapterError("a mixture is combined from LoRA folders; give at least one.")
    described = {name: describe(folder) for name, folder in folders.items()}
    base = fingerprint(backbone)
    first = next(iter(folders.values()))
    configs: dict[str, LoraConfig] = {}
    for name, folder in folders.items():
        about = described[name]
        if about["method"] != "lora":
            raise AdapterError(f"{folder} is a {about['method']} adapter; only LoRA folders can be combined.")
        if about["base"]["fingerprint"] != base:
            raise AdapterError(
                f"{folder} was trained on another base ({about['base']['name']}, {about['base']['fingerprint'][:12]}) "
                f"than the given one ({base[:12]}); combine adapters of one base."
            )
        configs[name] = LoraConfig.from_dict(about["settings"])
        differing = different(next(iter(configs.values())), configs[name])
        if differing:
            raise AdapterError(
                f"{first} and {folder} differ in {', '.join(differing)}, so they cannot stand in the same layers; "
                "train them with the same settings."
            )
        if configs[name].also_train:
            raise AdapterError(f"{folder} changed parameters of the base (also_train), which no expert may.")
    shared = next(iter(configs.values())).to_dict()
    mixture = MixtureAdapter(MixtureConfig.from_dict({**shared, "experts": list(folders), **(settings or {})}))
    if mixture.config.gate == "task":
        raise AdapterError("a task gate has experts in the decoder only, so whole LoRAs cannot be combined under it.")
    if mixture.config.learned:
        mixture = MixtureAdapter(MixtureConfig.from_dict({**mixture.config.to_dict(), "train": [GATE]}))
    for about in described.values():
        mixture.take_over(about["structures"], about["exchanged_greys"])
    mixture.attach(backbone)
    for name, folder in folders.items():
        lora = LoraAdapter(configs[name])
        lora.load_state(read_state(folder / WEIGHTS))
        mixture.fill(name, lora)
    return mixture, _card(described)


def _card(described: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the experts' cards say, under the names of the experts."""
    names = {about["base"]["name"] for about in described.values()}
    card: dict[str, Any] = {"base": names.pop()}
    for key in ("data", "patients", "licences", "steps", "metrics", "not_for"):
        card_values = {name: about["card"][key] for name, about in described.items() if key in about["card"]}
        if card_values:
            card[key] = card_values
    return {**card, "experts": {name: about["folder"] for name, about in described.items()}}
