import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from segevolution.data.windows import FramedCase
from segevolution.errors import CheckpointError, RecipeError
from segevolution.imaging.prompts import COMBINATIONS
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup, SampleSettings, StepDataset
from segevolution.training.checkpoint_file import read_checkpoint, step_of
from segevolution.training.fit import fit
from segevolution.training.objective import ObjectiveSettings
from segevolution.training.settings import FitSettings
from segevolution.training.validation import combinations
from segevolution.vocabulary import Modality

SETTINGS = FitSettings(
    steps=6,
    warmup=2,
    learning_rate=1e-2,
    checkpoint_every=2,
    sample=SampleSettings(views=1, structures=2, prompts=2),
    objective=ObjectiveSettings(resolution="decoder"),
)


def blob(seed: int) -> FramedCase:
    rng = np.random.default_rng(seed)
    labels = np.zeros((12, 40, 40), np.uint8)
    d, h, w = rng.integers((0, 0, 0), (4, 12, 12))
    labels[d : d + 6, h : h + 14, w : w + 12] = 1
    labels[d + 1 : d + 5, h + 16 : h + 26, w + 14 : w + 26] = 2
    image = np.where(labels == 1, 0.9, np.where(labels == 2, 0.6, 0.2)) + rng.normal(0, 0.02, labels.shape)
    return FramedCase(f"case{seed}", Modality.CT, image.astype(np.float16), labels, {"liver": (1,), "spleen": (2,)})


@pytest.fixture(scope="module")
def groups():
    return [CaseGroup(tuple(blob(seed) for seed in range(3)))]


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_run_that_was_stopped_ends_with_the_same_weights_bit_for_bit(groups, tmp_path):
    whole = TinyBackbone(TinyConfig(seed=1))
    fit(whole, groups, SETTINGS, tmp_path / "whole", device="cpu", quiet=True)

    class Killed(Exception):
        pass

    first = TinyBackbone(TinyConfig(seed=1))
    original = StepDataset.__getitem__

    def dying(self, index):
        if index == 3:
            raise Killed
        return original(self, index)

    StepDataset.__getitem__ = dying
    try:
        with pytest.raises(Killed):
            fit(first, groups, SETTINGS, tmp_path / "broken", device="cpu", quiet=True)
    finally:
        StepDataset.__getitem__ = original
    second = TinyBackbone(TinyConfig(seed=1))
    result = fit(second, groups, SETTINGS, tmp_path / "broken", device="cpu", quiet=True)
    assert result.finished
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name


def test_a_finished_run_is_not_trained_again(groups, tmp_path):
    fit(TinyBackbone(TinyConfig(seed=1)), groups, SETTINGS, tmp_path, device="cpu", quiet=True)
    before = (tmp_path / "last.ckpt").read_bytes()
    again = TinyBackbone(TinyConfig(seed=1))
    result = fit(again, groups, SETTINGS, tmp_path, device="cpu", quiet=True)
    assert result.step == SETTINGS.steps
    assert (tmp_path / "last.ckpt").read_bytes() == before
    untrained = weights(TinyBackbone(TinyConfig(seed=1)))
    assert any(not torch.equal(value, untrained[name]) for name, value in weights(again).items())


def test_training_lowers_the_loss_on_what_it_trains(groups, tmp_path):
    model = TinyBackbone(TinyConfig(seed=2))
    losses = []
    for steps in (1, 60):
        settings = replace(SETTINGS, steps=steps, ema_decay=0.0)
        losses.append(fit(model, groups, settings, tmp_path / str(steps), device="cpu", quiet=True).metrics)
    assert losses[1]["train/segmentation"] < losses[0]["train/segmentation"]


def test_what_is_frozen_does_not_move_and_is_not_saved(groups, tmp_path):
    model = TinyBackbone(TinyConfig(seed=1))
    frozen = next(iter(dict(model.named_parameters())))
    model.get_parameter(frozen).requires_grad_(False)
    before = weights(model)[frozen]
    result = fit(model, groups, SETTINGS, tmp_path, device="cpu", quiet=True)
    assert torch.equal(before, weights(model)[frozen])
    saved = read_checkpoint(tmp_path / "last.ckpt")["state_dict"]
    assert f"backbone.{frozen}" not in saved
    assert result.trained_parameters == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_a_run_out_of_time_stops_with_a_checkpoint_and_goes_on(groups, tmp_path):
    result = fit(
        TinyBackbone(TinyConfig(seed=1)), groups, replace(SETTINGS, seconds=0.0), tmp_path, device="cpu", quiet=True
    )
    assert not result.finished
    assert (tmp_path / "last.ckpt").is_file()
    model = TinyBackbone(TinyConfig(seed=1))
    for changed, said in (
        (
            {"steps": SETTINGS.steps + 1},
            f"begun with steps {SETTINGS.steps}, and is now asked for {SETTINGS.steps + 1}",
        ),
        ({"sample": replace(SETTINGS.sample, structures=3)}, "begun with sample "),
        ({"accumulate": 2}, "begun with devices x nodes x accumulate 1, and is now asked for 2"),
    ):
        with pytest.raises(CheckpointError, match=f"{said}.*; state the settings that it began with, or"):
            fit(model, groups, replace(SETTINGS, **changed), tmp_path, device="cpu", quiet=True)
    in_passing = replace(SETTINGS, checkpoint_every=1, workers=1, cache_megabytes=1.0)
    assert fit(model, groups, in_passing, tmp_path, device="cpu", quiet=True).finished


def test_a_step_is_drawn_from_its_number_alone(groups):
    spec = TinyBackbone(TinyConfig(seed=0)).spec
    one, other = (StepDataset(groups, spec, 10, seed=3) for _ in range(2))
    other[2]
    assert torch.equal(one[7].images, other[7].images)
    assert torch.equal(one[7].targets, other[7].targets)
    assert not torch.equal(one[7].images, StepDataset(groups, spec, 10, seed=4)[7].images)
    assert not torch.equal(one[7].images, StepDataset(groups, spec, 10, seed=3, stream=1)[7].images)


def test_all_six_combinations_are_drawn_for_each_structure(groups):
    sample = SampleSettings(views=1, structures=1, all_combinations=True, absent=0)
    batch = StepDataset(groups, TinyBackbone(TinyConfig(seed=0)).spec, 1, seed=0, sample=sample)[0]
    assert sorted(combinations(batch)) == sorted(COMBINATIONS)
    assert len({tuple(target.flatten().tolist()) for target in batch.targets}) == 1


def test_a_checkpoint_of_another_network_is_refused(groups, tmp_path):
    fit(TinyBackbone(TinyConfig(seed=1)), groups, SETTINGS, tmp_path, device="cpu", quiet=True)
    other = TinyBackbone(TinyConfig(seed=1))
    other.mask_tokens.requires_grad_(False)
    with pytest.raises(CheckpointError, match=r"mask_tokens.*new folder"):
        fit(other, groups, replace(SETTINGS, steps=9), tmp_path, device="cpu", quiet=True)


def test_weights_that_are_not_finite_are_a_sentence_and_the_checkpoint_before_stays(groups, tmp_path, monkeypatch):
    original = StepDataset.__getitem__

    def spoilt(self, index):
        batch = original(self, index)
        return replace(batch, images=batch.images * torch.nan) if index == 3 else batch

    monkeypatch.setattr(StepDataset, "__getitem__", spoilt)
    with pytest.raises(RecipeError, match=r"astray: at step 4 [^\n]* not finite; lower learning_rate"):
        fit(TinyBackbone(TinyConfig(seed=1)), groups, SETTINGS, tmp_path, device="cpu", quiet=True)
    assert step_of(tmp_path / "last.ckpt") == 2


@pytest.mark.parametrize("there", [True, False])
def test_bfloat16_is_trained_in_where_the_device_has_it_and_float32_elsewhere(
    groups, tmp_path, monkeypatch, capsys, there
):
    monkeypatch.setattr("segevolution.training.fit.has_bfloat16", lambda device: there)
    asked = replace(SETTINGS, precision="bf16-mixed", steps=2)
    fit(TinyBackbone(TinyConfig(seed=1)), groups, asked, tmp_path, device="cpu")
    noted = json.loads((tmp_path / "fit.json").read_text())["settings"]["precision"]
    assert noted == ("bf16-mixed" if there else "32-true")
    assert ("training in float32: this device has no bfloat16" in capsys.readouterr().err) is not there
