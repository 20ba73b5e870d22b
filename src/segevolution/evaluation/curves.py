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
from matplotlib.figure import Figure

from .figures import COLOURS, png_bytes
from .intervals import Interval, RunVariance, interval_of, seed_variance
from .statistics import by_patient

Values = npt.NDArray[np.float64]


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
        return [interval_of(column, runs=added) for column, added in zip(self.values.T, runs, strict=True)]

    @property
    def means(self) -> list[float]:
        """The mean of each place."""
        return [float(value) for value in self.values.mean(axis=0)]

    def area(self) -> Interval:
        """Area under the curve over the width of its places: the mean value along the way (trapezoids)."""
        return interval_of(self.areas())

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


def written(interval: Interval) -> str:
    """ "0.812 [0.760, 0.851]", or the mean alone where patients are too few for an interval."""
    if interval.count == 0:
        return "–"
    if not interval.shown:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def written_change(differences: Values) -> str:
    """ "+0.104 [+0.061, +0.150]" of the patients' paired differences; a dash without patients."""
    if not len(differences):
        return "–"
    interval = interval_of(differences)
    return f"{interval.mean:+.3f}" + (f" [{interval.low:+.3f}, {interval.high:+.3f}]" if interval.shown else "")


def draw_curves(panels: Sequence[CurvePanel], y_label: str = "Dice", columns: int = 3) -> bytes:
    """PNG of the panels, row by row; bands are 95 % intervals, and there are none below six patients."""
    count = max(1, len(panels))
    columns = min(columns, count)
    lines = math.ceil(count / columns)
    figure = Figure(figsize=(3.6 * columns + 0.6, 2.7 * lines + 0.6), dpi=110, layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    labels = list(dict.fromkeys(line.label for panel in panels for line in panel.curves))
    colours = {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(labels)}
    for axis, panel in zip(axes, panels, strict=False):
        for line in panel.curves:
            places = list(range(len(line.at))) if panel.even else list(line.at)
            intervals = line.intervals
            axis.plot(places, [one.mean for one in intervals], "o-", ms=3, lw=1.4, color=colours[line.label])
            if all(one.shown for one in intervals):
                low, high = [one.low for one in intervals], [one.high for one in intervals]
                axis.fill_between(places, low, high, color=colours[line.label], alpha=0.15, lw=0)
            if panel.even:
                axis.set_xticks(places, [f"{place:g}" for place in line.at])
        axis.set_title(panel.title, fontsize=9, loc="left")
        axis.set_xlabel(panel.x_label, fontsize=8)
        axis.set_ylabel(y_label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.set_ylim(0, 1)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(axis="y", color="#dddddd", lw=0.6)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    handles = [axes[0].plot([], [], "o-", ms=3, color=colours[label], label=label)[0] for label in labels]
    figure.legend(handles=handles, loc="outside lower center", ncols=max(1, min(5, len(labels))), frameon=False)
    return png_bytes(figure)
