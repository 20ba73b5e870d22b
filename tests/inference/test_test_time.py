"""Test-time adaptation lowers the entropy of an answer, leaves no trace, and is refused where it means nothing."""

import numpy as np
import pytest
import torch

from segevolution.data.synthesis.sources import SimulatedSource
from segevolution.errors import PromptError
from segevolution.imaging.prompts import Prompt
from segevolution.inference import test_time
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.inference.test_time import EntropyDescent
from segevolution.models.spec import Spec
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.studies.rivals.entropy import EntropyRival
from segevolution.vocabulary import Modality


@pytest.fixture(scope="module")
def scan():
    source = SimulatedSource(
        1, "made", region="torso", seed=5, modality=Modality.MRI, sequences=("T1",), spacing=(6.0,) * 3
    )
    return source.read(next(iter(source.index()))).volume


@pytest.fixture(scope="module")
def network():
    return load("segvol-mini-2", device="cpu")


def logits_of(network, scan, descent, **prompt):
    session = Session(network, scan, windows="off", test_time=descent, second_opinion=False)
    return session.segment(keep_logits=True, **prompt).logits.astype(np.float32)


def test_entropy_falls_with_the_steps_and_the_network_is_as_before(network, scan, monkeypatch):
    losses = []
    measured = test_time._entropy
    monkeypatch.setattr(test_time, "_entropy", lambda logits: losses.append(measured(logits)) or losses[-1])
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    plain = logits_of(network, scan, None, text="liver")
    assert not losses
    adapted = logits_of(network, scan, EntropyDescent(3), text="liver")
    assert len(losses) == 3
    assert losses[2] < losses[1] < losses[0]
    assert np.abs(adapted - plain).max() > 0.01
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    assert not any(value.grad is not None for value in network.parameters())
    assert np.array_equal(logits_of(network, scan, None, text="liver"), plain)


def test_a_step_so_small_that_nothing_moves_gives_the_plain_answer(network, scan):
    plain = logits_of(network, scan, None, text="liver")
    assert np.allclose(logits_of(network, scan, EntropyDescent(1, 1e-12), text="liver"), plain, atol=1e-3)


def test_one_session_answers_a_later_question_as_if_it_were_the_first(network, scan):
    session = Session(network, scan, windows="off", test_time=EntropyDescent(1))
    session.segment(text="spleen")
    after = session.segment(text="liver", keep_logits=True).logits
    assert np.array_equal(after, logits_of(network, scan, EntropyDescent(1), text="liver").astype(after.dtype))


def test_the_box_is_the_region_where_there_is_one(network, scan, monkeypatch):
    counted = []
    measured = test_time._entropy
    monkeypatch.setattr(test_time, "_entropy", lambda logits: counted.append(logits.numel()) or measured(logits))
    middle = [side // 2 for side in scan.array.shape]
    for half in (4, 8):
        prompt = Prompt.make(scan.grid, box=[*(m - half for m in middle), *(m + half for m in middle)])
        Session(network, scan, windows="off", test_time=EntropyDescent(1)).segment(prompt)
    assert counted[0] < counted[1]


def test_a_network_that_does_not_look_at_the_whole_first_refuses(scan):
    class Clicked(TinyBackbone):
        @property
        def spec(self):
            return Spec(**{**vars(self._spec), "framing": "click"})

        @spec.setter
        def spec(self, value):
            self._spec = value

    with pytest.raises(PromptError, match="looks at the whole scan first"):
        Session(Clicked(TinyConfig(window=(8, 32, 32))).eval(), scan, test_time=EntropyDescent(1))


@pytest.mark.parametrize(("steps", "rate"), [(0, 1e-3), (1, 0.0), (1, float("inf")), (1, float("nan"))])
def test_steps_and_rates_that_cannot_be_are_refused(steps, rate):
    with pytest.raises(PromptError, match="1 step or more at a rate above 0"):
        EntropyDescent(steps, rate)


@pytest.mark.parametrize("settings", [{"step": 3}, {"steps": 0}, {"steps": True}, {"learning_rate": "fast"}])
def test_a_recipe_with_other_settings_is_refused(settings):
    with pytest.raises(ValueError, match=r"no key here|must be"):
        EntropyRival().check(settings)


def test_the_method_of_a_study_answers_by_an_adapted_network(scan):
    rival = EntropyRival()
    rival.check({"steps": 1})
    answerer = rival.load({"steps": 1}, None, "cpu", "segvol-mini-2")
    dialogue = answerer.open(scan, windows="off", context="known")
    (answer,) = dialogue.segment([Prompt(scan.grid, "liver")])
    plain = Session(load("segvol-mini-2", device="cpu"), scan, windows="off", second_opinion=False).segment(
        text="liver"
    )
    assert answer.iou != plain.iou
