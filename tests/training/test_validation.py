"""Whole volumes in turn, on validation patients alone, and what their Dice decides."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from segevolution.data.windows import FramedCase
from segevolution.errors import RecipeError
from segevolution.imaging.case import Case
from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.simulated_prompts import tight_box
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.training.batches import CaseGroup
from segevolution.training.checkpoint_file import read_checkpoint
from segevolution.training.validation import VolumeDice, validator
from segevolution.training.validation_state import ValidationState
from segevolution.vocabulary import Modality


def test_a_volume_is_answered_as_inference_answers_it(toy):
    rng = np.random.default_rng(0)
    labels = np.zeros((40, 36, 20), np.uint8)
    labels[8:24, 6:20, 4:14] = 1
    image = (100 + 300.0 * labels + rng.normal(0, 40, labels.shape)).astype(np.float32)
    volume = Volume(image, Grid(labels.shape, np.diag([2.0, 2.0, 3.0, 1.0])), Modality.CT, "scan")
    case = Case("scan", "patient", "test", volume, labels, {"liver": (1,)})
    network = toy.model().eval()
    framed = FramedCase.make(case, frame(volume, network.spec.intensity))
    chosen = toy.settings(validation={"volumes": 1, "prompts": ["text", "box"]})
    table = VolumeDice([CaseGroup((framed,))], network.spec, chosen).measure(network, 0, 0, 1)
    session, truth = Session(network, volume), labels == 1
    for kind, answer in {
        "text": session.segment(text="liver"),
        "box": session.segment(box=(*tight_box(truth).low, *tight_box(truth).high), structure="liver"),
    }.items():
        dice = 2 * (answer.mask & truth).sum() / (answer.mask.sum() + truth.sum())
        assert table["0/test/scan/liver"][kind] == pytest.approx(float(dice), abs=1e-6)


def test_cases_of_one_name_in_two_datasets_are_two_rows(toy):
    chosen = toy.settings(validation={"volumes": 8, "prompts": ["box"]})
    network = toy.model().eval()
    (group,) = toy.validation()
    for other in (CaseGroup(tuple(replace(case, dataset="other") for case in group.cases)), group):
        table = VolumeDice([group, other], network.spec, chosen).measure(network, 0, 0, 1)
        assert len(table) == 2 * sum(len(case.structures) for case in group.cases)


def test_volumes_and_structures_take_turns_until_all_were_measured(toy):
    chosen = toy.settings(validation={"volumes": 1, "structures": 1, "prompts": ["box"]})
    network = toy.model().eval()
    dice = VolumeDice(toy.validation(), network.spec, chosen)
    assert dice.turns == 4
    turns = [list(dice.measure(network, turn, 0, 1)) for turn in range(8)]
    assert sorted(name for turn in turns[:4] for name in turn) == [
        "0//case11/liver",
        "0//case11/spleen",
        "0//case12/liver",
        "0//case12/spleen",
    ]
    assert turns[4:] == turns[:4]
    other = VolumeDice(toy.validation(), network.spec, replace(chosen, seed=3))
    assert [list(other.measure(network, turn, 0, 1)) for turn in range(4)] != turns[:4]


@pytest.mark.parametrize("volumes", [0, 2])
def test_processes_share_a_validation(toy, volumes):
    chosen = toy.settings(validation_steps=3, validation={"volumes": volumes, "structures": 1})
    network = toy.model().eval()
    measure = validator(toy.validation(), network.spec, chosen).measure
    whole, parts = measure(network, 0, 0, 1), [measure(network, 0, rank, 2) for rank in range(2)]
    assert all(parts)
    assert not parts[0].keys() & parts[1].keys()
    assert parts[0] | parts[1] == whole


def test_the_score_waits_for_everyone_and_is_about_everyone(toy):
    standing, chosen = ValidationState(), toy.settings(keep_weights="best")
    assert not standing.take({"a": {"text": 0.2, "box": 0.6}}, 1, 2, chosen)
    assert standing.score is None
    assert standing.take({"b": {"text": 0.4}}, 2, 2, chosen)
    assert standing.score == pytest.approx((0.3 + 0.6) / 2)
    assert standing.take({"a": {"text": 0.6, "box": 0.6}}, 3, 2, chosen)
    assert standing.score == pytest.approx((0.5 + 0.6) / 2)
    assert not standing.take({"b": {"text": 0.2}}, 4, 2, chosen)
    assert (standing.best_step, standing.stale) == (3, 1)


def test_a_plateau_lowers_the_rate_and_patience_ends_the_run(toy):
    chosen = toy.settings(
        schedule="plateau", plateau_patience=2, plateau_factor=0.1, patience=5, final_lr_fraction=0.05
    )
    standing = ValidationState()
    factors = []
    for step, dice in enumerate([0.5, 0.4, 0.4, 0.6, 0.6, 0.5, 0.5, 0.5, 0.5]):
        standing.take({"a": {"box": dice}}, step, 1, chosen)
        factors.append(standing.factor)
    assert factors == [1, 1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    assert standing.ended
    assert standing.best_step == 3


def test_the_run_leaves_its_best_weights_where_that_is_asked_for(toy, tmp_path):
    chosen = toy.settings(
        steps=8, learning_rate=0.3, ema_decay=0.8, validate_every=1, keep_weights="best", validation={"volumes": 2}
    )
    network, result = toy.train(tmp_path, chosen)
    assert result.best_step is not None
    assert result.best_step < result.step == 8, "the last was best, so nothing was shown"
    kept = read_checkpoint(tmp_path / "best.ckpt")
    assert kept["global_step"] == result.best_step
    for name, value in network.named_parameters():
        assert torch.equal(value, kept["average"][f"backbone.{name}"])
    table = validator(toy.validation(), network.spec, chosen).measure(network, 0, 0, 1)
    score = np.mean([np.mean([row[kind] for row in table.values()]) for kind in ("text", "point", "box")])
    assert score == pytest.approx(kept["callbacks"]["Keeper"]["best"])
    last, _ = toy.train(tmp_path / "last", replace(chosen, keep_weights="last"))
    assert any(not torch.equal(toy.weights(last)[name], value) for name, value in toy.weights(network).items())


def test_validation_measures_the_average_and_leaves_training_as_it_was(toy, tmp_path):
    quiet, _ = toy.train(tmp_path / "never", toy.settings(validate_every=0))
    often, result = toy.train(tmp_path / "often", toy.settings(validate_every=1, validation={"volumes": 1}))
    for name, value in toy.weights(quiet).items():
        assert torch.equal(value, toy.weights(often)[name]), name
    assert {"validation/dice_text", "validation/dice_box", "validation/score"} <= result.metrics.keys()
    assert result.best_step is None


@pytest.mark.parametrize("change", [{"keep_weights": "best"}, {"patience": 1}, {"schedule": "plateau"}])
def test_nothing_is_chosen_without_validation_patients(toy, change):
    with pytest.raises(RecipeError, match="give some patients the role validation"):
        validator([], toy.model().spec, toy.settings(**change))


def test_too_few_validations_to_see_everyone_are_refused(toy):
    chosen = toy.settings(keep_weights="best", validate_every=3, validation={"volumes": 1, "structures": 1})
    with pytest.raises(RecipeError, match=r"2 validations are planned.*only after 4"):
        validator(toy.validation(), toy.model().spec, chosen)


def test_validation_asks_points_that_dataset_case_structure_and_seed_decide(toy):
    case = toy.validation()[0].cases[0]
    spec, truth = toy.model().spec, case.mask("liver")

    def points(seed=0, name="liver", **changes):
        dice = VolumeDice(toy.validation(), spec, toy.settings(seed=seed, validation={"volumes": 1, "points": 3}))
        return dice._frame_prompts(["point"], name, truth, replace(case, **changes))[0].points

    asked = [points(), points(seed=1), points(name="spleen"), points(dataset="chaos"), points(name="liver")]
    asked.insert(4, points(**{"dataset": "amos"}))
    assert asked[0] == asked[-1]
    assert len(set(asked)) == 5
    assert all(truth[tuple(map(int, point))] for point in asked[0])
