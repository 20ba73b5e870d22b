"""The moving average of the weights: how fast it follows, step by step."""

from dataclasses import replace

import torch

from segevolution.models.tiny import TinyBackbone
from segevolution.training.module import PromptableModule
from segevolution.training.settings import FitSettings


def followed(average: float, steps: int, monkeypatch) -> list[float]:
    """The average of one weight that is 0 at the first step and 1 ever after."""
    module = PromptableModule(TinyBackbone(), FitSettings(steps=1000, ema_decay=average))
    weight = module.backbone.reach
    values = []
    for step in range(1, steps + 1):
        monkeypatch.setattr(PromptableModule, "global_step", step)
        with torch.no_grad():
            weight.fill_(0.0 if step == 1 else 1.0)
        module._follow()
        values.append(float(module._average["backbone.reach"]) if module._average else float("nan"))
    return values


def test_the_average_ramps_from_fast_to_the_decay_that_was_set(monkeypatch):
    values, expected = followed(0.9, 200, monkeypatch), 0.0
    for step, value in enumerate(values, start=1):
        if step > 1:
            decay = min(0.9, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay)
        assert abs(value - expected) < 1e-5
    assert values[1] > 0.7, "the second step hardly remembers the first"


def test_the_ramp_is_bounded_by_the_decay(monkeypatch):
    slow, fast = followed(0.999, 30, monkeypatch), followed(0.2, 30, monkeypatch)
    assert slow[:2] != fast[:2]
    assert abs(fast[2] - (0.2 * fast[1] + 0.8)) < 1e-6


def test_without_a_decay_there_is_no_average(monkeypatch):
    module = PromptableModule(TinyBackbone(), FitSettings(steps=10, ema_decay=0.0))
    monkeypatch.setattr(PromptableModule, "global_step", 1)
    module._follow()
    assert module._average == {}


def test_a_run_leaves_a_mean_with_what_it_began_with_also_where_it_was_stopped(toy, tmp_path):
    began = toy.weights(toy.model())
    trained = toy.weights(toy.train(tmp_path / "all", toy.settings())[0])
    leaning = toy.settings(start_share=0.25)
    mean = toy.weights(toy.train(tmp_path / "mean", leaning)[0])
    assert not torch.equal(trained["reach"], began["reach"])
    for name, value in mean.items():
        torch.testing.assert_close(value, 0.75 * trained[name] + 0.25 * began[name])
    stopped = replace(leaning, seconds=0.0)
    for _ in range(3):
        network, result = toy.train(tmp_path / "parts", stopped)
        assert not result.finished
    network, result = toy.train(tmp_path / "parts", leaning)
    assert result.finished
    again, _ = toy.train(tmp_path / "parts", leaning)  # a finished run is not trained again
    for name, value in mean.items():
        assert torch.equal(toy.weights(network)[name], value), name
        assert torch.equal(toy.weights(again)[name], value), name
