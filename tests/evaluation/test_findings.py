"""What a table shows, as plain data: one primary question, Holm for the rest, and no claim that is not shown."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest

from segevolution.evaluation.analysis import Analysis, PrimaryQuestion, RetentionQuestion
from segevolution.evaluation.calibration import calibration_of
from segevolution.evaluation.findings import findings
from segevolution.evaluation.intervals import interval_of, seed_variance
from segevolution.evaluation.plots.paired import draw_primary
from segevolution.evaluation.plots.rendering import render
from segevolution.evaluation.retention import Kept
from segevolution.evaluation.significance import holm
from segevolution.evaluation.statistics import difference

ANALYSIS = Analysis("toy", "base")
TEXT = PrimaryQuestion("lora", "base", "chaos", "text")


def study(make_table, changes, *, patients=8, dataset="chaos", modality="MRI", **more):
    """base, and lora with a change of each prompt (a number, or one for each patient in turn)."""
    rows = []
    for prompt, change in changes.items():
        for number in range(patients):
            added = change[number % len(change)] if isinstance(change, (list, tuple)) else change
            where = {"dataset": dataset, "modality": modality, "patient": f"p{number}", "prompt": prompt, **more}
            rows.append({**where, "dice": 0.4 + 0.01 * number})
            rows.append({**where, "method": "lora", "run": "lora-s0", "dice": 0.4 + 0.01 * number + added})
    return make_table(rows)


def spread(mean, patients=8, size=0.05):
    return list(mean + np.linspace(-size, size, patients))


@pytest.fixture(scope="module")
def table(make_table):
    return study(make_table, {"text": spread(0.1), "point": spread(0.06), "box": spread(0.0)})


def test_all_questions_are_corrected_together_where_none_was_named_before(table):
    shown = findings(table, ANALYSIS)
    assert shown.primary is None
    assert shown.corrected_questions == 3
    own = {one.question.prompt: one.change.p for one in shown.comparisons}
    assert {one.question.prompt: one.corrected for one in shown.comparisons} == holm(own)
    assert [one.verdict.value for one in shown.comparisons] == ["higher", "higher", "undecided"]


def test_the_primary_question_keeps_its_p_and_leaves_the_family(table):
    shown = findings(table, replace(ANALYSIS, primary=replace(TEXT, prompt="point")))
    (primary,) = [one for one in shown.comparisons if one.primary]
    assert primary.question.prompt == "point"
    assert primary.corrected == primary.change.p == shown.primary.change.p
    assert shown.corrected_questions == 2
    assert shown.primary.answer == "yes"
    assert shown.primary.sentence.startswith("lora is better than base on chaos with point: Dice +0.060 [")


def test_what_is_primary_may_be_decided_where_the_same_row_would_not_be_among_many(make_table):
    table = study(make_table, {"text": spread(0.1, 6), "point": 0.0, "box": 0.0}, patients=6)
    among = findings(table, ANALYSIS).comparisons[0]
    assert among.change.p == pytest.approx(2 / 64)
    assert among.verdict.value == "undecided"
    assert findings(table, replace(ANALYSIS, primary=TEXT)).comparisons[0].verdict.value == "higher"


def test_that_one_method_is_better_is_refused_where_the_interval_says_nothing(table):
    sentences = {one.question.prompt: one.sentence for one in findings(table, ANALYSIS).comparisons}
    assert sentences["text"].startswith("lora is better than base on MRI (chaos) with text: Dice +0.100 [")
    assert sentences["box"].startswith("It is not shown that lora and base differ on MRI (chaos) with box: Dice +0.000")


def test_of_few_patients_nothing_is_claimed_and_they_do_not_count_in_the_family(make_table):
    shown = findings(study(make_table, {"text": spread(0.3, 5)}, patients=5), replace(ANALYSIS, primary=TEXT))
    assert shown.corrected_questions == 0
    assert shown.primary.answer == "not shown"
    assert shown.primary.sentence == (
        "Nothing is claimed of lora and base on chaos with text: 5 patients (difference +0.300), 6 are needed."
    )
    assert math.isnan(shown.comparisons[0].change.estimate.low)


def test_lower_is_better_for_distances(make_table):
    rows = [
        {
            "patient": f"p{number}",
            "method": method,
            "run": method,
            "hd95_mm": 10.0 - (3 + number / 10) * (method == "lora"),
        }
        for number in range(7)
        for method in ("base", "lora")
    ]
    question = replace(TEXT, metric="hd95_mm")
    shown = findings(make_table(rows), replace(ANALYSIS, primary=question))
    assert shown.primary.sentence.startswith("lora is better than base on chaos with text: HD95 in millimetres -3.300")
    assert not any(one.primary for one in shown.comparisons)  # these are by Dice


@pytest.mark.parametrize("margin", [None, 2.0])
def test_a_claim_of_distances_says_that_it_is_of_ranks(make_table, margin):
    far = {"base": [20.0] * 8, "lora": [math.inf, *[5.0] * 7]}
    rows = [
        {"patient": f"p{number}", "method": method, "run": method, "hd95_mm": values[number]}
        for method, values in far.items()
        for number in range(8)
    ]
    question = replace(TEXT, metric="hd95_mm", margin=margin)
    found = findings(make_table(rows), replace(ANALYSIS, primary=question)).primary
    if margin is None:
        assert found.sentence.startswith("It is not shown that lora and base differ on chaos with text: HD95")
        assert "-15.000 (pseudomedian of ranks: some are infinite), p = " in found.sentence
        assert found.is_better
    else:
        assert found.answer == "not shown"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [(spread(0.0, size=0.01), "yes"), (spread(-0.1, size=0.01), "no"), (spread(0.0, size=0.2), "not shown")],
    ids=["equal", "apart", "scattered"],
)
def test_a_primary_question_with_a_margin_is_one_of_equivalence(make_table, changes, answer):
    question = replace(TEXT, margin=0.02)
    shown = findings(study(make_table, {"text": changes}), replace(ANALYSIS, primary=question))
    assert shown.primary.answer == answer
    assert "within 0.02" in shown.primary.question.words


def test_an_equivalence_is_told_with_the_bounds_that_decide_it(make_table):
    table = study(make_table, {"text": spread(0.008, 10, size=0.027)}, patients=10)
    primary = findings(table, replace(ANALYSIS, primary=replace(TEXT, margin=0.02))).primary
    assert (primary.answer, primary.change.estimate.high > 0.02) == ("yes", True)
    tested = primary.equivalence
    assert primary.sentence.startswith("lora is equal to base within 0.02 in Dice on chaos with text: ")
    bounds = f"{tested.mean:+.3f}, bounds {tested.low:+.3f} to {tested.high:+.3f} (each holds with 95 %), n = 10."
    assert primary.sentence.endswith(bounds)
    svg = render(partial(draw_primary, primary)).svg.decode()
    assert f"{tested.mean:+.3f}, {tested.low:+.3f} to {tested.high:+.3f}, n = 10" in svg
    assert f"{primary.change.estimate.high:+.3f}" not in svg


def test_a_primary_question_may_take_all_kinds_together_or_one_shift(make_table):
    table = study(make_table, {"text": spread(0.1), "box": spread(0.3)})
    whole = findings(table, replace(ANALYSIS, primary=replace(TEXT, prompt=None)))
    assert whole.primary.change.estimate.mean == pytest.approx(0.2)
    jittered = table.assign(jitter=np.where(table["prompt"] == "box", 5.0, 0.0))
    assert findings(jittered, replace(ANALYSIS, primary=replace(TEXT, prompt=None))).primary.answer == "yes"
    noise = study(make_table, {"text": spread(-0.2)}, shift="noise", strength=0.1, case="noisy")
    both = replace(TEXT, shift="noise", strength=0.1)
    rows = both.rows(pd.concat([table, noise], ignore_index=True))
    assert difference(rows, "lora", "base").estimate.mean == pytest.approx(-0.2)


@pytest.mark.parametrize(
    ("changes", "patients", "verdict"),
    [
        (0.0, 6, Kept.UNCHANGED),
        (0.0, 4, Kept.TOO_FEW),
        (spread(0.001, size=0.005), 8, Kept.KEPT),
        (spread(-0.05, size=0.005), 8, Kept.LOST),
        (spread(0.05, size=0.005), 8, Kept.GAINED),
        (spread(-0.01, size=0.05), 8, Kept.NOT_SHOWN),
        (spread(0.001, 5, size=0.005), 5, Kept.TOO_FEW),
    ],
    ids=["unchanged", "unchanged-few", "kept", "lost", "gained", "not-shown", "too-few"],
)
def test_what_was_to_be_kept_is_judged_by_equivalence(make_table, changes, patients, verdict):
    table = study(make_table, {"text": changes}, patients=patients, dataset="ct", modality="CT")
    shown = findings(table, replace(ANALYSIS, retention=RetentionQuestion(("ct",), 0.02)))
    (kept,) = shown.retention
    assert kept.verdict is verdict
    assert kept.equivalence.margin == 0.02


def test_data_of_which_the_reference_answered_nothing_cannot_be_kept(make_table):
    table = study(make_table, {"text": 0.0}, dataset="ct", modality="CT").assign(dice=0.01)
    shown = findings(table, replace(ANALYSIS, retention=RetentionQuestion(("ct",), 0.02)))
    assert [one.verdict for one in shown.retention] == [Kept.NOT_SHOWN]
    assert math.isnan(shown.retention[0].corrected)  # it is no question, so it counts for none


def test_levels_of_one_row_are_over_the_same_questions(make_table):
    rows = [{"patient": f"p{n}", "dice": 0.9} for n in range(8)]
    rows += [{"patient": f"p{n}", "method": "lora", "dice": 0.92} for n in range(8)]
    rows += [{"patient": f"p{n}", "method": "lora", "structure": "ureter", "dice": 0.4} for n in range(7)]
    rows += [{"patient": f"p{n}", "method": "unet", "prompt": "box", "dice": 0.1} for n in range(8)]
    shown = findings(make_table(rows), ANALYSIS)
    both, lora, unet = shown.metric("dice").rows
    assert (both.question.words, set(both.levels), both.patients) == ("text", {"base", "lora"}, 8)
    assert both.levels["lora"].mean == pytest.approx(0.92)
    assert (lora.question.words, set(lora.levels), lora.patients) == ("text, only lora", {"lora"}, 7)
    assert (unet.question.words, set(unet.levels)) == ("box", {"unet"})
    liver, ureter = shown.structures[0].rows
    assert (liver.structure, ureter.structure, ureter.question.words) == ("liver", "ureter", "text")


def test_retention_is_corrected_with_the_comparisons(make_table):
    table = study(make_table, {"text": spread(0.001, size=0.018)}, dataset="ct", modality="CT")
    shown = findings(table, replace(ANALYSIS, retention=RetentionQuestion(("ct",), 0.02)))
    (kept,), (compared,) = shown.retention, shown.comparisons
    family = holm({"kept": kept.equivalence.p, "compared": compared.change.p})
    assert kept.corrected == family["kept"]
    assert shown.corrected_questions == 2


def test_the_predicted_overlap_is_held_against_the_true_one(make_table):
    rows = [
        {"patient": f"p{number}", "dice": dice, "predicted_iou": predicted}
        for number, (dice, predicted) in enumerate(
            [(0.5, 0.4), (0.8, 0.6), (0.0, 0.5), (0.9, 0.7), (0.4, 0.3), (0.6, 0.1)]
        )
    ]
    found = calibration_of(make_table(rows), "base", "chaos", "MRI")
    true = [dice / (2 - dice) for dice in (0.5, 0.8, 0.0, 0.9, 0.4, 0.6)]
    predicted = [0.4, 0.6, 0.5, 0.7, 0.3, 0.1]
    gaps = np.subtract(predicted, true)
    assert found.true.mean == pytest.approx(np.mean(true))
    assert found.gap.mean == pytest.approx(gaps.mean())
    assert found.error.mean == pytest.approx(np.abs(gaps).mean())
    assert found.gap.low < found.gap.mean < found.gap.high
    assert [(part.low, part.answers) for part in found.bins] == [(0.0, 1), (0.2, 1), (0.4, 2), (0.6, 2)]
    assert found.bins[2].predicted == pytest.approx(0.45)
    assert calibration_of(make_table(rows).assign(predicted_iou=np.nan), "base", "chaos", "MRI") is None


def test_a_gap_between_predicted_and_true_overlap_holds_the_training_seeds(make_table):
    rows = [
        {"patient": str(number), "run": f"lora-s{seed}", "seed": seed, "dice": 0.5, "predicted_iou": value}
        for number in range(6)
        for seed, value in enumerate((0.3, 0.5, 0.7))
    ]
    found = calibration_of(make_table(rows), "base", "chaos", "MRI")
    wanted = interval_of([0.5] * 6, [seed_variance([0.3, 0.5, 0.7])])
    assert (found.predicted.low, found.predicted.high) == pytest.approx((wanted.low, wanted.high))
    assert found.gap.high - found.gap.low == pytest.approx(wanted.high - wanted.low)


def test_a_report_has_every_metric_and_says_which_tolerances(make_table):
    table = study(make_table, {"text": spread(0.1)})
    table["nsd_tolerance_mm"] = np.where(table["patient"] == "p0", 5.0, 3.0)
    shown = findings(table, ANALYSIS)
    assert [one.metric.name for one in shown.metrics] == ["dice", "nsd", "hd95_mm", "volume_error"]
    assert shown.metric("nsd").tolerances == (3.0, 5.0)
    assert {one.method for one in shown.calibration} == {"base", "lora"}
