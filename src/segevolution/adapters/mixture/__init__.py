"""Mixture of adapters: LoRA experts, an identity expert, and a gate that chooses among them for each image."""

from .adapter import MixtureAdapter
from .combine import combine
from .config import MixtureConfig
from .extract import extract
from .report import gate_card, gate_report

__all__ = ["MixtureAdapter", "MixtureConfig", "combine", "extract", "gate_card", "gate_report"]
