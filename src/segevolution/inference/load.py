"""A network ready to answer, by name."""

from pathlib import Path

from ..adapters.artifact import load_adapter
from ..adapters.shipped import find_adapter
from ..models import hub
from ..models.backbone import BackboneModule
from ..models.checkpoints import load_model
from ..runtime import resolve_device
from .strategies import strategy_of


def load(name: str | Path = hub.DEFAULT, *, adapter: str | Path | None = None, device: str = "auto") -> BackboneModule:
    """Load a model, attach an adapter to it if one is given, and set it to answering.

    Args:
        name: "segvol-mini", a pulled model such as "BAAI/SegVol", or a model folder.
        adapter: an adapter folder, or the name of one that ships, trained on exactly this model.
        device: "auto" (CUDA where it is), "cpu", "cuda" ...

    Raises:
        CheckpointError: there is no such model, its weights do not fit, or it asks for a framing that is not known.
        AdapterError: there is no such adapter, or it is one for another base.
        DeviceError: the device is not there.
    """
    target = resolve_device(device)
    backbone = load_model(hub.find(name), target)
    strategy_of(backbone.spec)
    if adapter is not None:
        load_adapter(find_adapter(adapter), backbone)
    return backbone.to(target).eval()
