"""What is frozen is not paid for; rates by part; blocks computed twice; curves where they are asked for."""

from dataclasses import replace

import pytest
import torch

from segevolution.adapters import create
from segevolution.errors import RecipeError
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.training import loggers
from segevolution.training.checkpoint_file import read_checkpoint
from segevolution.training.memory import compiled, recomputing
from segevolution.training.module import PromptableModule, groups
from segevolution.training.settings import FitSettings, decisive


def test_only_what_trains_has_gradients_and_optimiser_state(toy, tmp_path):
    network = toy.model()
    create("lora", {"targets": ["mlp.0", "queries"], "rank": 2}).attach(network)
    network, result = toy.train(tmp_path, toy.settings(), network)
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert trained
    assert all("lora_" in name for name in trained)
    assert all(value.grad is None for name, value in network.named_parameters() if name not in trained)
    kept = read_checkpoint(tmp_path / "last.ckpt")
    state = kept["optimizer_states"][0]["state"]
    assert len(state) == len(trained)
    assert sum(entry["exp_avg"].numel() for entry in state.values()) == result.trained_parameters
    assert kept["state_dict"].keys() == kept["average"].keys() == {f"backbone.{name}" for name in trained}


def test_parts_train_at_their_own_rates(toy):
    trained = dict(PromptableModule(toy.model(), toy.settings()).named_parameters())
    chosen = toy.settings(lr_multipliers={"mlp": 0.1, "mlp.2": 0.5, "patches": 1.0})
    found = {}
    for group in groups(trained, chosen):
        for value in group["params"]:
            name = next(name for name, other in trained.items() if other is value)
            found[name] = group.get("lr", 1e-2), group["weight_decay"]
    assert found.keys() == trained.keys()
    assert found["backbone.mlp.0.weight"] == (pytest.approx(1e-3), 0.01)
    assert found["backbone.mlp.0.bias"] == (pytest.approx(1e-3), 0.0)
    assert found["backbone.mlp.2.weight"] == (pytest.approx(5e-3), 0.01)
    assert found["backbone.keys.weight"] == found["backbone.patches.weight"] == (pytest.approx(1e-2), 0.01)
    assert len(groups(trained, toy.settings())) == 2


def test_a_part_with_a_tenth_of_the_rate_moves_a_tenth_as_far(toy, tmp_path):
    before = toy.weights(toy.model())
    moved = []
    for rates in ({}, {"mlp.0": 0.1}):
        chosen = toy.settings(steps=1, warmup=0, ema_decay=0.0, weight_decay=0.0, lr_multipliers=rates)
        network, _ = toy.train(tmp_path / str(len(rates)), chosen)
        moved.append((toy.weights(network)["mlp.0.weight"] - before["mlp.0.weight"]).abs().max())
    assert float(moved[1] / moved[0]) == pytest.approx(0.1, rel=1e-3)


def test_a_rate_for_nothing_is_refused(toy):
    trained = dict(PromptableModule(toy.model(), toy.settings()).named_parameters())
    with pytest.raises(RecipeError, match='"patch", with which no trained parameter begins; did you mean "patches"'):
        groups(trained, toy.settings(lr_multipliers={"patch": 0.1}))


@pytest.mark.parametrize(("schedule", "late"), [("constant", 1.0), ("plateau", 0.25), ("cosine", 0.02)])
def test_schedules(toy, schedule, late):
    module = PromptableModule(toy.model(), toy.settings(schedule=schedule, warmup=2, steps=10))
    module.plateau = lambda: 0.25
    assert module._rate(0) == 0.5
    assert module._rate(10) == pytest.approx(late)


def segvol():
    sizes = {"window": (8, 16, 16), "patch": (4, 8, 8), "width": 32, "depth": 2, "heads": 2, "mlp": 32}
    return SegVol.fresh(SegVolConfig(**sizes, decoder_heads=2, decoder_mlp=32), 0).train()


def gradients(network):
    network.zero_grad()
    image = torch.rand(1, 1, *network.spec.window, generator=torch.Generator().manual_seed(0))
    network.encode(image, (None,)).tokens.square().sum().backward()
    return {name: value.grad.clone() for name, value in network.named_parameters() if value.grad is not None}


def same_as_plainly(network, context):
    plain = gradients(network)
    names = list(network.state_dict())
    with context:
        assert list(network.state_dict()) == names
        within = gradients(network)
    after = gradients(network)
    assert plain.keys() == within.keys()
    return all(torch.equal(plain[name], within[name]) and torch.equal(plain[name], after[name]) for name in plain)


def test_blocks_computed_twice_have_the_same_gradients_bit_for_bit():
    network = segvol()
    runs = []
    network.image_encoder.blocks[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    assert same_as_plainly(network, recomputing(network))
    assert len(runs) == 1 + 2 + 1
    assert "forward" not in vars(network.image_encoder.blocks[0])


def test_compiled_blocks_have_the_same_gradients_and_leave_no_trace():
    network = segvol()
    assert same_as_plainly(network, compiled(network, "eager"))
    assert all(block._compiled_call_impl is None for block in network.blocks)


def test_training_with_blocks_computed_twice_gives_the_same_weights(toy, tmp_path):
    plain, _ = toy.train(tmp_path / "plain", toy.settings(steps=3))
    thrifty, _ = toy.train(tmp_path / "thrifty", toy.settings(steps=3, gradient_checkpointing=True))
    for name, value in toy.weights(plain).items():
        assert torch.equal(value, toy.weights(thrifty)[name]), name


def test_a_network_without_blocks_is_named(toy, monkeypatch):
    network = toy.model()
    monkeypatch.setattr(type(network), "blocks", ())
    with (
        pytest.raises(RecipeError, match="TinyBackbone names no blocks for gradient_checkpointing"),
        recomputing(network),
    ):
        pass


def test_a_logger_that_is_not_installed_is_one_sentence(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    assert len(loggers.loggers(toy.settings(), tmp_path)) == 1
    with pytest.raises(RecipeError, match="wandb, which is not installed; pip install wandb, or leave it out"):
        loggers.loggers(toy.settings(loggers=["csv", "wandb"]), tmp_path)


def test_new_settings_at_their_defaults_are_no_part_of_a_key():
    plain = decisive(FitSettings())
    assert "accumulate" not in plain
    assert "wrong" not in plain["prompt"]
    assert {"steps", "prompt", "sample", "seed"} <= plain.keys()
    assert decisive(replace(FitSettings(), accumulate=2))["accumulate"] == 2
    assert decisive(FitSettings(prompt={"wrong": 0.1}))["prompt"]["wrong"] == 0.1
