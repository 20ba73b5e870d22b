"""Curves of a report: Dice against a coordinate of the question, a line a method, each point with its interval.

The unit is the patient throughout: a point is the mean of the patients' values, and an area or a crossing is taken
from the same patients' values at every point.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from ..metrics import METRICS
from .intervals import Interval, interval_of
from .patient_values import PatientValues, Person, combine, last_minus_first, level_values

Values = npt.NDArray[np.float64]

DICE_SPAN = METRICS["dice"].span


@dataclass(frozen=True, eq=False)
class PatientCurve:
    """One method's values of the same patients at several places, or its differences to another.

    Attributes:
        label: of the line.
        at: (places,) increasing, in the coordinate's unit.
        places: the values at each place, all of the same patients.
    """

    label: str
    at: tuple[float, ...]
    places: tuple[PatientValues, ...]

    @cached_property
    def values(self) -> Values:
        """(patients, places), each averaged over runs, cases and structures."""
        return np.array([place.sample for place in self.places]).T

    @property
    def people(self) -> tuple[Person, ...]:
        """(dataset, patient) of each row of the values."""
        return tuple(self.places[0].values)

    @property
    def intervals(self) -> list[Interval]:
        """The mean of each place with its interval over patients and training runs."""
        return [_interval(place) for place in self.places]

    @property
    def means(self) -> list[float]:
        """The mean of each place."""
        return [float(value) for value in self.values.mean(axis=0)]

    def area(self) -> Interval:
        """Area under the curve over the width of its places: the mean value along the way (trapezoids)."""
        return _interval(self.areas())

    def areas(self) -> PatientValues:
        """Each patient's area; the value itself where there is one place."""
        return combine(self.places, partial(areas, at=self.at))

    def rises(self) -> PatientValues:
        """Each patient's last value minus the first."""
        return combine(self.places, last_minus_first)

    def place_of_loss(self, loss: float) -> float:
        """Where the mean first lies so much below its first value, between places on a line; infinite where never."""
        drops = [self.means[0] - mean for mean in self.means]
        for (left, before), (right, after) in pairwise(zip(self.at, drops, strict=True)):
            if after >= loss:
                return left + (right - left) * (loss - before) / (after - before)
        return math.inf


def _interval(values: PatientValues) -> Interval:
    return interval_of(values.sample, values.runs).within(DICE_SPAN)


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
    return curve_of(label, [(at, level_values(rows, metric)) for at, rows in parts])


def curve_of(label: str, places: Iterable[tuple[float, PatientValues]]) -> PatientCurve | None:
    """The same from the values at each place."""
    in_order = sorted(places, key=lambda place: place[0])
    if not in_order:
        return None
    shared = sorted(set.intersection(*(set(values.values) for _, values in in_order)))
    if not shared:
        return None
    return PatientCurve(label, tuple(at for at, _ in in_order), tuple(values.only(shared) for _, values in in_order))
