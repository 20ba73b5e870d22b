"""Means, intervals and paired differences, with patients as the unit of everything.

Structures, cases and seeds of one patient are not independent, so they never enter a statistic side by side:
values are averaged over runs (seeds, folds) of a method first, then over a patient's cases, then over the
patient's structures, and one value a patient is left. Intervals of means are those of `intervals`, p-values those of
`significance`; where a method was trained several times, the runs are a second source of variance. Below `FEWEST`
patients there is a mean or a difference and no interval, and nothing is decided.

A distance to an answer that is empty is infinite. It is never dropped: a level of distances is a median, in which it is
the largest value, a difference of two infinite ones is none, and differences of which some are infinite are ranked:
then both p and what is shown of them, their pseudomedian, come from the ranks.
"""

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean, median
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..metrics import METRICS
from .coordinates import QUESTION, complete, require_one, varying
from .intervals import FEWEST, LEVEL, RunVariance, fold_variance, interval_of, interval_of_median, seed_variance
from .significance import pseudomedian, sign_flip

Person = tuple[str, str]
"""Dataset and patient."""


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
    rows: int | None = None,
    runs: Sequence[RunVariance] = (),
    *,
    distance: bool = False,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """The mean of one value a patient with its interval, or the median of distances.

    Args:
        values: (patients,); missing ones are left out.
        rows: how many answers stand behind them; None = as many as values.
        runs: what training adds to the variance of the mean.
        distance: whether they are distances, of which some may be infinite.
        span: the least and the largest value that there can be; the interval ends there.
    """
    sample = np.asarray(values, np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    count = len(sample) if rows is None else rows
    if np.isinf(sample).any() and not distance:
        return Estimate(_mean(sample.tolist()), math.nan, math.nan, len(sample), count)
    interval = (interval_of_median(sample) if distance else interval_of(sample, runs=runs)).within(span)
    low, high = (interval.low, interval.high) if interval.shown else (math.nan, math.nan)
    return Estimate(interval.mean, low, high, interval.count, count)


def difference_of(
    values: npt.ArrayLike,
    rows: int | None = None,
    runs: Sequence[RunVariance] = (),
    *,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> Difference:
    """A paired difference from one difference a patient; arguments as of `estimate_of`."""
    sample = np.asarray(values, np.float64).reshape(-1)
    sample = sample[~np.isnan(sample)]
    level = estimate_of(sample, rows, runs, span=span)
    if np.isinf(sample).any():
        level = replace(level, mean=pseudomedian(sample))
    return Difference(level, sign_flip(sample), tuple(sample.tolist()), tuple(runs))


def by_patient(rows: pd.DataFrame, metric: str = "dice", *, distance: bool = False) -> dict[Person, float]:
    """(dataset, patient) -> one value, sorted: runs averaged first, then a structure's answers, then structures.

    Args:
        rows: of one method, or paired differences.
        metric: the column.
        distance: whether medians are taken in place of means.

    Raises:
        ValueError: the rows differ in a coordinate that is never averaged over, such as the strength of a shift.
    """
    return _of_complete(complete(rows), metric, distance=distance)


def _of_complete(rows: pd.DataFrame, metric: str, *, distance: bool = False) -> dict[Person, float]:
    """`by_patient` of rows of a complete table."""
    require_one(rows)
    columns = (*_PLACE, metric)
    return _by_patient(zip(*(rows[name].tolist() for name in columns), strict=True), distance=distance)


_PLACE = ("dataset", "patient", "structure", "case", "prompt", "context", "prompt_seed")


def _by_patient(answers: Iterable[tuple[Any, ...]], *, distance: bool = False) -> dict[Person, float]:
    """One value a patient, of (what _PLACE names, value)."""
    people: dict[Person, dict[str, dict[tuple[str, ...], list[float]]]] = {}
    for dataset, patient, structure, *answer, value in answers:
        if not math.isnan(value):
            structures = people.setdefault((dataset, patient), {})
            structures.setdefault(structure, {}).setdefault(tuple(answer), []).append(value)
    centre = median if distance else _mean
    return {
        person: centre([centre([centre(values) for values in answers.values()]) for answers in structures.values()])
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


def patient_levels(rows: pd.DataFrame, metric: str = "dice") -> dict[Person, float]:
    """(dataset, patient) -> the value that `estimate` averages, or of a distance takes the median of.

    Args:
        rows: of one method, of a complete table.
        metric: a column.
    """
    return _of_complete(rows, metric, distance=metric in METRICS and METRICS[metric].distance)


def estimate(rows: pd.DataFrame, metric: str = "dice", values: Mapping[Person, float] | None = None) -> Estimate:
    """The mean of a metric over the patients in `rows`, all of one method; of a distance the median.

    Args:
        rows: of one method.
        metric: a column.
        values: the `patient_levels` of these rows, where they are known already.
    """
    distance = metric in METRICS and METRICS[metric].distance
    span = METRICS[metric].span if metric in METRICS else (-math.inf, math.inf)
    values = patient_levels(complete(rows), metric) if values is None else values
    count = int(rows[metric].notna().sum())
    if distance:
        return estimate_of(list(values.values()), count, distance=True, span=span)
    finite = all(map(math.isfinite, values.values()))
    runs = _run_variances(values, _seed_values(rows, metric), _runs_of(rows)) if finite else ()
    return estimate_of(list(values.values()), count, runs, span=span)


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
    pairs = _pairs(complete(table), method, reference, metric)
    return pd.DataFrame([(*key, value) for key, value in pairs.items()], columns=[*QUESTION, metric])


def _pairs(rows: pd.DataFrame, method: str, reference: str, metric: str) -> dict[tuple[Any, ...], float]:
    """What QUESTION names -> difference, of complete rows."""
    sides: dict[str, dict[tuple[Any, ...], list[float]]] = {method: {}, reference: {}}
    columns = ("method", *QUESTION, metric)
    for name, *key, value in zip(*(rows[column].tolist() for column in columns), strict=True):
        if name in sides and not math.isnan(value):
            sides[name].setdefault(tuple(key), []).append(value)
    pairs = {}
    for question, values in sides[method].items():
        others = sides[reference].get(question)
        if others is not None:
            # From one of the reference's values on, so that equal runs differ by 0 and not by rounding.
            start = others[0] if math.isfinite(others[0]) else 0.0
            means = [fmean([value - start for value in side]) for side in (values, others)]
            pairs[question] = 0.0 if means[0] == means[1] else means[0] - means[1]  # two infinite distances, too
    return pairs


def difference(table: pd.DataFrame, method: str, reference: str, metric: str = "dice") -> Difference:
    """Paired difference over patients, with its interval, its p-value and what training adds to its variance."""
    rows = complete(table)
    rows = rows[rows["method"].isin([method, reference])]
    pairs = _pairs(rows, method, reference, metric)
    if pairs:
        require_one(rows[rows[metric].notna()])
    values = _by_patient(_placed(pairs))
    runs: tuple[RunVariance, ...] = ()
    if len(values) > 1 and all(map(math.isfinite, values.values())):
        sides = {name: rows[rows["method"] == name] for name in (method, reference)}
        tested = {name: _runs_of(side) for name, side in sides.items()}
        both = {person: tuple(tested[name].get(person) for name in sides) for person in values}
        seeds = [
            [_by_patient(_placed(_pairs(_of_seed(rows, name, seed), method, reference, metric))) for seed in several]
            for name, side in sides.items()
            if len(several := sorted(side["seed"].dropna().unique())) > 1
        ]
        runs = _run_variances(values, seeds, both)
    low, high = METRICS[metric].span if metric in METRICS else (-math.inf, math.inf)
    return difference_of(list(values.values()), len(pairs), runs, span=(low - high, high - low))


def _placed(pairs: Mapping[tuple[Any, ...], float]) -> Iterator[tuple[Any, ...]]:
    """The pairs as `_by_patient` takes them."""
    places = [QUESTION.index(name) for name in _PLACE]
    for question, value in pairs.items():
        yield (*(question[place] for place in places), value)


def _of_seed(table: pd.DataFrame, method: str, seed: int) -> pd.DataFrame:
    """The table with one of a method's seeds."""
    return table[(table["method"] != method) | (table["seed"] == seed)]


def _seed_values(rows: pd.DataFrame, metric: str) -> list[list[dict[Person, float]]]:
    """The patients' values of each seed, where there are several."""
    seeds = sorted(rows["seed"].dropna().unique())
    return [[by_patient(rows[rows["seed"] == seed], metric) for seed in seeds]] if len(seeds) > 1 else []


def _runs_of(rows: pd.DataFrame) -> dict[Person, frozenset[str]]:
    """Which runs tested each patient."""
    tested: dict[Person, set[str]] = {}
    for dataset, patient, run in set(
        zip(*(rows[name].tolist() for name in ("dataset", "patient", "run")), strict=True)
    ):
        tested.setdefault((str(dataset), str(patient)), set()).add(str(run))
    return {person: frozenset(runs) for person, runs in tested.items()}


def _run_variances(
    values: Mapping[Person, float], seeds: Sequence[Sequence[dict[Person, float]]], folds: Mapping[Person, Hashable]
) -> tuple[RunVariance, ...]:
    """What training adds: of seeds (one list a method that has several) or of folds, whichever is more.

    A fold's part holds its seeds' share, so that the sum of both would count it twice.
    """
    parts = []
    for one in seeds:
        common = set(values).intersection(*one)
        if common:
            part = seed_variance([fmean(means[person] for person in sorted(common)) for means in one])
            parts += [part] if part is not None else []
    of_folds = fold_variance(list(values.values()), [folds.get(person) for person in values])
    if of_folds is not None and of_folds.variance > sum(part.variance for part in parts):
        return (of_folds,)
    return tuple(parts)
