import math

import numpy as np
import pytest
from scipy import stats

from segevolution.evaluation.intervals import (
    RunVariance,
    fold_variance,
    interval_of,
    interval_of_median,
    interval_of_share,
    seed_variance,
)
from segevolution.evaluation.significance import equivalence, holm, sign_flip

VALUES = [0.02, 0.05, -0.01, 0.08, 0.03, 0.04, 0.06]


def test_the_interval_lies_round_the_mean_and_near_students():
    interval = interval_of(VALUES, ())
    low, high = stats.t.interval(0.95, len(VALUES) - 1, np.mean(VALUES), stats.sem(VALUES))
    assert interval.mean == pytest.approx(np.mean(VALUES))
    assert interval.low < interval.mean < interval.high
    assert interval.low == pytest.approx(low, abs=0.02)
    assert interval.high == pytest.approx(high, abs=0.02)
    assert interval.error == pytest.approx(stats.sem(VALUES))
    assert interval.count == 7


def test_the_same_values_have_the_same_interval_and_missing_ones_are_left_out():
    assert interval_of([*VALUES, math.nan], ()) == interval_of(VALUES, ())
    assert interval_of(VALUES, (), seed=1) != interval_of(VALUES, ())


def test_equal_values_have_an_interval_without_width():
    interval = interval_of([0.25] * 8, ())
    assert (interval.low, interval.high) == (0.25, 0.25)


def test_skewed_values_have_a_skewed_interval():
    interval = interval_of([0.01, 0.02, 0.03, 0.02, 0.01, 0.9, 0.02, 0.03], ())
    assert interval.high - interval.mean > 2 * (interval.mean - interval.low)


@pytest.mark.parametrize(("values", "count"), [([], 0), ([0.5], 1)])
def test_fewer_than_two_patients_have_no_bounds(values, count):
    interval = interval_of(values, ())
    assert interval.count == count
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert not interval.shown


@pytest.mark.parametrize(("patients", "shown"), [(2, False), (5, False), (6, True), (9, True)])
def test_reports_show_bounds_from_six_patients_on(patients, shown):
    assert interval_of(np.linspace(0, 1, patients), ()).shown is shown


def test_infinite_values_are_refused():
    with pytest.raises(ValueError, match="infinite"):
        interval_of([1.0, math.inf], ())


def test_runs_are_a_second_source_of_variance():
    alone = interval_of(VALUES, ())
    assert interval_of(VALUES, [RunVariance(0.0, 1)]) == alone
    apart = interval_of(VALUES, [RunVariance(0.04**2, 1)])
    assert apart.error == pytest.approx(math.hypot(alone.error, 0.04))
    assert apart.high - apart.low > (alone.high - alone.low) * apart.error / alone.error


def test_runs_that_differ_widen_even_equal_patients():
    assert interval_of([0.1] * 6, [RunVariance(0.05**2, 1)]).low < 0.1


def test_seeds_add_the_variance_of_their_mean():
    assert seed_variance([0.3]) is None
    found = seed_variance([0.1, 0.2, 0.3])
    assert found.variance == pytest.approx(0.01 / 3)
    assert found.freedom == 2


def test_folds_add_what_lies_between_them_beyond_the_patients():
    assert fold_variance([0.1, 0.2], ["a", "a"]) is None
    assert fold_variance([0.1, 0.2], ["a", "b"]) is None
    alike = fold_variance([0.1, 0.3, 0.2, 0.2], list("aabb"))
    assert alike.variance == 0
    # Means .2 and .6 of two each: between folds 2 (.04 + .04) / 1 = .16, within 4 (.01) / 2 = .02; (.16 - .02) / 4.
    apart = fold_variance([0.1, 0.3, 0.5, 0.7], list("aabb"))
    assert apart.variance == pytest.approx(0.035)
    assert apart.freedom == 1


def test_a_median_lies_between_order_statistics_and_infinite_values_are_the_largest():
    found = interval_of_median([3.0, 1.0, 2.0, math.inf, 5.0, 4.0])
    assert (found.mean, found.low, found.high, found.count) == (3.5, 1.0, math.inf, 6)
    assert interval_of_median([math.inf] * 4 + [1.0, 2.0, 3.0]).mean == math.inf
    # Nine values: the second and the eighth, P(B <= 1) = 10 / 512 on each side.
    nine = interval_of_median(np.arange(1.0, 10.0))
    assert (nine.low, nine.high) == (2.0, 8.0)


def test_below_six_values_a_median_has_no_bounds():
    found = interval_of_median([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert math.isnan(found.low)


def test_sign_flips_are_counted():
    assert sign_flip([1.0, 2.0, 3.0]) == pytest.approx(2 / 8)
    assert sign_flip([1.0, 2.0, 3.0], "greater") == pytest.approx(1 / 8)
    assert sign_flip([1.0, 2.0, 3.0], "less") == 1
    assert sign_flip([1.0, 2.0, -3.0]) == 1
    assert sign_flip([0.0, 0.0]) == 1
    assert math.isnan(sign_flip([]))


def test_many_flips_are_drawn_and_never_say_nought():
    assert 0 < sign_flip(np.ones(30)) < 1e-3


def test_an_infinite_difference_is_ranked_highest_and_never_dropped():
    finite = sign_flip([0.1, 0.2, 0.3, 0.4, 0.5, -0.6], "greater")
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5, -math.inf], "greater") == pytest.approx(finite)
    assert sign_flip([0.1, 0.2, 0.3, 0.4, 0.5], "greater") < finite


def test_holm_corrects_step_by_step():
    corrected = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": math.nan})
    assert [corrected[name] for name in "abc"] == pytest.approx([0.03, 0.06, 0.06])
    assert math.isnan(corrected["d"])
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_kept_means_that_both_bounds_lie_inside_the_margin():
    small = equivalence([-0.002, 0.001, -0.001, 0.002, 0.0, -0.001], 0.02, ())
    assert small.kept
    assert small.p < 0.001
    scattered = equivalence([-0.04, 0.03, -0.05, 0.06, 0.0, -0.03], 0.02, ())
    assert scattered.mean > -0.02
    assert not scattered.kept


def test_equal_to_the_last_bit_is_kept_and_few_patients_show_nothing():
    assert equivalence([0.0] * 6, 0.02, ()).kept
    assert not equivalence([0.0] * 5, 0.02, ()).kept
    assert not equivalence([0.0], 0.02, ()).kept


def test_equivalence_asks_both_sides():
    gains = equivalence([0.1, 0.11, 0.09, 0.1, 0.12, 0.1], 0.02, ())
    assert gains.not_worse
    assert not gains.kept
    assert gains.p == gains.p_gain > 0.99
    losses = equivalence([-0.1, -0.11, -0.09, -0.1, -0.12, -0.1], 0.02, ())
    assert losses.lost
    assert not losses.not_worse


def test_a_margin_of_nought_is_refused():
    with pytest.raises(ValueError, match="margin"):
        equivalence([0.1, 0.2], 0.0, ())


@pytest.mark.parametrize(
    ("shares", "low", "high"),
    [([0.0] * 6, 0.0, 0.4593), ([1.0] * 6, 0.5407, 1.0), ([0.0] * 3 + [1.0] * 3, 0.1181, 0.8819)],
)
def test_a_share_of_patients_has_the_exact_interval_of_the_binomial(shares, low, high):
    interval = interval_of_share(shares, ())
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-4)
    assert interval.mean == np.mean(shares)
    assert interval_of_share([0.5] * 6, ()).low < 0.5 < interval_of_share([0.5] * 6, ()).high  # no share without width
