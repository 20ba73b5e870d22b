import numpy as np
import pytest
from scipy import stats

from segevolution.evaluation.statistics import bootstrap, by_patient, difference, estimate, paired, summarise


def test_the_interval_of_two_patients_spans_exactly_both():
    # Resamples of {.2, .8} have the means .2, .5, .8 with chances 1/4, 1/2, 1/4.
    found = bootstrap([0.2, 0.8])
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, 0.2, 0.8))
    assert found.patients == 2


def test_equal_patients_leave_an_interval_without_width():
    found = bootstrap([0.7, 0.7, 0.7])
    assert (found.low, found.high) == pytest.approx((0.7, 0.7))


def test_one_patient_has_a_mean_but_no_interval():
    found = bootstrap([0.4])
    assert found.mean == 0.4
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_no_patient_has_neither():
    found = bootstrap([np.nan])
    assert found.patients == 0
    assert np.isnan(found.mean)


def test_the_interval_agrees_with_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).beta(5, 2, 25)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2))
    found = bootstrap(values)
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.004)


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
    # The smallest absolute difference is the only negative one: W = 1, P(W <= 1) two-sided = 2 * 2 / 2^6.
    assert found.p == pytest.approx(0.0625)
    assert found.verdict == "higher"


def test_the_reverse_comparison_is_lower_by_as_much(make_table):
    table = six_patients(make_table)
    there, back = difference(table, "lora", "base"), difference(table, "base", "lora")
    assert back.estimate.mean == pytest.approx(-there.estimate.mean)
    assert back.verdict == "lower"


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
    assert found.estimate.low > 0.7
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


def test_a_patient_of_two_structures_is_as_infinite_as_most_of_them(make_table):
    rows = [
        {"patient": "1", "structure": structure, "hd95_mm": value}
        for structure, value in (("liver", np.inf), ("spleen", 4.0), ("kidney", 2.0))
    ]
    assert by_patient(make_table(rows), "hd95_mm") == {("chaos", "1"): np.inf}


def test_an_infinite_mean_has_no_interval():
    found = bootstrap([1.0, np.inf, 2.0])
    assert found.mean == np.inf
    assert np.isnan(found.low)
    assert found.patients == 3
