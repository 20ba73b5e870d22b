"""SegEVOLution: adapt promptable 3-D segmentation models to new modalities, and prove whether that helped.

    import segevolution as sev

    volume = sev.read("scan.nii.gz", modality="MRI")
    session = sev.Session(sev.load(modality=volume.modality), volume)
    liver = session.segment(text="liver")
    sev.write(liver.mask, volume, "liver.nii.gz")

Names are imported when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .adapters import load_adapter, save_adapter
    from .data.store import Store
    from .errors import SegevolutionError
    from .imaging.boxes import Box
    from .imaging.case import Case
    from .imaging.formats import read, read_labels
    from .imaging.formats import write_mask as write
    from .imaging.grid import Grid
    from .imaging.prompts import Prompt
    from .imaging.volume import Volume
    from .inference.load import load
    from .inference.segmentation import Segmentation
    from .inference.session import Session
    from .vocabulary import Context, Modality

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Case",
    "Context",
    "Grid",
    "Modality",
    "Prompt",
    "SegevolutionError",
    "Segmentation",
    "Session",
    "Store",
    "Volume",
    "load",
    "load_adapter",
    "read",
    "read_labels",
    "save_adapter",
    "write",
]

_HOMES = {
    "Box": "imaging.boxes",
    "Case": "imaging.case",
    "Context": "vocabulary",
    "Grid": "imaging.grid",
    "Modality": "vocabulary",
    "Prompt": "imaging.prompts",
    "SegevolutionError": "errors",
    "Segmentation": "inference.segmentation",
    "Session": "inference.session",
    "Store": "data.store",
    "Volume": "imaging.volume",
    "load": "inference.load",
    "load_adapter": "adapters",
    "read": "imaging.formats",
    "read_labels": "imaging.formats",
    "save_adapter": "adapters",
    "write": "imaging.formats",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f".{_HOMES[name]}", __name__)
    return getattr(home, {"write": "write_mask"}.get(name, name))


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
