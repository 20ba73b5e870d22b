"""What a training left is read as one curve, whatever stopped and repeated in between."""

import json

from segevolution.studies.training_curves import training_curves


def write(models, run, call, text):
    folder = models / run / "fit" / "curves" / call
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text(text, encoding="utf-8")


def test_losses_are_summed_and_validation_stands_at_its_steps(tmp_path):
    write(
        tmp_path,
        "lora-s0",
        "0",
        "epoch,step,train/iou,train/segmentation,validation/dice_text,validation/score\n"
        "0,4,0.25,0.5,,\n,5,,,0.3,0.4\n0,9,0.25,0.25,,\n,10,,,0.5,0.6\n",
    )
    (tmp_path / "lora-s0" / "trained.json").write_text(json.dumps({"key": "k", "best_step": 10}))
    (curve,) = training_curves(tmp_path, ["base", "lora-s0"])
    assert (curve.run, curve.loss.steps, curve.loss.values) == ("lora-s0", (4, 9), (0.75, 0.5))
    assert curve.validation is not None
    assert (curve.validation.steps, curve.validation.values, curve.kept_step) == ((5, 10), (0.4, 0.6), 10)


def test_a_call_that_goes_on_takes_the_place_of_the_steps_that_it_repeats(tmp_path):
    write(tmp_path, "run", "0", "step,train/a\n4,1.0\n9,0.9\n14,0.8\n")
    write(tmp_path, "run", "1", "step,train/a\n9,0.5\n19,0.4\n")
    write(tmp_path, "run", "10", "step,train/a\n24,0.1\n")
    write(tmp_path, "run", "2", "step,train/a\n20,0.2\n")
    (curve,) = training_curves(tmp_path, ["run"])
    assert curve.loss.steps == (4, 9, 19, 20, 24)
    assert curve.loss.values == (1.0, 0.5, 0.4, 0.2, 0.1)
    assert curve.validation is None
    assert curve.kept_step is None


def test_what_is_damaged_or_not_there_is_left_out(tmp_path):
    write(tmp_path, "empty", "0", "")
    write(tmp_path, "words", "0", "step,train/a\nx,y\n")
    write(tmp_path, "other", "0", "epoch,loss\n1,2\n")
    write(tmp_path, "good", "0", "step,train/a\n1,2\n")
    (tmp_path / "good" / "fit" / "curves" / "notes").mkdir()
    (tmp_path / "good" / "trained.json").write_text("{")
    assert [curve.run for curve in training_curves(tmp_path, ["empty", "words", "other", "gone", "good"])] == ["good"]
