import inspect

import numpy as np
import pytest

from segevolution.evaluation.intervals import fold_variance, interval_of, interval_of_share, seed_variance
from segevolution.evaluation.patient_values import by_patient, paired
from segevolution.evaluation.significance import equivalence, sign_flip
from segevolution.evaluation.statistics import (
    Verdict,
    difference,
    difference_of,
    estimate,
    estimate_of,
    summarise,
)


def test_the_interval_is_that_of_the_patients_values():
    values = [0.2, 0.5, 0.6, 0.4, 0.7, 0.3]
    found, interval = estimate_of(values, ()), interval_of(values, ())
    assert (found.mean, found.low, found.high) == (interval.mean, interval.low, interval.high)
    assert found.patients == 6


def test_equal_patients_leave_an_interval_without_width():
    found = estimate_of([0.7] * 6, ())
    assert (found.low, found.high) == pytest.approx((0.7, 0.7))


@pytest.mark.parametrize("patients", [1, 2, 5])
def test_below_six_patients_there_is_a_mean_and_no_interval(patients):
    found = estimate_of(np.linspace(0.2, 0.6, patients), ())
    assert found.patients == patients
    assert not np.isnan(found.mean)
    assert np.isnan([found.low, found.high]).all()
    assert not found.shown


def test_no_patient_has_neither():
    found = estimate_of([np.nan], ())
    assert found.patients == 0
    assert np.isnan(found.mean)


def test_structures_are_averaged_within_a_patient_before_patients_are(make_table):
    # Patient 1: (.2 + .4) / 2 = .3; patient 2 carries one structure only: .9. Mean .6, not (.2 + .4 + .9) / 3 = .5.
    table = make_table(
        [
            {"patient": "1", "structure": "liver", "dice": 0.2},
            {"patient": "1", "structure": "spleen", "dice": 0.4},
            {"patient": "2", "structure": "liver", "dice": 0.9},
        ]
    )
    found = estimate(table)
    assert found.mean == pytest.approx(0.6)
    assert (found.patients, found.rows) == (2, 3)


def test_runs_are_averaged_before_cases_and_cases_before_structures(make_table):
    # liver: scan a has seeds .2 and .4 -> .3, scan b .7 -> .5; spleen: .9. Patient: .7.
    table = make_table(
        [
            {"case": "a", "run": "lora-s0", "dice": 0.2},
            {"case": "a", "run": "lora-s1", "dice": 0.4},
            {"case": "b", "run": "lora-s0", "dice": 0.7},
            {"case": "a", "run": "lora-s0", "structure": "spleen", "dice": 0.9},
        ]
    )
    assert by_patient(table) == {("chaos", "p1"): pytest.approx(0.7)}


def test_patients_of_one_name_in_two_datasets_are_two(make_table):
    table = make_table([{"patient": "1", "dice": 0.2}, {"patient": "1", "dataset": "btcv", "dice": 0.8}])
    assert estimate(table).patients == 2


def test_a_missing_value_is_left_out_and_not_counted(make_table):
    table = make_table([{"patient": "1", "nsd": np.nan}, {"patient": "2", "nsd": 0.5}])
    found = estimate(table, "nsd")
    assert (found.mean, found.patients, found.rows) == (0.5, 1, 1)


def test_groups_come_in_order_of_appearance(make_table):
    table = make_table([{"method": "lora"}, {"method": "base"}, {"method": "lora", "patient": "2"}])
    found = summarise(table, ["method", "prompt"])
    assert list(found["method"]) == ["lora", "base"]
    assert list(found["patients"]) == [2, 1]


def six_patients(make_table):
    """lora - base = .1, .2, .3, .4, .5 and -.05."""
    changes = [0.1, 0.2, 0.3, 0.4, 0.5, -0.05]
    rows = [{"patient": f"{n}", "dice": 0.4} for n in range(6)]
    rows += [{"patient": f"{n}", "method": "lora", "dice": 0.4 + change} for n, change in enumerate(changes)]
    return make_table(rows)


def test_a_paired_difference_is_that_of_the_same_questions(make_table):
    found = difference(six_patients(make_table), "lora", "base")
    assert found.estimate.mean == pytest.approx(1.45 / 6)
    assert (found.estimate.patients, found.estimate.rows) == (6, 6)
    # Of 64 sets of signs these reach the sum of 1.45: its own, that without the minus, and both mirrored.
    assert found.p == pytest.approx(4 / 64)
    assert found.verdict == "undecided"


def test_higher_needs_both_the_interval_and_the_p_value():
    found = difference_of([0.1, 0.2, 0.3, 0.4, 0.5, 0.05], ())
    assert found.estimate.low > 0
    assert found.p == pytest.approx(2 / 64)
    assert found.verdict is Verdict.HIGHER
    assert found.judged(0.06) is Verdict.UNDECIDED
    wide = difference_of([0.001, 0.001, 0.001, 0.001, 0.001, 5.0], ())
    assert wide.p == pytest.approx(2 / 64)
    assert wide.estimate.low < 0
    assert wide.verdict is Verdict.UNDECIDED


def test_the_reverse_comparison_is_lower_by_as_much(make_table):
    rows = [{"patient": p, "method": m, "dice": d} for p in "123456" for m, d in (("base", 0.1), ("lora", 0.9))]
    table = make_table(rows)
    there, back = difference(table, "lora", "base"), difference(table, "base", "lora")
    assert back.estimate.mean == pytest.approx(-there.estimate.mean)
    assert (there.verdict, back.verdict) == ("higher", "lower")


def test_questions_that_only_one_method_answered_are_no_pairs(make_table):
    table = make_table(
        [
            {"patient": "1", "dice": 0.5},
            {"patient": "1", "method": "lora", "dice": 0.6},
            {"patient": "2", "dice": 0.1},
            {"patient": "3", "method": "lora", "dice": 0.9},
            {"patient": "1", "method": "lora", "prompt": "box", "dice": 0.9},
        ]
    )
    pairs = paired(table, "lora", "base")
    assert pairs["dice"].to_list() == pytest.approx([0.1])
    assert list(pairs["patient"]) == ["1"]


def test_two_seeds_of_a_method_weigh_as_much_as_one_base(make_table):
    rows = [{"dice": 0.5}] + [
        {"method": "lora", "run": f"lora-s{n}", "dice": dice} for n, dice in enumerate((0.6, 0.9))
    ]
    pairs = paired(make_table(rows), "lora", "base")
    assert pairs["dice"].to_list() == pytest.approx([0.25])


def test_no_change_at_all_is_undecided_with_p_one(make_table):
    table = make_table([{"patient": p, "method": m} for p in "123456" for m in ("base", "lora")])
    found = difference(table, "lora", "base")
    assert (found.estimate.mean, found.p, found.verdict) == (0, 1.0, "undecided")


def test_three_equal_runs_do_not_differ_from_the_one_they_equal(make_table):
    values = [0.1, 0.7, 0.3]  # whose mean over three runs is rounded
    rows = [{"method": "base", "patient": str(place), "dice": value} for place, value in enumerate(values)]
    rows += [{**row, "method": "mixture", "run": f"mixture-{number}"} for number in range(3) for row in rows]
    assert sum([0.1] * 3) / 3 != 0.1
    assert paired(make_table(rows), "mixture", "base")["dice"].tolist() == [0, 0, 0]


def test_methods_without_a_common_patient_have_no_difference(make_table):
    found = difference(make_table([{"patient": "1"}, {"patient": "2", "method": "lora"}]), "lora", "base")
    assert found.estimate.patients == 0
    assert np.isnan(found.p)
    assert found.verdict == "too few patients"


def test_nothing_is_claimed_of_few_patients_however_clear_they_look(make_table):
    rows = [{"patient": p, "method": m, "dice": d} for p in "12345" for m, d in (("base", 0.1), ("lora", 0.9))]
    found = difference(make_table(rows), "lora", "base")
    assert found.estimate.mean == pytest.approx(0.8)
    assert np.isnan(found.estimate.low)
    assert found.verdict == "too few patients"


def distances(make_table, method: list[float], reference: list[float]):
    """HD95 of two methods, one patient a value."""
    return make_table(
        [
            {"patient": str(number), "method": name, "run": name, "hd95_mm": value}
            for name, values in (("lora", method), ("base", reference))
            for number, value in enumerate(values)
        ]
    )


def test_a_missed_patient_is_never_dropped_from_a_comparison(make_table):
    """Three of eight answers are empty: their distance is infinite, and the method looks worse, not better."""
    table = distances(make_table, [2.0, 2, 2, 2, 2, np.inf, np.inf, np.inf], [3.0] * 8)
    pairs = paired(table, "lora", "base", "hd95_mm")
    assert len(pairs) == 8
    assert np.isinf(pairs["hd95_mm"]).sum() == 3
    found = difference(table, "lora", "base", "hd95_mm")
    assert found.estimate.patients == 8
    assert found.estimate.mean == np.inf
    assert found.verdict != "lower"


def test_what_both_missed_is_no_difference(make_table):
    table = distances(make_table, [1.0, np.inf, 2.0], [2.0, np.inf, 3.0])
    assert paired(table, "lora", "base", "hd95_mm")["hd95_mm"].tolist() == [-1.0, 0.0, -1.0]


def test_a_method_that_misses_everybody_is_clearly_further_off(make_table):
    found = difference(distances(make_table, [np.inf] * 7, [3.0] * 7), "lora", "base", "hd95_mm")
    assert found.verdict == "higher"
    assert found.p == pytest.approx(2 / 2**7)


def test_one_missed_patient_does_not_turn_a_method_that_is_nearer_into_one_that_is_further_off(make_table):
    nearer = [np.inf] + [5.0] * 19
    found = difference(distances(make_table, nearer, [20.0 + n / 10 for n in range(20)]), "lora", "base", "hd95_mm")
    assert found.ranked
    assert found.estimate.mean == pytest.approx(-16, abs=0.2)
    assert found.verdict == "lower"
    back = difference(distances(make_table, [20.0 + n / 10 for n in range(20)], nearer), "lora", "base", "hd95_mm")
    assert (back.verdict, back.estimate.mean) == ("higher", -found.estimate.mean)


def test_of_ranked_differences_the_claim_goes_where_the_one_sided_test_goes():
    rng = np.random.default_rng(0)
    claims = set()
    for _ in range(60):
        values = np.round(rng.normal(rng.choice([-2, 0, 2]), 2, rng.integers(6, 12)))
        values[: rng.integers(1, 4)] = rng.choice([-np.inf, np.inf])
        found = difference_of(values, ())
        greater, less = (sign_flip(values, side) for side in ("greater", "less"))
        assert found.estimate.mean * (less - greater) >= 0
        if found.verdict is not Verdict.UNDECIDED:
            assert found.verdict is (Verdict.HIGHER if greater < less else Verdict.LOWER)
        claims.add(found.verdict)
    assert claims == {Verdict.HIGHER, Verdict.LOWER, Verdict.UNDECIDED}


def test_a_level_of_distances_is_a_median_in_which_a_missed_patient_is_the_largest(make_table):
    table = distances(make_table, [2.0, 3, 4, 5, 6, np.inf, np.inf], [3.0] * 7)
    found = estimate(table[table["method"] == "lora"], "hd95_mm")
    assert (found.mean, found.low, found.high, found.patients) == (5.0, 2.0, np.inf, 7)


def test_a_patient_is_the_median_of_its_structures(make_table):
    rows = [
        {"patient": "1", "structure": structure, "hd95_mm": value}
        for structure, value in (("liver", np.inf), ("spleen", 4.0), ("kidney", 2.0))
    ]
    assert by_patient(make_table(rows), "hd95_mm", distance=True) == {("chaos", "1"): 4.0}
    assert estimate(make_table(rows), "hd95_mm").mean == 4.0


def test_a_difference_to_a_missed_structure_is_infinite(make_table):
    rows = [
        {"patient": "1", "structure": structure, "method": method, "run": method, "hd95_mm": value}
        for structure, value in (("liver", np.inf), ("spleen", 4.0), ("kidney", 2.0))
        for method, value in (("base", 3.0), ("lora", value))
    ]
    assert difference(make_table(rows), "lora", "base", "hd95_mm").estimate.mean == np.inf


def test_an_infinite_mean_has_no_interval():
    found = estimate_of([1.0, np.inf, 2.0], ())
    assert found.mean == np.inf
    assert np.isnan(found.low)
    assert found.patients == 3


def trained(make_table, changes, folds=None):
    """base, and lora with a change of each patient (rows) by each seed (columns)."""
    rows = [{"patient": str(place), "dice": 0.4} for place in range(len(changes))]
    for place, seeds in enumerate(changes):
        fold = "" if folds is None else f"-f{folds[place]}"
        for seed, change in enumerate(seeds):
            run = {"method": "lora", "run": f"lora-s{seed}{fold}", "seed": seed}
            rows.append({"patient": str(place), **run, "dice": 0.4 + change})
    return make_table(rows)


def test_seeds_are_a_second_source_of_variance_of_a_difference(make_table):
    noise = np.random.default_rng(0).normal(0.1, 0.02, 8)
    apart = difference(trained(make_table, [(v - 0.06, v, v + 0.06) for v in noise]), "lora", "base")
    alike = difference(trained(make_table, [(v, v, v) for v in noise]), "lora", "base")
    assert apart.estimate.mean == pytest.approx(alike.estimate.mean)
    (added,) = apart.runs
    wanted = seed_variance([noise.mean() - 0.06, noise.mean(), noise.mean() + 0.06])
    assert (added.variance, added.freedom) == pytest.approx((wanted.variance, 2))
    assert apart.estimate.high - apart.estimate.low > 2 * (alike.estimate.high - alike.estimate.low)


def test_folds_are_a_second_source_of_variance_of_a_difference(make_table):
    noise = np.random.default_rng(0).normal(0.1, 0.02, 9)
    folds = [place % 3 for place in range(9)]
    values = noise + np.array([-0.05, 0.0, 0.05])[folds]
    found = difference(trained(make_table, [(value,) for value in values], folds), "lora", "base")
    (added,) = found.runs
    assert added.variance == pytest.approx(fold_variance(values, folds).variance)
    level = estimate(trained(make_table, [(value,) for value in values], folds).query("method == 'lora'"))
    assert level.high - level.low == pytest.approx(found.estimate.high - found.estimate.low)


def test_the_interval_of_a_difference_ends_where_no_difference_can_be(make_table):
    values, folds = [0.35] * 4 + [0.55] * 4, [0] * 4 + [1] * 4
    found = difference(trained(make_table, [(value,) for value in values], folds), "lora", "base")
    assert found.runs[0].variance > 0  # two trainings that differ: without an end the interval would reach beyond 1
    assert found.estimate.mean == pytest.approx(0.45)
    assert found.estimate.high == 1.0
    assert -1.0 <= found.estimate.low < 0


@pytest.mark.parametrize("function", [interval_of, interval_of_share, estimate_of, difference_of, equivalence])
def test_no_interval_of_a_mean_can_forget_what_training_adds(function):
    runs = inspect.signature(function).parameters["runs"]
    assert runs.default is inspect.Parameter.empty
