"""Means, intervals and paired differences, with patients as the unit of everything.

One value a patient enters, see `patient_values`. Intervals of means are those of `intervals`, p-values those of
`significance`; where a method was trained several times, the runs are a second source of variance, which every
interval of a mean asks for. Below `FEWEST` patients there is a mean or a difference and no interval, and nothing is
decided.

A distance to an answer that is empty is infinite. It is never dropped: a level of distances is a median, in which it is
the largest value, a difference of two infinite ones is none, and differences of which some are infinite are ranked:
then both p and what is shown of them, their pseudomedian, come from the ranks.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..metrics import METRICS
from .coordinates import complete, varying
from .intervals import FEWEST, LEVEL, RunVariance, interval_of, interval_of_median
from .patient_values import Person, difference_values, extended_mean, level_values, patient_levels
from .significance import pseudomedian, sign_flip

ANY = (-math.inf, math.inf)
"""The span of what may have any value."""


class Verdict(StrEnum):
    """What a paired difference shows."""

    HIGHER = "higher"
    LOWER = "lower"
    UNDECIDED = "undecided"
    TOO_FEW = "too few patients"


@dataclass(frozen=True)
class Estimate:
    """A mean over patients, or the median of distances.

    Attributes:
        mean: of the patients' values; of distances their median.
        low, high: bounds of its 95 % interval; NaN below FEWEST patients, and where a mean is infinite.
        patients: how many were averaged.
        rows: how many answers (patient, case, structure, prompt, run) are in it.
    """

    mean: float
    low: float
    high: float
    patients: int
    rows: int

    @property
    def shown(self) -> bool:
        """Whether it has an interval."""
        return not math.isnan(self.low)


@dataclass(frozen=True)
class Difference:
    """A paired difference, method minus reference, over the patients that both answered.

    Attributes:
        estimate: of the differences; its `rows` counts pairs (case, structure, prompt). Where they are ranked, its
            mean is their pseudomedian, without an interval.
        p: two-sided, of sign flips over patients; 1 when all differences are zero, NaN without patients.
        values: (patients,) the differences themselves.
        runs: what training adds to the variance of their mean.
    """

    estimate: Estimate
    p: float
    values: tuple[float, ...] = ()
    runs: tuple[RunVariance, ...] = ()

    @property
    def ranked(self) -> bool:
        """Whether some of the differences are infinite, so that all of them are ranked."""
        return any(map(math.isinf, self.values))

    @property
    def verdict(self) -> Verdict:
        """What it shows as the only question that is asked; see `judged`."""
        return self.judged(self.p)

    def judged(self, p: float) -> Verdict:
        """What it shows where `p` is its p-value, corrected for the other questions.

        Higher or lower only where p is below .05 and the interval excludes zero; where they are ranked there is no
        interval, and p decides with the sign of their pseudomedian, which is that of the ranks. Nothing below FEWEST
        patients.
        """
        estimate = self.estimate
        if estimate.patients < FEWEST:
            return Verdict.TOO_FEW
        if math.isnan(p) or p >= 1 - LEVEL:
            return Verdict.UNDECIDED
        low, high = (estimate.mean, estimate.mean) if self.ranked else (estimate.low, estimate.high)
        if low > 0:
            return Verdict.HIGHER
        return Verdict.LOWER if high < 0 else Verdict.UNDECIDED


def estimate_of(
    values: npt.ArrayLike,
    runs: Sequence[RunVariance],
    rows: int | None = None,
    *,
    distance: bool = False,
    span: tuple[float, float] = ANY,
) -> Estimate:
    """The mean of one value a patient with its interval, or the median of distances.

    Args:
        values: (patients,); missing ones are left out.
        runs: what training adds to the variance of the mean; it has no part in a median.
        rows: how many answers stand behind them; None = as many as values.
        distance: whether they are distances, of which some may be infinite.
        span: the least and the largest value that there can be; the interval ends there.
    """
    sample = np.asarray(values, np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    count = len(sample) if rows is None else rows
    if np.isinf(sample).any() and not distance:
        return Estimate(extended_mean(sample.tolist()), math.nan, math.nan, len(sample), count)
    interval = (interval_of_median(sample) if distance else interval_of(sample, runs)).within(span)
    low, high = (interval.low, interval.high) if interval.shown else (math.nan, math.nan)
    return Estimate(interval.mean, low, high, interval.count, count)


def difference_of(
    values: npt.ArrayLike,
    runs: Sequence[RunVariance],
    rows: int | None = None,
    *,
    span: tuple[float, float] = ANY,
) -> Difference:
    """A paired difference from one difference a patient; arguments as of `estimate_of`."""
    sample = np.asarray(values, np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    level = estimate_of(sample, runs, rows, span=span)
    if np.isinf(sample).any():
        level = replace(level, mean=pseudomedian(sample))
    return Difference(level, sign_flip(sample), tuple(sample.tolist()), tuple(runs))


def grouped(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """(values of the columns `by`, their rows), in order of appearance."""
    for values, rows in table.groupby(list(by), sort=False, observed=True):
        yield tuple(map(str, values)), rows


def estimate(
    rows: pd.DataFrame,
    metric: str = "dice",
    values: Mapping[Person, float] | None = None,
    *,
    span: tuple[float, float] = ANY,
) -> Estimate:
    """The mean of a metric over the patients in `rows`, all of one method; of a distance the median.

    Args:
        rows: of one method.
        metric: a column.
        values: the `patient_levels` of these rows, where they are known already.
        span: the least and the largest value of a column that is no metric.
    """
    known = METRICS.get(metric)
    span = span if known is None else known.span
    if known is not None and known.distance:
        values = patient_levels(complete(rows), metric) if values is None else values
        return estimate_of(list(values.values()), (), int(rows[metric].notna().sum()), distance=True, span=span)
    levels = level_values(rows, metric, values)
    return estimate_of(levels.sample, levels.runs, levels.answers, span=span)


def summarise(table: pd.DataFrame, by: Sequence[str], metric: str = "dice") -> pd.DataFrame:
    """Estimates for each group, in order of appearance: the columns `by`, then mean, low, high, patients, rows.

    Coordinates that several rows differ in, such as the strength of a shift, are added to `by`.
    """
    table = complete(table)
    by = [*by, *(name for name in varying(table) if name not in by)]
    summary_rows = []
    for values, rows in table.groupby(by, sort=False, observed=True):
        summary_rows.append({**dict(zip(by, values, strict=True)), **vars(estimate(rows, metric))})
    return pd.DataFrame(summary_rows, columns=[*by, "mean", "low", "high", "patients", "rows"])


def difference(table: pd.DataFrame, method: str, reference: str, metric: str = "dice") -> Difference:
    """Paired difference over patients, with its interval, its p-value and what training adds to its variance."""
    values = difference_values(table, method, reference, metric)
    low, high = METRICS[metric].span if metric in METRICS else ANY
    return difference_of(values.sample, values.runs, values.answers, span=(low - high, high - low))
