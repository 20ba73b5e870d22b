"""The value of each patient, and what it would be with each training run alone.

Structures, cases and seeds of one patient are not independent, so they never enter a statistic side by side: values
are averaged over runs (seeds, folds) of a method first, then over a patient's cases, then over the patient's
structures, and one value a patient is left. Where a method was trained several times, the runs are a second source of
variance: it goes with the values, so that no interval of them leaves it out.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Any

import numpy as np
import pandas as pd

from ..metrics import METRICS
from .coordinates import QUESTION, complete, require_one
from .intervals import Numbers, RunVariance, fold_variance, seed_variance

Person = tuple[str, str]
"""Dataset and patient."""

ValuesOf = Callable[[pd.DataFrame], Mapping[Person, float]]
"""Rows -> one value a patient."""


@dataclass(frozen=True, eq=False)
class PatientValues:
    """One value a patient, with its training runs.

    Attributes:
        values: (dataset, patient) -> value, averaged over runs; sorted.
        answers: how many rows, or pairs of rows, stand behind them.
        by_seed: method -> seed -> the values with that seed of the method alone; only of methods with several.
        tested_by: (dataset, patient) -> the runs that tested the patient.
    """

    values: Mapping[Person, float]
    answers: int
    by_seed: Mapping[str, Mapping[int, Mapping[Person, float]]]
    tested_by: Mapping[Person, Hashable]

    @property
    def sample(self) -> Numbers:
        """(patients,): the values alone."""
        return np.array(list(self.values.values()), np.float64)

    @property
    def runs(self) -> tuple[RunVariance, ...]:
        """What training adds to the variance of their mean: of seeds or of folds, whichever is more.

        A fold's part holds its seeds' share, so that the sum of both would count it twice. Empty where a value is
        infinite: such values have no mean.
        """
        if not all(map(math.isfinite, self.values.values())):
            return ()
        parts = []
        for seeds in self.by_seed.values():
            common = sorted(set(self.values).intersection(*seeds.values()))
            if common:
                part = seed_variance([fmean(values[person] for person in common) for values in seeds.values()])
                parts += [part] if part is not None else []
        of_folds = fold_variance(list(self.values.values()), [self.tested_by.get(person) for person in self.values])
        if of_folds is not None and of_folds.variance > sum(part.variance for part in parts):
            return (of_folds,)
        return tuple(parts)

    def only(self, people: Iterable[Person]) -> "PatientValues":
        """Those of some patients, in their order."""
        return replace(self, values={person: self.values[person] for person in people})


def patient_values(rows: pd.DataFrame, values_of: ValuesOf) -> PatientValues:
    """What a function makes of rows, and of the rows with each seed of each method alone.

    Args:
        rows: of a complete table.
        values_of: averages over the runs that it is given.
    """
    return _with_runs(rows, values_of(rows), len(rows), values_of)


def level_values(
    rows: pd.DataFrame, metric: str = "dice", values: Mapping[Person, float] | None = None
) -> PatientValues:
    """The patients' means of a metric, with the runs behind them.

    Args:
        rows: of one method, which differ in no coordinate that is never averaged over.
        metric: a column.
        values: the means, where they are known already.
    """
    rows = complete(rows)
    values = _of_complete(rows, metric) if values is None else values
    return _with_runs(rows, values, int(rows[metric].notna().sum()), lambda part: _of_complete(part, metric))


def difference_values(table: pd.DataFrame, method: str, reference: str, metric: str = "dice") -> PatientValues:
    """Differences method - reference over the questions that both answered, with the runs behind them.

    Args:
        table: whose rows of the two methods differ in no coordinate that is never averaged over.
        method, reference: by name.
        metric: a column.
    """
    rows = complete(table)
    rows = rows[rows["method"].isin([method, reference])]
    pairs = _pairs(rows, method, reference, metric)
    if pairs:
        require_one(rows[rows[metric].notna()])
    values = _by_patient(_placed(pairs))
    return _with_runs(
        rows, values, len(pairs), lambda part: _by_patient(_placed(_pairs(part, method, reference, metric)))
    )


def combine(places: Sequence[PatientValues], of: Callable[[Numbers], Numbers]) -> PatientValues:
    """One value a patient out of those at several places, such as the area below a curve.

    Args:
        places: of the same methods; only the patients and seeds that all of them have are taken.
        of: (patients, places) -> (patients,).
    """
    values = _combined([place.values for place in places], of)
    by_seed = {
        method: {
            seed: _combined([place.by_seed[method][seed] for place in places], of)
            for seed in seeds
            if all(seed in place.by_seed.get(method, {}) for place in places)
        }
        for method, seeds in places[0].by_seed.items()
    }
    tested_by = {person: tuple(place.tested_by.get(person) for place in places) for person in values}
    return PatientValues(values, sum(place.answers for place in places), by_seed, tested_by)


def last_minus_first(values: Numbers) -> Numbers:
    """(patients, places) -> (patients,), for `combine`."""
    return np.asarray(values[:, -1] - values[:, 0])


def _combined(places: Sequence[Mapping[Person, float]], of: Callable[[Numbers], Numbers]) -> dict[Person, float]:
    shared = sorted(set.intersection(*(set(values) for values in places)))
    matrix = np.array([[values[person] for values in places] for person in shared], np.float64)
    return dict(zip(shared, map(float, of(matrix)), strict=True)) if shared else {}


def _with_runs(rows: pd.DataFrame, values: Mapping[Person, float], answers: int, values_of: ValuesOf) -> PatientValues:
    by_seed = {}
    methods, seeds = rows["method"], rows["seed"]
    for method in dict.fromkeys(methods.tolist()):
        several = sorted(set(seeds[methods == method].dropna().tolist()))
        if len(several) > 1:
            by_seed[str(method)] = {seed: values_of(rows[(methods != method) | (seeds == seed)]) for seed in several}
    return PatientValues(values, answers, by_seed, _tested_by(rows))


def _tested_by(rows: pd.DataFrame) -> dict[Person, frozenset[str]]:
    """Which runs tested each patient."""
    tested: dict[Person, set[str]] = {}
    for dataset, patient, run in set(
        zip(*(rows[name].tolist() for name in ("dataset", "patient", "run")), strict=True)
    ):
        tested.setdefault((str(dataset), str(patient)), set()).add(str(run))
    return {person: frozenset(runs) for person, runs in tested.items()}


def patient_levels(rows: pd.DataFrame, metric: str = "dice") -> dict[Person, float]:
    """(dataset, patient) -> the value that `statistics.estimate` averages, or of a distance takes the median of.

    Args:
        rows: of one method, of a complete table.
        metric: a column.
    """
    return _of_complete(rows, metric, distance=metric in METRICS and METRICS[metric].distance)


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
    centre = median if distance else extended_mean
    return {
        person: centre([centre([centre(values) for values in answers.values()]) for answers in structures.values()])
        for person, structures in sorted(people.items())
    }


def extended_mean(values: Sequence[float]) -> float:
    """Their mean; infinite where one is, and where both infinities are, that of which there are more, or neither."""
    infinite = [value for value in values if math.isinf(value)]
    if not infinite:
        return fmean(values)
    balance = sum(math.copysign(1, value) for value in infinite)
    if balance:
        return math.copysign(math.inf, balance)
    return fmean([value for value in values if math.isfinite(value)] or [0.0])


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


def _placed(pairs: Mapping[tuple[Any, ...], float]) -> Iterator[tuple[Any, ...]]:
    """The pairs as `_by_patient` takes them."""
    places = [QUESTION.index(name) for name in _PLACE]
    for question, value in pairs.items():
        yield (*(question[place] for place in places), value)
