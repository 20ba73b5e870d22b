"""The registry of metrics: what each is, and that it measures what its function does."""

import numpy as np
import pytest

from segevolution.metrics import METRICS, Comparison, dice, hd95, nsd, tolerance_mm, volume_error
from segevolution.metrics.tolerances import DEFAULT_MM, FLARE_2022, OURS
from segevolution.vocabulary import STRUCTURES, canonical

TRUTH = np.zeros((12, 12, 8), bool)
TRUTH[2:9, 3:9, 2:6] = True
ANSWER = np.roll(TRUTH, 1, 0)
SPACING = (2.0, 1.5, 3.0)


def test_each_measures_what_its_function_does():
    pair = Comparison(ANSWER, TRUTH, SPACING, 2.0)
    found = {name: metric.measure(pair) for name, metric in METRICS.items()}
    assert found["dice"] == dice(ANSWER, TRUTH)
    assert found["nsd"] == nsd(ANSWER, TRUTH, SPACING, 2.0)
    assert found["hd95_mm"] == hd95(ANSWER, TRUTH, SPACING)
    assert found["volume_error"] == volume_error(ANSWER, TRUTH)


@pytest.mark.parametrize("name", METRICS)
def test_the_direction_is_the_one_in_which_answers_become_better(name):
    metric = METRICS[name]
    beside = np.roll(TRUTH, 3, 0)
    beside[:, :5] = False
    assert beside.sum() != TRUTH.sum()
    right, wrong = (metric.measure(Comparison(answer, TRUTH, SPACING, 1.0)) for answer in (TRUTH, beside))
    assert right > wrong if metric.better == "higher" else right < wrong


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_in_millimetres_is_said_to_be_one(name):
    metric = METRICS[name]
    near, far = (metric.measure(Comparison(ANSWER, TRUTH, spacing, 3.0)) for spacing in (SPACING, (20.0, 15.0, 30.0)))
    assert (near != far) == metric.needs_mm


def test_every_organ_has_its_own_tolerance_and_others_the_default():
    assert (tolerance_mm("liver"), tolerance_mm("hippocampus"), tolerance_mm("pineal gland")) == (5.0, 1.0, DEFAULT_MM)
    assert not set(FLARE_2022) & set(OURS)
    for name in (*FLARE_2022, *OURS):
        assert canonical(name) == name
        assert name in STRUCTURES
        assert tolerance_mm(name) > 0


def test_a_volume_error_is_relative_and_has_no_sign():
    half = TRUTH.copy()
    half[:, :, 4:] = False
    assert volume_error(half, TRUTH) == 0.5
    assert volume_error(TRUTH, half) == 1.0
    assert volume_error(np.zeros_like(TRUTH), TRUTH) == 1.0
    assert np.isnan(volume_error(TRUTH, np.zeros_like(TRUTH)))
