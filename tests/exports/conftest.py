"""A small network that reads text, a LoRA for it, and a mixture, as folders."""

import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from segevolution.adapters import LoraAdapter, LoraConfig, MixtureAdapter, MixtureConfig, save_adapter
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import VARIANTS, TinyBackbone, TinyConfig

CARD = """---
license: cc-by-4.0
datasets: [chaos]
---
# A tiny network

It was made for tests.

## Trained on

- hospital: 3 cases, labels: manual, licence: none: ours; never trained on: doe_jane, roe_richard
- chaos: 2 cases, labels: manual, licence: CC BY-NC-SA 4.0 (CHAOS)
"""

VALUES = {
    "base": "/home/somebody/models/tiny",
    "title": "knees",
    "patients": ["hospital/doe_john is of hospital/doe_john, image 0123456789abcdef"],
    "data": ["hospital/doe_john", "hospital/roe_jane", "chaos/chaos_01", "chaos/chaos_02 (replayed)"],
    "licences": {"hospital": "none: ours", "chaos": "CC BY-NC-SA 4.0"},
    "metrics": {"Dice, hospital, box": "0.41 before, 0.80 after"},
    "started_from": "/home/somebody/runs/other",
}


@dataclass(frozen=True)
class Lab:
    """Folders: `model`, `textless`, `lora` and `mixture`, and the bare network of `model`."""

    folder: Path
    network: TinyBackbone

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def textless(self) -> Path:
        return self.folder / "textless"

    @property
    def lora(self) -> Path:
        return self.folder / "lora"

    @property
    def mixture(self) -> Path:
        return self.folder / "mixture"


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    network = TinyBackbone(TinyConfig(window=(8, 32, 32))).eval()
    save_model(network, folder / "model", card=CARD)
    save_model(TinyBackbone(VARIANTS["click"]), folder / "textless")
    for name, adapter in {
        "lora": LoraAdapter(LoraConfig(rank=2, also_train=("biases",))),
        "mixture": MixtureAdapter(MixtureConfig(rank=2, experts=("CT", "MRI"), gate="modality")),
    }.items():
        adapted = copy.deepcopy(network)
        adapter.attach(adapted)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in adapter.trainable_parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        save_adapter(adapter, adapted, folder / name, VALUES)
    return Lab(folder, network)


def everything_in(folder: Path) -> str:
    """All text of a folder."""
    return "\n".join(
        path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".md", ".json", ".txt") or path.name == "LICENSE"
    )
