"""Means, intervals and paired differences, with patients as the unit of everything.

Structures, cases and seeds of one patient are not independent, so they never enter a statistic side by side:
values are averaged over runs (seeds, folds) of a method first, then over a patient's cases, then over the
patient's structures, and only patients are resampled (percentile bootstrap, Efron and Tibshirani 1993) or ranked
(Wilcoxon 1945). With few patients such intervals are too narrow: `n` stands beside each, and below `FEW` patients
a two-sided Wilcoxon test cannot reach p = .05 at all.

A distance to an answer that is empty is infinite. It is never dropped: it makes a mean infinite, it is worse than any
finite distance, and a difference of two infinite ones is none.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from .coordinates import QUESTION, complete, require_one, varying
from .significance import sign_flip

DRAWS = 10_000
LEVEL = 0.95
FEW = 6


@dataclass(frozen=True)
class Estimate:
    """A mean over patients.

    Attributes:
        mean: of the patients' values.
        low, high: bounds of its 95 % bootstrap interval; NaN for fewer than two patients, or where a value is infinite.
        patients: how many were averaged.
        rows: how many answers (patient, case, structure, prompt, run) are in it.
    """

    mean: float
    low: float
    high: float
    patients: int
    rows: int


@dataclass(frozen=True)
class Difference:
    """A paired difference, method minus reference, over the patients that both answered.

    Attributes:
        estimate: of the differences; its `rows` counts pairs (case, structure, prompt).
        p: two-sided Wilcoxon signed-rank over patients; 1 when all differences are zero, NaN without patients. Where
            some are infinite it is that of sign flips over all ranks, which alone then decides.
    """

    estimate: Estimate
    p: float

    @property
    def verdict(self) -> str:
        """ "higher" or "lower" when the interval excludes zero, else "undecided"; nothing is claimed below FEW."""
        if self.estimate.patients < FEW:
            return "too few patients"
        if math.isinf(self.estimate.mean) and self.p < 1 - LEVEL:
            return "higher" if self.estimate.mean > 0 else "lower"
        if self.estimate.low > 0:
            return "higher"
        return "lower" if self.estimate.high < 0 else "undecided"


def bootstrap(values: npt.ArrayLike, rows: int | None = None, seed: int = 0) -> Estimate:
    """Mean of one value a patient, with a percentile bootstrap interval over patients.

    Args:
        values: (patients,); missing ones are left out.
        rows: how many answers stand behind them; None = as many as values.
        seed: of the resampling.
    """
    sample = np.asarray(values, np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    count = len(sample) if rows is None else rows
    if sample.size == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, count)
    if sample.size == 1:
        return Estimate(float(sample[0]), np.nan, np.nan, 1, count)
    if np.isinf(sample).any():
        return Estimate(_mean(sample.tolist()), np.nan, np.nan, len(sample), count)
    resampled_rows = np.random.default_rng(seed).integers(0, sample.size, (DRAWS, sample.size))
    low, high = np.quantile(sample[resampled_rows].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(sample.mean()), float(low), float(high), len(sample), count)


def by_patient(rows: pd.DataFrame, metric: str = "dice") -> dict[tuple[str, str], float]:
    """(dataset, patient) -> one value, sorted: runs averaged first, then a structure's answers, then structures.

    Raises:
        ValueError: the rows differ in a coordinate that is never averaged over, such as the strength of a shift.
    """
    rows = complete(rows)
    require_one(rows)
    columns = ("dataset", "patient", "structure", "case", "prompt", "context", "prompt_seed", metric)
    people: dict[tuple[str, str], dict[str, dict[tuple[str, ...], list[float]]]] = {}
    for dataset, patient, structure, *answer, value in zip(*(rows[name].tolist() for name in columns), strict=True):
        if not math.isnan(value):
            structures = people.setdefault((dataset, patient), {})
            structures.setdefault(structure, {}).setdefault(tuple(answer), []).append(value)
    return {
        person: _mean([_mean([_mean(values) for values in answers.values()]) for answers in structures.values()])
        for person, structures in sorted(people.items())
    }


def _mean(values: Sequence[float]) -> float:
    """Their mean; infinite where one is, and where both infinities are, that of which there are more, or neither."""
    infinite = [value for value in values if math.isinf(value)]
    if not infinite:
        return fmean(values)
    balance = sum(math.copysign(1, value) for value in infinite)
    if balance:
        return math.copysign(math.inf, balance)
    return fmean([value for value in values if math.isfinite(value)] or [0.0])


def grouped(table: pd.DataFrame, by: Sequence[str]) -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """(values of the columns `by`, their rows), in order of appearance."""
    for values, rows in table.groupby(list(by), sort=False, observed=True):
        yield tuple(map(str, values)), rows


def estimate(rows: pd.DataFrame, metric: str = "dice") -> Estimate:
    """The mean of a metric over the patients in `rows`."""
    return bootstrap(list(by_patient(rows, metric).values()), rows=int(rows[metric].notna().sum()))


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


def paired(table: pd.DataFrame, method: str, reference: str, metric: str = "dice") -> pd.DataFrame:
    """Differences method - reference on the same questions; columns of QUESTION and `metric`, one row a pair.

    Each side is averaged over its runs first, so that a method with three seeds weighs as much as one.
    """
    keys = list(QUESTION)
    measured_rows = complete(table).dropna(subset=[metric]).set_index(keys)
    sides = [measured_rows.loc[measured_rows["method"] == name, metric] for name in (method, reference)]
    # From one of the reference's values on, so that equal runs differ by 0 and not by the rounding of their means.
    start = sides[1].replace([np.inf, -np.inf], 0.0).groupby(level=keys, observed=True).first()
    means = [(side - start.reindex(side.index)).groupby(level=keys, observed=True).mean().dropna() for side in sides]
    joined = pd.concat(means, axis=1, join="inner", keys=["method", "reference"])
    equal = joined["method"] == joined["reference"]  # two infinite distances, too
    return (joined["method"] - joined["reference"]).mask(equal, 0.0).rename(metric).reset_index()


def difference(table: pd.DataFrame, method: str, reference: str, metric: str = "dice") -> Difference:
    """Paired difference over patients, with its interval and Wilcoxon's p."""
    pairs = paired(table, method, reference, metric)
    values = np.array(list(by_patient(pairs, metric).values()))
    if values.size == 0:
        p = float("nan")
    elif not np.any(values):
        p = 1.0
    elif np.isinf(values).any():
        p = sign_flip(values)
    else:
        p = float(stats.wilcoxon(values).pvalue)
    return Difference(bootstrap(values, rows=len(pairs)), p)
