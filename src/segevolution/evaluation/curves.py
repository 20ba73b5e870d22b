"""Curves of a report: Dice against a coordinate of the question, a line a method, each point with its interval.

The unit is the patient throughout: a point is the mean of the patients' values, and an area or a crossing is taken
from the same patients' values at every point.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..metrics import METRICS
from .intervals import Interval, RunVariance, interval_of, seed_variance
from .statistics import by_patient

Values = npt.NDArray[np.float64]

DICE_SPAN = METRICS["dice"].span


@dataclass(frozen=True, eq=False)
class PatientCurve:
    """One method's values of the same patients at several places.

    Attributes:
        label: of the line.
        at: (places,) increasing, in the coordinate's unit.
        values: (patients, places), each averaged over runs, cases and structures.
        people: (dataset, patient) of each row of the values.
        runs: of each place, what training seeds add to the variance of the mean; empty with one seed.
    """

    label: str
    at: tuple[float, ...]
    values: Values
    people: tuple[tuple[str, str], ...]
    runs: tuple[tuple[RunVariance, ...], ...] = ()

    @property
    def intervals(self) -> list[Interval]:
        """The mean of each place with its interval over patients and seeds."""
        runs = self.runs or ((),) * len(self.at)
        columns = zip(self.values.T, runs, strict=True)
        return [interval_of(column, runs=added).within(DICE_SPAN) for column, added in columns]

    @property
    def means(self) -> list[float]:
        """The mean of each place."""
        return [float(value) for value in self.values.mean(axis=0)]

    def area(self) -> Interval:
        """Area under the curve over the width of its places: the mean value along the way (trapezoids)."""
        return interval_of(self.areas()).within(DICE_SPAN)

    def areas(self) -> Values:
        """(patients,): each patient's area; the value itself where there is one place."""
        return areas(self.values, self.at)

    def shared(self, other: "PatientCurve") -> tuple[Values, Values]:
        """The values of both curves of the patients that both have, (patients, places) each."""
        both = [person for person in self.people if person in set(other.people)]
        mine, others = (
            one.values[[one.people.index(person) for person in both]] if both else one.values[:0]
            for one in (self, other)
        )
        return mine, others

    def place_of_loss(self, loss: float) -> float:
        """Where the mean first lies so much below its first value, between places on a line; infinite where never."""
        drops = [self.means[0] - mean for mean in self.means]
        for (left, before), (right, after) in pairwise(zip(self.at, drops, strict=True)):
            if after >= loss:
                return left + (right - left) * (loss - before) / (after - before)
        return math.inf


def areas(values: Values, at: Sequence[float]) -> Values:
    """(patients,): the mean of values (patients, places) along the way from the first place to the last."""
    if len(at) < 2:
        return values[:, 0]
    return np.asarray(np.trapezoid(values, at, axis=1) / (at[-1] - at[0]))


@dataclass(frozen=True, eq=False)
class CurvePanel:
    """One chart of a figure.

    Attributes:
        title, x_label: as they are written.
        curves: one line each, of the same colour in every panel of a figure for the same label.
        even: places stand side by side at even distances, for places that grow by factors.
    """

    title: str
    x_label: str
    curves: tuple[PatientCurve, ...]
    even: bool = False


def curve(label: str, parts: Iterable[tuple[float, pd.DataFrame]], metric: str = "dice") -> PatientCurve | None:
    """The curve of the patients that every place has; None where no patient is at all of them.

    Args:
        label: of the line.
        parts: place and its rows, of one method, which differ in no other coordinate.
        metric: a column.
    """
    rows = dict(sorted(parts, key=lambda part: part[0]))
    if not rows:
        return None
    people = [by_patient(part, metric) for part in rows.values()]
    shared = sorted(set.intersection(*(set(one) for one in people)))
    if not shared:
        return None
    values = np.array([[one[person] for one in people] for person in shared])
    runs = tuple(_of_seeds(part, shared, metric) for part in rows.values())
    return PatientCurve(label, tuple(rows), values, tuple(shared), runs)


def _of_seeds(rows: pd.DataFrame, people: Sequence[tuple[str, str]], metric: str) -> tuple[RunVariance, ...]:
    """What training seeds add to the variance of the mean over the patients whom every seed answered."""
    seeds = sorted(set(rows["seed"]))
    if len(seeds) < 2:
        return ()
    seed_means = [by_patient(rows[rows["seed"] == seed], metric) for seed in seeds]
    common = [person for person in people if all(person in values for values in seed_means)]
    added = (
        seed_variance([float(np.mean([values[person] for person in common])) for values in seed_means])
        if common
        else None
    )
    return () if added is None else (added,)
