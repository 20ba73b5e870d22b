"""What the statistics promise, by simulation: intervals cover, and under the null nothing is claimed too often."""

import numpy as np
import pytest

from segevolution.evaluation.intervals import fold_variance, interval_of, interval_of_median, seed_variance
from segevolution.evaluation.significance import equivalence, sign_flip

STUDIES = 1000

# Differences of Dice as studies have them: symmetric, skewed to losses, skewed to gains.
DRAWN = {
    "normal": (lambda rng, size: rng.normal(0.05, 0.1, size), 0.05),
    "skewed down": (lambda rng, size: -0.1 * rng.gamma(4, size=size), -0.4),
    "skewed up": (lambda rng, size: rng.beta(1.5, 6, size), 0.2),
    "very skewed": (lambda rng, size: 0.1 * rng.exponential(size=size), 0.1),
}


def coverage(kind: str, patients: int, studies: int = STUDIES) -> float:
    draw, truth = DRAWN[kind]
    samples = draw(np.random.default_rng(patients), (studies, patients))
    inside = [interval.low <= truth <= interval.high for interval in (interval_of(sample, ()) for sample in samples)]
    return float(np.mean(inside))


@pytest.mark.parametrize("patients", [4, 6, 10, 20])
@pytest.mark.parametrize("kind", DRAWN)
def test_the_interval_holds_the_truth_as_often_as_it_says(kind, patients):
    assert 0.93 <= round(coverage(kind, patients), 2) <= 0.97


@pytest.mark.parametrize("patients", [6, 14])
def test_where_a_tenth_of_the_patients_fails_altogether_no_interval_holds(patients):
    """Nine in ten gain .05, the tenth loses .8: most small studies see no failure, so that nothing can know of it."""
    rng = np.random.default_rng(patients)
    failed = rng.random((STUDIES, patients)) < 0.1
    samples = np.where(failed, -0.8, 0.05) + rng.normal(0, 0.02, failed.shape)
    truth = 0.9 * 0.05 - 0.1 * 0.8
    inside = [interval.low <= truth <= interval.high for interval in (interval_of(sample, ()) for sample in samples)]
    assert 0.4 < np.mean(inside) < 0.9


@pytest.mark.parametrize("seeds", [2, 3])
def test_runs_that_differ_widen_the_interval_enough(seeds):
    """Patients x runs: each training run has its own quality; one patient's value is the mean over runs."""
    rng = np.random.default_rng(seeds)
    inside = []
    for _ in range(600):
        quality = rng.normal(0, 0.03, seeds)
        values = 0.05 + rng.normal(0, 0.08, 10)[:, None] + quality + rng.normal(0, 0.02, (10, seeds))
        interval = interval_of(values.mean(axis=1), [seed_variance(list(values.mean(axis=0)))])
        inside.append(interval.low <= 0.05 <= interval.high)
    assert 0.93 <= np.mean(inside) <= 0.99


@pytest.mark.parametrize(("folds", "patients", "holds"), [(2, 14, 0.82), (3, 9, 0.9), (4, 14, 0.9)])
def test_folds_whose_trainings_differ_widen_the_interval(folds, patients, holds):
    """Each fold is a training of its own quality and tests other patients; the true mean is over trainings, too.

    Two trainings say too little of how much trainings differ, whatever is computed from them.
    """
    rng = np.random.default_rng(folds)
    place = np.arange(patients) % folds
    inside = {"with": [], "without": []}
    for _ in range(400):
        values = 0.05 + rng.normal(0, 0.08, folds)[place] + rng.normal(0, 0.05, patients)
        for name, runs in (("with", [fold_variance(values, place.tolist())]), ("without", [])):
            interval = interval_of(values, runs)
            inside[name].append(interval.low <= 0.05 <= interval.high)
    assert np.mean(inside["with"]) >= holds
    assert np.mean(inside["without"]) < 0.8


@pytest.mark.parametrize("patients", [6, 9, 20])
def test_the_interval_of_a_median_holds_it_with_a_tenth_of_infinite_distances(patients):
    rng = np.random.default_rng(patients)
    samples = rng.exponential(5, (STUDIES, patients))
    samples[rng.random(samples.shape) < 0.1] = np.inf
    truth = -5 * np.log(1 - 0.5 / 0.9)
    inside = [interval.low <= truth <= interval.high for interval in map(interval_of_median, samples)]
    assert np.mean(inside) >= 0.94


@pytest.mark.parametrize("patients", [5, 6, 10, 20])
def test_sign_flips_claim_nothing_more_often_than_stated_under_the_null(patients):
    samples = np.random.default_rng(patients).normal(0, 1, (500, patients))
    assert np.mean([sign_flip(sample) < 0.05 for sample in samples]) <= 0.07


@pytest.mark.parametrize("patients", [6, 14])
def test_a_loss_of_the_margin_is_called_kept_in_a_twentieth_of_studies_at_most(patients):
    samples = np.random.default_rng(patients).normal(-0.02, 0.03, (STUDIES, patients))
    assert np.mean([equivalence(sample, 0.02, ()).kept for sample in samples]) <= 0.065


def test_what_is_truly_kept_is_called_so_where_patients_suffice():
    samples = np.random.default_rng(0).normal(0, 0.01, (200, 14))
    assert np.mean([equivalence(sample, 0.02, ()).kept for sample in samples]) > 0.95
