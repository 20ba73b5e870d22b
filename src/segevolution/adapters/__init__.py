"""Ways to adapt a frozen network, each an artefact of its own: switched on, switched off, saved, merged.

Classes of a method are imported when they are first used; see `registry`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from .artifact import describe, load_adapter, save_adapter
from .base import trainable
from .config import AdapterConfig
from .protocol import Adapter
from .registry import METHODS, create
from .switch import AdaptedNetwork, attached, switched

if TYPE_CHECKING:
    from .full import BiasAdapter, DecoderAdapter, FullAdapter, FullConfig
    from .lora import LoraAdapter, LoraConfig
    from .mixture import MixtureAdapter, MixtureConfig
    from .prior import ContextPriorAdapter, ContextPriorConfig

__all__ = [
    "METHODS",
    "AdaptedNetwork",
    "Adapter",
    "AdapterConfig",
    "BiasAdapter",
    "ContextPriorAdapter",
    "ContextPriorConfig",
    "DecoderAdapter",
    "FullAdapter",
    "FullConfig",
    "LoraAdapter",
    "LoraConfig",
    "MixtureAdapter",
    "MixtureConfig",
    "attached",
    "create",
    "describe",
    "load_adapter",
    "save_adapter",
    "switched",
    "trainable",
]

_HOMES = {
    "BiasAdapter": "full",
    "ContextPriorAdapter": "prior",
    "ContextPriorConfig": "prior",
    "DecoderAdapter": "full",
    "FullAdapter": "full",
    "FullConfig": "full",
    "LoraAdapter": "lora",
    "LoraConfig": "lora",
    "MixtureAdapter": "mixture",
    "MixtureConfig": "mixture",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
