"""Tests of paired differences over patients: sign flips, Holm's correction, and equivalence.

A study names one primary question before it is run; its p stands as it is. All other questions are corrected together
(Holm 1979). That something was kept is shown by equivalence: an interval that lies inside a margin, not a difference
that was not found.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from .intervals import LEVEL, interval_of

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
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=values.size)))
        sums, extra = signs @ values, 0
    else:
        signs = np.random.default_rng(seed).choice((1.0, -1.0), (_DRAWS, values.size))
        sums, extra = signs @ values, 1
    slack = 1e-9 * np.abs(values).sum()
    if alternative == "greater":
        hits = sums >= observed - slack
    elif alternative == "less":
        hits = sums <= observed + slack
    else:
        hits = np.abs(sums) >= abs(observed) - slack
    return float((hits.sum() + extra) / (len(sums) + extra))


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
    """Whether a loss stays inside a margin.

    Attributes:
        mean: of the differences, method minus reference.
        low: one-sided lower bound: the true mean lies above it in `LEVEL` of all studies.
        margin: the largest loss that counts as kept, positive.
        patients: how many.
        p: that a true loss of the margin would look so small (one-sided t test against -margin).
    """

    mean: float
    low: float
    margin: float
    patients: int
    p: float

    @property
    def kept(self) -> bool:
        """Whether the loss is below the margin beyond the stated chance."""
        return self.patients >= 2 and self.low > -self.margin


def not_worse(differences: npt.ArrayLike, margin: float, *, level: float = LEVEL) -> Equivalence:
    """The half of two one-sided tests (Schuirmann 1987) that speaks of losses: is the mean above -margin?

    The interval at `2 * level - 1` is two-sided, so that its lower bound is one-sided at `level`.

    Raises:
        ValueError: the margin is not positive.
    """
    if not margin > 0:
        raise ValueError(f"a margin of {margin:g} keeps nothing; give a positive one.")
    sample = np.asarray(differences, np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    interval = interval_of(sample, level=2 * level - 1)
    if interval.count < 2:
        return Equivalence(interval.mean, math.nan, margin, interval.count, math.nan)
    if interval.error <= 1e-12:
        p = 0.0 if interval.mean > -margin else 1.0
    else:
        p = float(stats.t.sf((interval.mean + margin) / interval.error, interval.count - 1))
    return Equivalence(interval.mean, interval.low, margin, interval.count, p)


def equivalent(differences: npt.ArrayLike, margin: float, *, level: float = LEVEL) -> bool:
    """Both one-sided tests: the mean lies inside (-margin, margin) beyond the stated chance."""
    sample = np.asarray(differences, np.float64).reshape(-1)
    return not_worse(sample, margin, level=level).kept and not_worse(-sample, margin, level=level).kept
