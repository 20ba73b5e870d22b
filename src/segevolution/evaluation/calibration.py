"""Whether the overlap that a network predicts of its own answer is the overlap that the answer has.

The predicted value is an intersection over union; the true one follows from Dice: D / (2 - D).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from .intervals import Numbers
from .statistics import ANY, Estimate, estimate

EDGES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Bin:
    """Answers whose predicted overlap lies in [low, high).

    Attributes:
        answers: how many.
        predicted, true: their mean overlaps.
    """

    low: float
    high: float
    answers: int
    predicted: float
    true: float


@dataclass(frozen=True)
class IouCalibration:
    """Predicted against true intersection over union of one method on one dataset.

    Attributes:
        predicted, true: means over patients.
        gap: predicted minus true, paired; above zero where the network thinks too well of its answers.
        error: mean absolute difference over patients.
        correlation: Spearman's, over answers; NaN where one side does not vary.
        bins: those that hold answers.
    """

    method: str
    dataset: str
    modality: str
    predicted: Estimate
    true: Estimate
    gap: Estimate
    error: Estimate
    correlation: float
    bins: tuple[Bin, ...]


def calibration_of(rows: pd.DataFrame, method: str, dataset: str, modality: str) -> IouCalibration | None:
    """The calibration of a method's answers; None where no overlap was predicted.

    Args:
        rows: of the method on the dataset, of one value of each coordinate.
    """
    rows = rows[rows["predicted_iou"].notna() & rows["dice"].notna()]
    if rows.empty:
        return None
    true = rows["dice"] / (2 - rows["dice"])
    gap = rows["predicted_iou"] - true
    answers = rows.assign(true_iou=true, gap=gap, error=gap.abs())
    predicted_level, true_level, gap_level, error_level = (
        estimate(answers, name, span=span)
        for name, span in (("predicted_iou", ANY), ("true_iou", (0.0, 1.0)), ("gap", ANY), ("error", (0.0, math.inf)))
    )
    predicted = answers["predicted_iou"].to_numpy(np.float64)
    varied = len(answers) > 1 and np.ptp(predicted) > 0 and np.ptp(true.to_numpy()) > 0
    correlation = float(stats.spearmanr(predicted, true).statistic) if varied else float("nan")
    return IouCalibration(
        method=method,
        dataset=dataset,
        modality=modality,
        predicted=predicted_level,
        true=true_level,
        gap=gap_level,
        error=error_level,
        correlation=correlation,
        bins=_bins(predicted, true.to_numpy(np.float64)),
    )


def _bins(predicted: Numbers, true: Numbers) -> tuple[Bin, ...]:
    places = np.clip(np.digitize(predicted, EDGES) - 1, 0, len(EDGES) - 2)
    filled_bins = []
    for place in np.unique(places):
        inside = places == place
        means = float(predicted[inside].mean()), float(true[inside].mean())
        filled_bins.append(Bin(EDGES[place], EDGES[place + 1], int(inside.sum()), *means))
    return tuple(filled_bins)
