"""A network ready to answer, by name."""

from pathlib import Path

from ..adapters.artifact import load_adapter
from ..adapters.shipped import expert_for, find_adapter
from ..errors import AdapterError
from ..models import hub
from ..models.backbone import BackboneModule
from ..models.checkpoints import load_model
from ..runtime import resolve_device
from ..vocabulary import Modality
from .strategies import strategy_of


def load(
    name: str | Path = hub.DEFAULT,
    *,
    adapter: str | Path | None = None,
    modality: Modality | None = None,
    device: str = "auto",
) -> BackboneModule:
    """Load a model, attach an adapter to it if one is given, and set it to answering.

    Args:
        name: "segvol-mini", a pulled model such as "BAAI/SegVol", or a model folder.
        adapter: an adapter folder, or the name of one that ships, trained on exactly this model.
        modality: of the volumes that it will answer: the expert that ships for it answers in the model's place, where
            there is one, as it does in `segevolution segment`. None loads what the name says.
        device: "auto" (CUDA where it is), "cpu", "cuda" ...

    Raises:
        CheckpointError: there is no such model, its weights do not fit, or it asks for a framing that is not known.
        AdapterError: there is no such adapter, it is one for another base, or both an adapter and a modality are given.
        DeviceError: the device is not there.
    """
    if modality is not None:
        if adapter is not None:
            raise AdapterError(f"load takes an adapter ({adapter}) or a modality whose expert is looked for, not both.")
        expert = expert_for(str(name), modality)
        name, adapter = (name, None) if expert is None else (expert.model, expert.adapter)
    target = resolve_device(device)
    backbone = load_model(hub.find(name), target)
    strategy_of(backbone.spec)
    if adapter is not None:
        load_adapter(find_adapter(adapter), backbone)
    return backbone.to(target).eval()
