"""A training of seconds, for tests in this process and, run as a script, for processes that are to be killed or many.

python toy.py FOLDER SETTINGS [--die-at BATCH] [--gradients FILE]
"""

import argparse
import json
import os
import signal
from pathlib import Path

import numpy as np
import torch

from segevolution.data.windows import FramedCase
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup, StepDataset
from segevolution.training.fit import fit
from segevolution.training.module import PromptableModule
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

BRIEF = {
    "steps": 6,
    "warmup": 1,
    "learning_rate": 1e-2,
    "checkpoint_every": 2,
    "sample": {"views": 1, "structures": 2, "prompts": 2},
    "objective": {"resolution": "decoder"},
}


def settings(**changes) -> FitSettings:
    return FitSettings(**(BRIEF | changes))


def model() -> TinyBackbone:
    return TinyBackbone(TinyConfig(seed=1))


def case(seed: int) -> FramedCase:
    rng = np.random.default_rng(seed)
    labels = np.zeros((12, 40, 40), np.uint8)
    d, h, w = rng.integers((0, 0, 0), (4, 12, 12))
    labels[d : d + 6, h : h + 14, w : w + 12] = 1
    labels[d + 1 : d + 5, h + 16 : h + 26, w + 14 : w + 26] = 2
    image = np.where(labels == 1, 0.9, np.where(labels == 2, 0.6, 0.2)) + rng.normal(0, 0.02, labels.shape)
    return FramedCase(f"case{seed}", Modality.CT, image.astype(np.float16), labels, {"liver": (1,), "spleen": (2,)})


def groups() -> list[CaseGroup]:
    return [CaseGroup(tuple(case(seed) for seed in range(3)))]


def validation() -> list[CaseGroup]:
    return [CaseGroup(tuple(case(seed) for seed in (11, 12)))]


def train(folder, chosen: FitSettings, network: TinyBackbone | None = None):
    """The network and how its training ended."""
    network = model() if network is None else network
    result = fit(network, groups(), chosen, folder, validation=validation(), device="cpu", quiet=True)
    return network, result


def weights(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def dying_at(batch: int):
    """A StepDataset.__getitem__ that kills its process, as a power cut would, when training asks for that batch."""
    original = StepDataset.__getitem__

    def get(self, index):
        if index == batch and self.seed == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, index)

    return get


def recording(found: list):
    """A hook of PromptableModule that keeps the gradients of every step, before they are clipped."""

    def record(self, optimizer):
        found.append({name: value.grad.clone() for name, value in self.trained().items() if value.grad is not None})

    return record


if __name__ == "__main__":
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("settings")
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--gradients")
    told = parser.parse_args()
    if told.die_at is not None:
        StepDataset.__getitem__ = dying_at(told.die_at)
    steps: list = []
    PromptableModule.on_before_optimizer_step = recording(steps)
    train(Path(told.folder), settings(**json.loads(told.settings)))
    if told.gradients and os.environ.get("LOCAL_RANK", "0") == "0":
        torch.save(steps, told.gradients)
