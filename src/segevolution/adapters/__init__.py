"""Ways to adapt a frozen network, each an artefact of its own: switched on, switched off, saved, merged.

A new method is one file here that registers its class, one line below, and one test.
"""

from .artifact import describe, load_adapter, save_adapter
from .base import METHODS, Adapter, AdapterConfig, attached, create, trainable
from .full import BiasAdapter, DecoderAdapter, FullAdapter, FullConfig
from .lora import LoraAdapter, LoraConfig
from .mixture import MixtureAdapter, MixtureConfig
from .prior import ContextPriorAdapter, ContextPriorConfig

__all__ = [
    "METHODS",
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
    "trainable",
]
