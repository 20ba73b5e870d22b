"""Clicks in turn in training: where the answer errs most, told beside the answer itself, off unless asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from segevolution.errors import RecipeError
from segevolution.imaging.simulated_prompts import next_click
from segevolution.models.backbone import ABSENT, Masks
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.training.batches import StepDataset
from segevolution.training.clicks import clicked_loss, with_next_clicks
from segevolution.training.module import PromptableModule
from segevolution.training.objective import ObjectiveSettings, prompt_loss
from segevolution.training.settings import FitSettings, decisive


@pytest.fixture
def step(toy):
    """A network, a batch of four prompts, and the network's first answers."""
    network = toy.model().eval()
    sample = toy.settings(sample={"views": 1, "structures": 2, "prompts": 2, "absent": 0.0}).sample
    batch = StepDataset(toy.groups(), network.spec, 1, seed=2, sample=sample)[0]
    features = network.encode(batch.images, batch.modalities)
    return network, batch, features, network.decode(features, batch.prompts, batch.contexts)


def test_each_prompt_gets_the_click_that_corrects_its_answer(step):
    _, batch, _, masks = step
    after = with_next_clicks(batch, masks, None)
    assert after.prompts.points.shape[1] == 1 + (0 if batch.prompts.points is None else batch.prompts.points.shape[1])
    for row in range(len(batch.prompts)):
        answer, truth = (masks.full()[row, 0] > 0).numpy(), batch.targets[row].numpy()
        click = next_click(answer, truth, (1, 1, 1))
        assert click is not None
        assert tuple(after.prompts.points[row, -1].tolist()) == click.point
        assert bool(after.prompts.labels[row, -1]) == click.positive
        assert truth[tuple(map(int, click.point))] == click.positive
    assert after.prompts.masks is None
    assert after.prompts.structures == batch.prompts.structures


def test_a_right_answer_gets_no_click_and_the_best_predicted_alternative_is_corrected(step):
    _, batch, _, _ = step
    truth = batch.targets
    small = torch.where(truth, 8.0, -8.0)
    wrong = -small
    logits = torch.stack([wrong, small, wrong], dim=1)
    iou = torch.tensor([[0.1, 0.9, 0.2]]).expand(len(truth), 3)
    after = with_next_clicks(replace(batch, multimask=True), Masks(logits, iou, tuple(truth.shape[1:])), (1, 1, 1))
    assert (after.prompts.labels[:, -1] == ABSENT).all()
    assert not after.multimask
    assert torch.equal(after.prompts.masks, small[:, None])
    worst = with_next_clicks(batch, Masks(logits, 1 - iou, tuple(truth.shape[1:])), None)
    assert (worst.prompts.labels[:, -1] != ABSENT).all()


def test_the_loss_is_the_mean_over_the_first_answers_and_every_round(step):
    network, batch, features, masks = step
    settings, asked = ObjectiveSettings(), []

    def decode(told):
        asked.append(told)
        return network.decode(features, told.prompts, told.contexts)

    loss = clicked_loss(2, batch, masks, decode, None, settings, 0.5)
    assert len(asked) == 2
    assert asked[1].prompts.points.shape[1] == asked[0].prompts.points.shape[1] + 1
    each = [prompt_loss(masks, batch, settings, 0.5)]
    each += [prompt_loss(decode(told), told, settings, 0.5) for told in tuple(asked)]
    for name, value in loss.items():
        assert value.item() == pytest.approx(np.mean([parts[name].item() for parts in each]), rel=1e-5)
    none = clicked_loss(0, batch, masks, decode, None, settings, 0.5)
    assert none == each[0] or all(torch.equal(none[name], each[0][name]) for name in none)


def test_a_training_with_clicks_asks_again_and_tells_the_answer_where_the_network_reads_it(toy, tmp_path):
    network = TinyBackbone(VARIANTS["click"])
    heard, decode = [], network._decode
    network._decode = lambda features, prompts, contexts, **rest: (
        heard.append((prompts.masks is not None, 0 if prompts.labels is None else prompts.labels.shape[1])),
        decode(features, prompts, contexts, **rest),
    )[1]
    settings = toy.settings(steps=2, prompt={"clicks": 2, "combinations": {"point": 1.0}}, validate_every=0)
    toy.train(tmp_path, settings, network)
    training = heard[:3]
    assert [told for told, _ in training] == [False, True, True]
    assert [number - training[0][1] for _, number in training] == [0, 1, 2]


def test_without_clicks_nothing_changes(toy, tmp_path):
    plain, _ = toy.train(tmp_path / "plain", toy.settings())
    off, _ = toy.train(tmp_path / "off", toy.settings(prompt={"clicks": 0}))
    for name, value in toy.weights(plain).items():
        assert torch.equal(value, toy.weights(off)[name]), name
    assert decisive(toy.settings()) == decisive(toy.settings(prompt={"clicks": 0}))
    assert decisive(toy.settings()) != decisive(toy.settings(prompt={"clicks": 1}))


def test_impossible_clicks_are_refused(toy):
    with pytest.raises(ValidationError, match=r"prompt\.clicks\n  Input should be greater than or equal to 0"):
        FitSettings(prompt={"clicks": -1})
    with pytest.raises(RecipeError, match="takes no points"):
        PromptableModule(TinyBackbone(VARIANTS["sliding"]), toy.settings(prompt={"clicks": 1}))
