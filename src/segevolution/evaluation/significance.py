"""Tests of paired differences over patients: sign flips, Holm's correction, and equivalence.

A study names one primary question before it is run; its p stands as it is. All other questions are corrected together
(Holm 1979). That something was kept is shown by equivalence: an interval that lies inside a margin, not a difference
that was not found.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from .intervals import FEWEST, LEVEL, RunVariance, interval_of

_EXACT = 14  # differences up to which all sign flips are counted; beyond, they are drawn
_DRAWS = 10_000

Alternative = Literal["two-sided", "greater", "less"]


def sign_flip(differences: npt.ArrayLike, alternative: Alternative = "two-sided", seed: int = 0) -> float:
    """Fisher's randomisation test: p that the mean is so far from zero where each patient's sign is a coin.

    Infinite differences (a distance to an empty answer) are ranked with the others, as in Wilcoxon's signed ranks;
    finite ones enter by their size.

    Args:
        differences: (patients,); missing ones (NaN) are left out.
        alternative: "greater" tests whether the mean is above zero.
        seed: of the flips, where there are too many to count.

    Returns:
        p in (0, 1]; 1 where all differences are zero, NaN without patients.
    """
    values = np.asarray(differences, np.float64).reshape(-1)
    values = values[~np.isnan(values)]
    if not values.size:
        return math.nan
    if not values.any():
        return 1.0
    if np.isinf(values).any():
        values = np.sign(values) * stats.rankdata(np.abs(values))
    observed = values.sum()
    if values.size <= _EXACT:
        sums, extra = _all_signs(values.size) @ values, 0
    else:
        sums, extra = _some_signs(values.size, seed) @ values, 1
    slack = 1e-9 * np.abs(values).sum()
    if alternative == "greater":
        hits = sums >= observed - slack
    elif alternative == "less":
        hits = sums <= observed + slack
    else:
        hits = np.abs(sums) >= abs(observed) - slack
    return float((hits.sum() + extra) / (len(sums) + extra))


def pseudomedian(differences: npt.ArrayLike) -> float:
    """The median of the means of all pairs, each value with itself among them (Hodges and Lehmann 1963).

    What `sign_flip` tests of infinite differences: their signed ranks are as many above zero as such means are, so that
    it never points against the test.

    Args:
        differences: (patients,), at least one; two opposite infinite ones have the mean 0.
    """
    values = np.asarray(differences, np.float64).reshape(-1)
    first, second = np.triu_indices(values.size)
    opposite = np.isinf(values[first]) & (values[first] == -values[second])
    means = np.where(opposite, 0.0, values[first] + np.where(opposite, 0.0, values[second])) / 2
    means.sort()
    middle = means[(means.size - 1) // 2], means[means.size // 2]
    if middle[0] == -middle[1]:
        return 0.0
    return float(middle[0] if middle[0] == middle[1] else (middle[0] + middle[1]) / 2)


@functools.lru_cache(maxsize=16)
def _all_signs(count: int) -> npt.NDArray[np.float64]:
    return np.array(list(itertools.product((1.0, -1.0), repeat=count)))


@functools.lru_cache(maxsize=8)
def _some_signs(count: int, seed: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(seed).choice((1.0, -1.0), (_DRAWS, count))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (1979): question -> corrected p, at most 1; NaN stays and counts for nothing."""
    ranked = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    corrected: dict[str, float] = dict.fromkeys(p_values, math.nan)
    largest = 0.0
    for place, (p, name) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - place) * p))
        corrected[name] = largest
    return corrected


@dataclass(frozen=True)
class Equivalence:
    """Whether a mean difference lies inside a margin on both sides.

    Attributes:
        mean: of the differences, method minus reference.
        low, high: bounds of which each holds in `LEVEL` of all studies; NaN for fewer than two patients.
        margin: the largest difference that counts as none, positive.
        patients: how many.
        p_loss: that a true loss of the margin would look so small.
        p_gain: that a true gain of the margin would look so small.
    """

    mean: float
    low: float
    high: float
    margin: float
    patients: int
    p_loss: float
    p_gain: float

    @property
    def p(self) -> float:
        """Of both one-sided tests together: the larger."""
        return max(self.p_loss, self.p_gain)

    @property
    def not_worse(self) -> bool:
        """Whether the loss is below the margin beyond the stated chance."""
        return self.patients >= FEWEST and self.low > -self.margin

    @property
    def kept(self) -> bool:
        """Whether the difference is below the margin on both sides beyond the stated chance."""
        return self.not_worse and self.high < self.margin

    @property
    def lost(self) -> bool:
        """Whether a loss of more than the margin is shown."""
        return self.patients >= FEWEST and self.high < -self.margin


def equivalence(
    differences: npt.ArrayLike, margin: float, runs: Sequence[RunVariance], *, level: float = LEVEL
) -> Equivalence:
    """Two one-sided tests (Schuirmann 1987): is the mean above -margin, and is it below margin?

    The interval at `2 * level - 1` is two-sided, so that each of its bounds is one-sided at `level`. The p-values are
    of t tests; where the bounds are wider than Student's, the bounds decide.

    Args:
        differences: (patients,), finite; missing ones (NaN) are left out.
        margin: in the unit of the differences.
        runs: see `interval_of`.
        level: of each test.

    Raises:
        ValueError: the margin is not positive, or a difference is infinite.
    """
    if not margin > 0:
        raise ValueError(f"a margin of {margin:g} keeps nothing; give a positive one.")
    interval = interval_of(differences, runs, level=2 * level - 1)
    mean, count, error = interval.mean, interval.count, interval.error
    if count < 2:
        return Equivalence(mean, math.nan, math.nan, margin, count, math.nan, math.nan)
    if error <= 1e-12:
        tails = (0.0 if mean > -margin else 1.0, 0.0 if mean < margin else 1.0)
    else:
        tails = (
            float(stats.t.sf((mean + margin) / error, count - 1)),
            float(stats.t.sf((margin - mean) / error, count - 1)),
        )
    return Equivalence(mean, interval.low, interval.high, margin, count, *tails)
