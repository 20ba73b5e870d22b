"""A LoRA as the folder that peft writes and reads: adapter_config.json and adapter_model.safetensors.

    network = segevolution.load("segvol-mini")
    adapted = peft.PeftModel.from_pretrained(network, "folder")

An expert of a mixture is a LoRA, too, and is written as one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..adapters.artifact import CONFIG, describe, load_adapter, save_adapter
from ..adapters.lora import LoraAdapter
from ..adapters.mixture import MixtureAdapter
from ..errors import AdapterError
from ..files import json_text
from ..inference.calibration import Calibration
from ..models.backbone import BackboneModule
from ..models.checkpoints import load_model
from ..models.hub import find
from .adapter_facts import adapter_card, shareable_values
from .huggingface import write_card
from .new_folder import new_folder
from .shared_card import CARD, public_name

LIBRARY = "peft"
_OF_THE_MIXTURE = ("gate", "ct_retention")


def export_peft(
    folder: Path,
    output: Path,
    *,
    base: str | None = None,
    expert: str | None = None,
    licence: str | None = None,
    case_names: bool = False,
) -> None:
    """Write a LoRA, or an expert of a mixture, as a folder of peft.

    Args:
        folder: of the adapter.
        output: a folder that is new or empty.
        base: the model that it was trained on, a name or a folder; None takes the name that the adapter gives.
        expert: of a mixture.
        licence, case_names: as for `export_adapter`.

    Raises:
        AdapterError: it is no LoRA and no mixture, has no such expert, or belongs to another base.
        CheckpointError: the base is not here.
        OutputError: the folder is taken, or cannot be written.
    """
    described = describe(folder)
    base = base or str(described["base"]["name"])
    backbone = load_model(find(base))
    lora, expert = _lora(folder, described["method"], backbone, expert)
    name = public_name(base)
    card_values = shareable_values(described["card"], case_names=case_names, licence=licence)
    values = _card_of(expert, card_values, folder.name)
    use = (
        f"With SegEVOLution and peft installed, and the model {name} here:",
        "",
        "```python",
        "import peft",
        "import segevolution as sev",
        "",
        f'network = sev.load("{name}")',
        f'adapted = peft.PeftModel.from_pretrained(network, "{output.absolute().name}")',
        "```",
    )
    with new_folder(output) as temporary:
        save_adapter(lora, backbone, temporary, {**values, "base": name})
        text = (temporary / CARD).read_text(encoding="utf-8")
        card = adapter_card(temporary, text, Calibration(), base=name, use=use, licence=licence)
        (temporary / CONFIG).write_text(json_text(lora.peft_settings(name)), encoding="utf-8")
        write_card(temporary, card, LIBRARY)


def _lora(folder: Path, method: str, backbone: BackboneModule, expert: str | None) -> tuple[LoraAdapter, str | None]:
    """The LoRA, attached to its base, and the name of the expert that it was."""
    if method not in (LoraAdapter.method, MixtureAdapter.method):
        raise AdapterError(f"peft holds LoRA, and {folder} is a {method} adapter; export it with --to huggingface.")
    adapter = load_adapter(folder, backbone)
    if isinstance(adapter, LoraAdapter):
        if expert is not None:
            raise AdapterError(f"{folder} is one LoRA and has no experts; leave out --expert.")
        return adapter, None
    assert isinstance(adapter, MixtureAdapter)
    experts = adapter.config.experts
    if expert is None and len(experts) > 1:
        raise AdapterError(f"{folder} is a mixture of {', '.join(experts)}; name one with --expert.")
    lora = adapter.expert(expert or experts[0])
    adapter.detach()
    lora.attach(backbone)
    return lora, expert or experts[0]


def _card_of(expert: str | None, values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The card of a LoRA; of an expert without what is said of the mixture and of the other experts."""
    if expert is None:
        return {"title": name, **values}
    own = {
        key: value[expert] if isinstance(value, Mapping) and expert in value else value
        for key, value in values.items()
        if key not in _OF_THE_MIXTURE
    }
    return {**own, "title": f"{values.get('title', name)}: the expert {expert} as a LoRA"}
