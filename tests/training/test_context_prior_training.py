"""Context priors in the trainer: what they draw hangs on the step, and their own loss is a part of it."""

import numpy as np
import pytest
import torch

from segevolution.adapters import create
from segevolution.data.windows import FramedCase
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup, SampleSettings
from segevolution.training.fit import fit
from segevolution.training.objective import ObjectiveSettings
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

SETTINGS = FitSettings(
    steps=6,
    warmup=1,
    learning_rate=1e-2,
    checkpoint_every=3,
    sample=SampleSettings(views=1, structures=2, prompts=2),
    objective=ObjectiveSettings(resolution="decoder"),
)


@pytest.fixture
def groups():
    rng = np.random.default_rng(0)
    labels = np.zeros((12, 40, 40), np.uint8)
    labels[2:8, 4:18, 6:20] = 1
    labels[3:9, 22:34, 20:34] = 2
    image = (0.2 + 0.3 * labels + rng.normal(0, 0.02, labels.shape)).astype(np.float16)
    cases = [
        FramedCase(f"case{number}", modality, image, labels, {"liver": (1,), "spleen": (2,)})
        for number, modality in enumerate((Modality.CT, Modality.MRI))
    ]
    return [CaseGroup(tuple(cases))]


def start(**settings):
    torch.manual_seed(0)
    network = TinyBackbone(TinyConfig(seed=1))
    adapter = create("context_prior", {"lora_rank": 2, **settings})
    adapter.attach(network)
    adapter.add_structures(["liver", "spleen"])
    return network, adapter


def test_a_run_with_dropped_structures_that_was_stopped_ends_the_same_bit_for_bit(groups, tmp_path):
    settings = {"structure_dropout": 0.5, "modality_dropout": 0.5}
    network, whole = start(**settings)
    fit(network, groups, SETTINGS, tmp_path / "whole", device="cpu", quiet=True)
    network, _ = start(**settings)

    class Killed(Exception):
        pass

    encode = network.encode
    calls = []

    def dying(images, modalities):
        calls.append(1)
        if len(calls) == 5:
            raise Killed
        return encode(images, modalities)

    network.encode = dying
    with pytest.raises(Killed):
        fit(network, groups, SETTINGS, tmp_path / "broken", device="cpu", quiet=True)
    network, resumed = start(**settings)
    torch.rand(100)
    assert fit(network, groups, SETTINGS, tmp_path / "broken", device="cpu", quiet=True).finished
    found = resumed.state()
    assert all(torch.equal(value, found[name]) for name, value in whole.state().items())


def test_only_the_adapter_trains_and_its_own_loss_is_logged(groups, tmp_path):
    network, adapter = start(auxiliary_weight=0.1)
    base = {name: value.clone() for name, value in network.state_dict().items() if "lora" not in name}
    before = adapter.state()
    result = fit(network, groups, SETTINGS, tmp_path, device="cpu", quiet=True)
    assert result.metrics["train/adapter"] > 0
    assert result.trained_parameters == sum(value.numel() for value in before.values())
    after = adapter.state()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {"prior.pool.structures.[liver]", "prior.fusion.up.weight", "prior.head.classify.weight"} <= moved
    now = network.state_dict()
    assert all(torch.equal(value, now[name]) for name, value in base.items() if not name.startswith("context_prior"))
