import csv
import itertools

import numpy as np
import pytest
import torch

from segevolution.data.windows import FramedCase
from segevolution.errors import CheckpointError
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.unet.config import UnetConfig
from segevolution.models.unet.unet import Unet
from segevolution.training.automatic import fitting
from segevolution.training.automatic.fitting import score_loss, train_automatic
from segevolution.training.automatic.patches import PatchSampler
from segevolution.training.automatic.settings import AutomaticSettings
from segevolution.vocabulary import Modality

CONFIG = UnetConfig(
    window=(8, 16, 16),
    spacing=(1.0, 1.0, 1.0),
    structures=("liver", "spleen"),
    features=(4, 8, 8),
    kernels=((3, 3, 3),) * 3,
    strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
)


def sampler(seed=0):
    rng = np.random.default_rng(0)
    labels = np.zeros((8, 24, 24), np.uint8)
    labels[2:6, 3:12, 3:12], labels[1:7, 14:20, 14:20] = 1, 2
    image = (labels == 1) * 1.0 - (labels == 2) * 1.0 + rng.normal(0, 0.1, labels.shape)
    case = FramedCase("a", Modality.MRI, image.astype(np.float16), labels, {"liver": (1,), "spleen": (2,)})
    return PatchSampler([case], CONFIG.structures, CONFIG.window, 1 / 3, seed)


def network():
    torch.manual_seed(0)
    return Unet(CONFIG)


def train(folder, steps=6, made=None, **changes):
    made = made or network()
    settings = AutomaticSettings(steps=steps, checkpoint_every=2, **changes)
    return made, train_automatic(made, sampler(), settings, folder, write=lambda line: None)


def killed_after(monkeypatch, steps):
    """A training dies in the middle of a step."""
    counted = itertools.count()
    inputs = fitting._inputs

    def dying(*given):
        if next(counted) == steps:
            raise KeyboardInterrupt
        return inputs(*given)

    monkeypatch.setattr(fitting, "_inputs", dying)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_killed_training_goes_on_exactly(tmp_path, monkeypatch, optimizer):
    whole, result = train(tmp_path / "whole", optimizer=optimizer)
    with monkeypatch.context() as patched:
        killed_after(patched, 3)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "killed", optimizer=optimizer)
    resumed, again = train(tmp_path / "killed", optimizer=optimizer)
    assert (result.steps, again.steps, again.finished) == (6, 6, True)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())
    with (tmp_path / "killed" / "curve.csv").open() as stream:
        assert [int(row["step"]) for row in csv.DictReader(stream)] == [1, 2, 3, 4, 5, 6]


def test_a_finished_training_is_not_trained_again(tmp_path):
    made, first = train(tmp_path)
    again, second = train(tmp_path)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())
    assert second.seconds == first.seconds


def test_its_minutes_end_it_early_and_it_says_so(tmp_path):
    _, result = train(tmp_path, steps=50, minutes=1e-9)
    assert result.steps < 50
    assert not result.finished


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 0.02), ("sgd", None)])
def test_it_learns_what_is_bright_and_what_is_dark(tmp_path, optimizer, rate):
    made, _ = train(tmp_path, steps=40, optimizer=optimizer, learning_rate=rate)
    with (tmp_path / "curve.csv").open() as stream:
        losses = [float(row["loss"]) for row in csv.DictReader(stream)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert not made.training


def test_a_checkpoint_of_another_optimiser_is_refused(tmp_path):
    train(tmp_path, steps=1, optimizer="adamw")
    with pytest.raises(CheckpointError, match="another optimiser than sgd"):
        train(tmp_path, steps=2)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    train(tmp_path, steps=1)
    wider = UnetConfig(**{**CONFIG.to_dict(), "features": (8, 8, 8)})
    with pytest.raises(CheckpointError, match="another network"):
        train(tmp_path, steps=2, made=Unet(wider))


def test_the_loss_is_least_for_the_right_answer_at_every_resolution():
    classes = torch.randint(0, 3, (1, 1, 8, 8, 8), generator=torch.Generator().manual_seed(0))
    right = 20 * torch.nn.functional.one_hot(classes[:, 0], 3).movedim(-1, 1).float()
    coarse = right[..., ::2, ::2, ::2]
    loss = score_loss()
    assert float(loss([right, coarse], classes)) < 0.01
    assert float(loss([right, -coarse], classes)) > 0.5


def test_a_trained_network_comes_back_from_its_folder_with_each_tensor_once(tmp_path):
    made, _ = train(tmp_path / "run", steps=1)
    save_model(made, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    image = torch.randn(1, 1, *CONFIG.window)
    with torch.no_grad():
        assert torch.equal(made.scores(image)[0], loaded.scores(image)[0])
    assert loaded.config == made.config


def test_deep_supervision_answers_at_coarser_resolutions_while_training_alone():
    deep = UnetConfig(
        (16, 16, 16), (1.0, 1.0, 1.0), ("a",), (4, 4, 4, 4), ((3, 3, 3),) * 4, ((1, 1, 1), *[(2, 2, 2)] * 3)
    )
    made = Unet(deep)
    image = torch.randn(1, 1, 16, 16, 16)
    assert [tuple(score.shape[2:]) for score in made.train().scores(image)] == [(16, 16, 16), (8, 8, 8)]
    assert len(made.eval().scores(image)) == 1
