"""Confidence intervals of means over few patients.

The percentile bootstrap is too narrow for few patients (it covers .81 at 4 and .87 at 7 where .95 is stated).
Student's t covers .95 on normal values and .88 to .92 on skewed ones; the studentised bootstrap (Efron and Tibshirani
1993, chapter 12.5) follows the skew but varies with the sample. The wider of both on each side covers .93 to .97 at 4
to 20 patients on normal and on skewed values; `tests/evaluation/test_coverage.py` simulates it. No interval holds where
a tenth of the patients fails altogether: that is simulated there, too.

A share of patients has the exact interval of the binomial (Clopper and Pearson 1934).

A median, for distances that may be infinite, has the interval of its order statistics (Conover 1999, chapter 3.2).

Training is a second source of variance beside the patients: `seed_variance` and `fold_variance` estimate it.
"""

import functools
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95
DRAWS = 2000
FEWEST = 6
"""Below so many patients reports show dots and no interval, and nothing is decided."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean or median and the interval that holds the true one in `level` of all studies.

    Attributes:
        mean: of the values; of `interval_of_median` the median.
        low, high: bounds; NaN where there are too few values for any.
        error: standard error of the mean, with the runs' part where there is one; NaN for a median and for fewer than
            two values.
        count: values, one a patient.
    """

    mean: float
    low: float
    high: float
    error: float
    count: int

    @property
    def shown(self) -> bool:
        """Whether a report shows bounds: not below FEWEST patients."""
        return self.count >= FEWEST and not math.isnan(self.low)

    def within(self, span: tuple[float, float]) -> "Interval":
        """The interval without what lies beyond the values that there can be; it holds the true one as often."""
        if math.isnan(self.low):
            return self
        return replace(self, low=max(self.low, span[0]), high=min(self.high, span[1]))


@dataclass(frozen=True)
class RunVariance:
    """What training runs add to the variance of a mean over patients.

    Attributes:
        variance: of the mean, not of one run; 0 where runs differ no more than by chance.
        freedom: degrees of freedom that it is estimated with.
    """

    variance: float
    freedom: float


def interval_of(values: npt.ArrayLike, runs: Sequence[RunVariance], *, level: float = LEVEL, seed: int = 0) -> Interval:
    """The interval of a mean: on each side the wider of Student's t and the studentised bootstrap.

    In the bootstrap each resample's mean is divided by its own standard error; the quantiles of that ratio take the
    place of Student's. Values that are all the same have an interval without width.

    Args:
        values: (patients,), each patient's value averaged over its runs; missing ones (NaN) are left out.
        runs: what training adds, empty for values that no training stands behind: the standard error becomes the root
            of all variances' sum, and the bounds widen for the few degrees of freedom of the runs (Welch and
            Satterthwaite).
        level: of confidence.
        seed: of the resampling.

    Raises:
        ValueError: a value is infinite.
    """
    sample = _present(values)
    if np.isinf(sample).any():
        raise ValueError("a mean of infinite values has no interval; rank them instead.")
    count = sample.size
    if count < 2:
        mean = float(sample.mean()) if count else math.nan
        return Interval(mean, math.nan, math.nan, math.nan, count)
    mean = float(sample.mean())
    patients = float(sample.std(ddof=1)) / math.sqrt(count)
    added = [run for run in runs if run.variance > 0]
    error, widening = _with_runs(patients, count, added, level)
    if patients <= 1e-12 * max(1.0, abs(mean)):
        freedom = min((run.freedom for run in added), default=1.0)
        reach = float(stats.t.ppf((1 + level) / 2, freedom)) * error if added else 0.0
        return Interval(mean, mean - reach, mean + reach, error, count)
    low, high = _ratios(sample, level, seed)
    scale = error * widening
    return Interval(mean, mean - high * scale, mean - low * scale, error, count)


def interval_of_share(shares: npt.ArrayLike, runs: Sequence[RunVariance], *, level: float = LEVEL) -> Interval:
    """The mean of shares in [0, 1], one a patient, with the exact interval of as many yes and no (Clopper 1934).

    Of shares that are no plain 0 or 1 it holds more than `level`, since they vary less. Never without width: that
    nobody of six did shows no share of 0. Where runs add to the variance, it is on each side the wider of the exact one
    and `interval_of`.

    Args:
        shares: (patients,); missing ones (NaN) are left out.
        runs: what training adds, see `interval_of`.
        level: of confidence.
    """
    sample = _present(shares)
    count, total = sample.size, float(sample.sum())
    if not count:
        return Interval(math.nan, math.nan, math.nan, math.nan, 0)
    tail = (1 - level) / 2
    low = float(stats.beta.ppf(tail, total, count - total + 1)) if total > 0 else 0.0
    high = float(stats.beta.isf(tail, total + 1, count - total)) if total < count else 1.0
    exact = Interval(total / count, low, high, math.nan, count)
    if count < 2 or not any(run.variance > 0 for run in runs):
        return exact
    over_runs = interval_of(sample, runs, level=level).within((0.0, 1.0))
    return replace(exact, low=min(low, over_runs.low), high=max(high, over_runs.high))


def interval_of_median(values: npt.ArrayLike, *, level: float = LEVEL) -> Interval:
    """The median, infinite values ranked with the others, between two order statistics; it holds at least `level`.

    Over patients alone: what training runs add to the variance of a median is not known here, so a report says so.

    Args:
        values: (patients,), of which some may be infinite; missing ones (NaN) are left out.
        level: of confidence; below 6 values no two of them hold .95, and there are no bounds.
    """
    sample = np.sort(_present(values))
    count = sample.size
    if not count:
        return Interval(math.nan, math.nan, math.nan, math.nan, 0)
    middle = sample[(count - 1) // 2], sample[count // 2]
    median = float(middle[0]) if middle[0] == middle[1] else float(sum(middle) / 2)
    cut = int(stats.binom.ppf((1 - level) / 2, count, 0.5))  # values left out on each side, at most
    while cut > 0 and 2 * stats.binom.cdf(cut - 1, count, 0.5) > 1 - level:
        cut -= 1
    if cut < 1:
        return Interval(median, math.nan, math.nan, math.nan, count)
    return Interval(median, float(sample[cut - 1]), float(sample[count - cut]), math.nan, count)


def seed_variance(means: Sequence[float]) -> RunVariance | None:
    """What trainings with different seeds add: `means` holds that of each seed over the same patients."""
    if len(means) < 2:
        return None
    return RunVariance(float(np.var(means, ddof=1)) / len(means), len(means) - 1)


def fold_variance(values: npt.ArrayLike, folds: Sequence[Hashable]) -> RunVariance | None:
    """What trainings of different folds add, each of which tested other patients.

    The component of variance between the folds beyond that between patients (one-way random effects, Searle et al.
    1992), which is 0 where folds differ no more than patients do. Folds share training patients, so that even this is
    too small (Bengio and Grandvalet 2004).

    Args:
        values: (patients,).
        folds: which of the runs tested each patient.
    """
    sample = np.asarray(values, np.float64).reshape(-1)
    groups = [sample[[fold == name for fold in folds]] for name in dict.fromkeys(folds)]
    count, runs = sample.size, len(groups)
    if runs < 2 or count <= runs:
        return None
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (count - runs)
    between = sum(group.size * float(group.mean() - sample.mean()) ** 2 for group in groups) / (runs - 1)
    return RunVariance(max(0.0, between - within) / count, runs - 1)


def _present(values: npt.ArrayLike) -> Numbers:
    sample = np.asarray(values, np.float64).reshape(-1)
    return sample[~np.isnan(sample)]


@functools.lru_cache(maxsize=64)
def _draws(count: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(0, count, (DRAWS, count))


@functools.lru_cache(maxsize=256)
def _student(quantile: float, freedom: float) -> float:
    return float(stats.t.ppf(quantile, freedom))


def _ratios(sample: Numbers, level: float, seed: int) -> tuple[float, float]:
    """Bounds of (resampled mean - mean) / resampled standard error, no narrower than Student's.

    Below 5 values the bootstrap is some 1.8 times as wide as Student's in the median, and the wider of both would
    cover .975; there it is held to Student's at twice the error only.
    """
    count = sample.size
    resamples = sample[_draws(count, seed)]
    errors = resamples.std(axis=1, ddof=1) / math.sqrt(count)
    varied = errors > 1e-9 * float(sample.std())
    ratios = (resamples.mean(axis=1)[varied] - sample.mean()) / errors[varied]
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    student = _student((1 + level) / 2 if count >= 5 else level, count - 1)
    return min(float(low), -student), max(float(high), student)


def _with_runs(patients: float, count: int, runs: Sequence[RunVariance], level: float) -> tuple[float, float]:
    """The standard error of all sources, and by how much their degrees of freedom widen a bound."""
    variance = patients**2 + sum(run.variance for run in runs)
    error = math.sqrt(variance)
    if not runs or not patients:
        return error, 1.0
    freedom = variance**2 / (patients**4 / (count - 1) + sum(run.variance**2 / run.freedom for run in runs))
    quantile = (1 + level) / 2
    return error, max(1.0, _student(quantile, round(freedom, 3)) / _student(quantile, count - 1))
