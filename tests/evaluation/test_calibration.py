"""What is learned of a model's estimates: curves that hold on other patients, and counts of what would be flagged."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.data.store import Store
from segevolution.errors import CheckpointError
from segevolution.evaluation.calibration_fit import calibration_error, fit_curve, fitted
from segevolution.evaluation.calibration_rows import CalibrationRow
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.calibration import CALIBRATION, Calibration, read_calibration
from segevolution.inference.signs import Signs
from segevolution.models.checkpoints import WEIGHTS, save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality


def rows(patients: int = 5, each: int = 40, kind: str = "text") -> list[CalibrationRow]:
    """A network that promises .3 too much, whose certainty tells the truth but for noise."""
    rng = np.random.default_rng(0)
    made = []
    for patient in range(patients):
        for true in rng.uniform(0.05, 0.95, each):
            seen = float(np.clip(true + rng.normal(0, 0.05), 0.02, 0.98))
            signs = Signs(min(0.99, seen + 0.3), seen, None, 100.0, False, 50.0, 0.0, 600.0, 1.0)
            dice = 2 * true / (1 + true)
            made.append(CalibrationRow(f"p{patient}", kind, "liver", signs, true, dice, False, ()))
    return made


def test_the_error_is_the_distance_of_prediction_and_truth_by_bins() -> None:
    assert calibration_error(np.array([0.15, 0.85]), np.array([0.15, 0.85])) == 0
    assert calibration_error(np.full(4, 0.75), np.array([0.5, 0.6, 0.4, 0.5])) == pytest.approx(0.25)
    assert calibration_error(np.array([0.1, 1.0]), np.array([0.2, 0.8])) == pytest.approx(0.15)
    assert calibration_error(np.array([np.nan, 0.5]), np.array([0.0, 0.5])) == 0


def test_a_curve_gives_back_the_logistic_that_made_it() -> None:
    signs = np.random.default_rng(1).uniform(0.05, 0.95, (2000, 2))
    scores = -0.5 + 1.2 * np.log(signs[:, 0] / (1 - signs[:, 0])) + 0.4 * np.log(signs[:, 1] / (1 - signs[:, 1]))
    curve = fit_curve(signs, 1 / (1 + np.exp(-scores)), ("predicted_iou", "certainty"))
    assert curve.bias == pytest.approx(-0.5, abs=0.02)
    assert curve.weights == {
        "predicted_iou": pytest.approx(1.2, abs=0.02),
        "certainty": pytest.approx(0.4, abs=0.02),
    }


def test_an_estimate_that_promises_too_much_is_calibrated_on_patients_left_out() -> None:
    found = fitted([*rows(), *rows(kind="box")], Modality.CT, "made")
    assert found.measured.patients == 5
    assert found.measured.answers == 400
    for kind in ("text", "box"):
        assert found.measured.error_before[kind] > 0.15
        assert found.measured.error_after[kind] < 0.05
    assert found.measured.poor_flagged / found.measured.poor > 0.8
    assert found.measured.good_flagged == 0
    calibration = Calibration({Modality.CT: found})
    (sure, unsure) = (
        Signs(0.9, 0.9, None, 1, False, None, None, None, 1.0),
        Signs(0.4, 0.1, None, 1, False, None, None, None, 1.0),
    )
    high, low = (calibration.expected_of(signs, "text", Modality.CT) for signs in (sure, unsure))
    assert high is not None
    assert low is not None
    assert high > 0.75
    assert low < 0.25
    assert calibration.expected_of(sure, "scribble", Modality.CT) is None


def test_false_alarms_are_counted_apart_and_teach_nothing() -> None:
    signs = Signs(0.9, 0.9, None, 100.0, False, 50.0, 0.0, 600.0, 1.0)
    alarms = [
        CalibrationRow("p0", "text", "cerebellum", signs, 0.0, 0.0, True, reasons) for reasons in ((), ("no head",))
    ]
    with_alarms, without = fitted([*rows(), *alarms], Modality.CT, ""), fitted(rows(), Modality.CT, "")
    assert (with_alarms.measured.absent, with_alarms.measured.absent_flagged) == (2, 1)
    assert with_alarms.curves == without.curves


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(CheckpointError, match="needs 3 patients and 20 answers; here are 2 and 80"):
        fitted(rows(patients=2), Modality.CT, "")


def test_the_command_keeps_what_it_learned_beside_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.create(tmp_path / "store")
    rng = np.random.default_rng(0)
    for number in range(6):
        array = rng.uniform(20, 60, (24, 20, 8))
        labels = np.zeros(array.shape, np.uint8)
        labels[4 + number : 14, 6:12, 2:6] = 1
        array[labels > 0] = 400
        volume = Volume(array.astype(np.float32), Grid((24, 20, 8), np.diag([2.0, 2, 4, 1])), Modality.MRI)
        store.add(Case(f"c{number}", f"p{number}", "made", volume, labels, {"liver": (1,)}))
    model = tmp_path / "tiny"
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32))), model)
    words = ["models", "calibrate", str(model), str(tmp_path / "store"), "--absent", "spleen", "--json"]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    measured = json.loads(capsys.readouterr().out)["MRI"]
    assert measured["patients"] == 6
    assert 20 <= measured["answers"] <= 42  # an empty answer is none
    assert measured["absent"] <= 6
    assert {"box", "text+box"} <= set(measured["error_after"]) <= {"text", "point", "box", "text+point", "text+box"}
    assert (model / CALIBRATION).is_file()
    assert set(read_calibration(model, model / WEIGHTS).modalities) == {Modality.MRI}
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--cases", "nobody"])
    assert "no store here has a case nobody" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):  # before a model is looked for
        main(["models", "calibrate", "nowhere", str(tmp_path / "store"), "--cases", "c0,c1"])
    assert "a calibration of MRI needs 3 patients; the stores give 2." in capsys.readouterr().err


def test_a_network_that_estimates_no_overlap_is_judged_by_its_other_signs_or_not_at_all() -> None:
    silent = [replace(row, signs=replace(row.signs, predicted_iou=float("nan"))) for row in rows()]
    found = fitted(silent, Modality.CT, "made")
    assert found.measured.error_before == {}
    assert "NaN" not in json.dumps(found.model_dump())
    assert all("predicted_iou" not in curve.weights for curves in found.curves.values() for curve in curves)
