"""A mixture under the trainer and in a session: CT stays the base to the last bit, and a broken run goes on exactly."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from segevolution.adapters.mixture import MixtureAdapter, MixtureConfig, gate_report
from segevolution.adapters.mixture.adapter import MODULE, RATE
from segevolution.data.augment import AugmentSettings
from segevolution.data.contrast import ContrastSettings
from segevolution.data.windows import FramedCase
from segevolution.errors import RecipeError
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup, SampleSettings, StepDataset
from segevolution.training.fit import fit
from segevolution.training.memory import recomputing
from segevolution.training.module import PromptableModule
from segevolution.training.objective import ObjectiveSettings
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

SETTINGS = FitSettings(
    steps=6,
    warmup=1,
    learning_rate=3e-2,
    checkpoint_every=2,
    sample=SampleSettings(views=2, structures=2, prompts=2),
    objective=ObjectiveSettings(resolution="decoder"),
)


class Killed(Exception):
    """As kill -9 would, at a batch."""


LEARNED = MixtureConfig(gate="learned+modality", dropout=0.1, confidence=0.0)


def case(modality: Modality, seed: int) -> FramedCase:
    rng = np.random.default_rng(seed)
    labels = np.zeros((12, 40, 40), np.uint8)
    labels[3:9, 8:22, 6:18] = 1
    labels[4:8, 24:34, 20:32] = 2
    organs = (0.9, 0.6) if modality is Modality.CT else (0.2, 0.5)
    image = np.where(labels == 1, organs[0], np.where(labels == 2, organs[1], 0.3)) + rng.normal(0, 0.02, labels.shape)
    return FramedCase(f"{modality} {seed}", modality, image.astype(np.float16), labels, {"liver": (1,), "spleen": (2,)})


@pytest.fixture(scope="module")
def groups() -> list[CaseGroup]:
    return [CaseGroup((case(modality, 0), case(modality, 1))) for modality in (Modality.CT, Modality.MRI)]


def mixed(config: MixtureConfig) -> tuple[TinyBackbone, MixtureAdapter]:
    network = TinyBackbone(TinyConfig(seed=1)).eval()
    torch.manual_seed(0)
    adapter = MixtureAdapter(config)
    adapter.attach(network)
    return network, adapter


def test_ct_in_another_contrast_teaches_the_expert_of_mri_where_it_is_told_as_mri():
    cases = [CaseGroup((case(Modality.CT, 0),))]
    moved = {}
    for as_mri in (False, True):
        network, adapter = mixed(MixtureConfig())
        contrast = ContrastSettings(share={Modality.CT: 1.0}, as_mri=as_mri)
        data = StepDataset(cases, network.spec, 4, 0, intensity=AugmentSettings(recontrast=contrast))
        batch = data[0]
        assert batch.modalities == (Modality.MRI if as_mri else Modality.CT,) * 2
        assert {context.modality for context in batch.contexts} == set(batch.modalities)
        features = network.encode(batch.images, batch.modalities)
        masks = network.decode(features, batch.prompts, batch.contexts)
        loss = masks.logits.square().mean()
        if loss.requires_grad:
            loss.backward()
        moved[as_mri] = any(
            value.grad is not None and bool(value.grad.any()) for value in adapter.trainable_parameters()
        )
    assert moved == {False: False, True: True}


@pytest.mark.parametrize(("rates", "factor"), [({}, RATE), ({MODULE: 2.0}, 2.0)])
def test_a_learned_gate_learns_faster_than_the_experts_unless_a_run_says_otherwise(rates, factor):
    network, adapter = mixed(LEARNED)
    module = PromptableModule(network, replace(SETTINGS, lr_multipliers=rates))
    found = {
        id(value): group["initial_lr"]
        for group in module.configure_optimizers()["optimizer"].param_groups
        for value in group["params"]
    }
    gate = {id(value) for value in getattr(network, MODULE).parameters()}
    assert found.keys() == {id(value) for value in adapter.trainable_parameters()}
    for place, rate in found.items():
        assert rate == pytest.approx(SETTINGS.learning_rate * (factor if place in gate else 1.0))


def volume(modality: Modality) -> Volume:
    array = case(modality, 7).image.astype(np.float32).transpose(2, 1, 0)
    return Volume(array, Grid((40, 40, 12), np.diag([1.0, 1.0, 2.0, 1.0])), modality, "patient")


def test_sessions_after_training_give_ct_the_base_to_the_last_bit_and_mri_something_else(groups, tmp_path: Path):
    base = TinyBackbone(TinyConfig(seed=1)).eval()
    network, adapter = mixed(MixtureConfig())
    result = fit(network, groups, SETTINGS, tmp_path, validation=groups, device="cpu", quiet=True)
    assert result.finished
    assert result.trained_parameters == sum(parameter.numel() for parameter in adapter.trainable_parameters())
    same = {}
    for modality in (Modality.CT, Modality.MRI):
        logits = []
        for model in (network, base):
            session = Session(model, volume(modality), windows="lattice")
            answers = [
                session.segment(text="liver", keep_logits=True),
                session.segment(points=[(12, 15, 6)], box=(5, 7, 2, 18, 22, 9), keep_logits=True),
            ]
            logits.append(np.stack([answer.logits for answer in answers]))
            assert session.counts.encodings > 1
        same[modality] = np.array_equal(*logits)
    assert same == {Modality.CT: True, Modality.MRI: False}
    assert adapter.tally.routed["MRI"] > 0


def test_a_learned_gate_that_was_stopped_goes_on_to_the_same_weights_bit_for_bit(groups, tmp_path: Path, monkeypatch):
    whole, wanted = mixed(LEARNED)
    fit(whole, groups, SETTINGS, tmp_path / "whole", device="cpu", quiet=True)
    first, broken = mixed(LEARNED)
    start = broken.state()
    original = StepDataset.__getitem__

    def dying(self: StepDataset, index: int) -> object:
        if index == 3:
            raise Killed
        return original(self, index)

    monkeypatch.setattr(StepDataset, "__getitem__", dying)
    with pytest.raises(Killed):
        fit(first, groups, SETTINGS, tmp_path / "broken", device="cpu", quiet=True)
    monkeypatch.undo()
    second, resumed = mixed(LEARNED)
    fit(second, groups, SETTINGS, tmp_path / "broken", device="cpu", quiet=True)
    state = resumed.state()
    assert all(torch.equal(value, state[name]) for name, value in wanted.state().items())
    assert not torch.equal(state["gate.inner.weight"], start["gate.inner.weight"])
    batch = StepDataset(groups, second.spec, 2, 5, sample=SETTINGS.sample)[0]
    assert gate_report(resumed, [batch])["asked"] == 2


@pytest.mark.parametrize(
    "config",
    [
        MixtureConfig(),
        MixtureConfig(gate="learned", experts=("MRI", "PET"), top_k=2),
        MixtureConfig(gate="learned", balance_weight=0.0, supervision_weight=0.0),
    ],
    ids=["modality", "two at once", "one at a time"],
)
def test_gradients_are_the_same_where_activations_are_computed_twice(config: MixtureConfig):
    gradients = []
    for on in (False, True):
        torch.manual_seed(0)
        network = SegVol(SegVolConfig((8, 16, 16), (4, 8, 8), 32, 2, 2, 32, decoder_heads=2, decoder_mlp=32)).train()
        adapter = MixtureAdapter(config)
        adapter.attach(network)
        with torch.no_grad():
            for parameter in adapter.trainable_parameters():
                parameter.add_(0.1)
        images = torch.rand(3, 1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
        torch.manual_seed(3)
        with recomputing(network, on=on):
            tokens = network.encode(images, [Modality.CT, Modality.MRI, Modality.MRI]).tokens
            tokens.square().mean().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    plain, twice = gradients
    assert plain.keys() == twice.keys()
    assert all(torch.equal(plain[name], twice[name]) for name in plain)
    assert any("expert_MRI" in name for name in plain)
    assert any("mixture_gate" in name for name in plain) == config.learned


def test_encodings_are_kept_only_where_nothing_of_the_mixture_trains_in_them(groups, tmp_path: Path):
    settings = replace(SETTINGS, cache_features=2)
    decoder = ("keys", "queries")
    for config in (MixtureConfig(), LEARNED, replace(LEARNED, targets=decoder)):
        network, _ = mixed(config)
        with pytest.raises(RecipeError, match="trains what makes them"):
            fit(network, groups, settings, tmp_path / "refused", device="cpu", quiet=True)
    for config in (MixtureConfig(targets=decoder), MixtureConfig(gate="task", experts=("liver",))):
        network, adapter = mixed(config)
        before = adapter.state()
        fit(network, groups, settings, tmp_path / config.gate, device="cpu", quiet=True)
        assert any(not torch.equal(value, before[name]) for name, value in adapter.state().items() if "lora_B" in name)
