"""Which cases a report draws: a rule chooses them, not a person."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .coordinates import plain_rows
from .statistics import grouped


@dataclass(frozen=True)
class ChosenCase:
    """A case to be drawn.

    Attributes:
        rank: "best", "median" or "worst" (or "only") of its dataset, by the mean Dice of `method`.
        dice: that mean, over structures and runs.
        reference_dice: of the reference on the same case; NaN without one.
        run: the run of `method` whose masks are drawn.
    """

    dataset: str
    modality: str
    case: str
    method: str
    run: str
    rank: str
    dice: float
    reference_dice: float


def choose_cases(table: pd.DataFrame, method: str, reference: str, prompt: str) -> list[ChosenCase]:
    """Best, median and worst case of each dataset, by mean Dice of `method` with `prompt` on unchanged scans.

    The rule: cases are ordered by that mean, ties by name; the median is the lower one of an even number. With
    several runs of the method, the first one that tested the case is drawn. Two cases have no median.
    """
    rows = plain_rows(table)
    rows = rows[(rows["prompt"] == prompt) & (rows["context"] == table["context"].iloc[0])]
    choices = []
    for (dataset, modality), group in grouped(rows, ("dataset", "modality")):
        method_rows = group[group["method"] == method]
        scores = (
            method_rows.groupby("case")["dice"].mean().reset_index().sort_values(["dice", "case"], ignore_index=True)
        )
        others = group[group["method"] == reference].groupby("case")["dice"].mean()
        for rank, place in _ranks(len(scores)).items():
            case = str(scores["case"][place])
            run = str(method_rows[method_rows["case"] == case]["run"].iloc[0])
            other = float(others.get(case, np.nan))
            choices.append(ChosenCase(dataset, modality, case, method, run, rank, float(scores["dice"][place]), other))
    return choices


def _ranks(count: int) -> dict[str, int]:
    """Name -> place among `count` cases in ascending order."""
    if count > 2:
        return {"best": count - 1, "median": (count - 1) // 2, "worst": 0}
    return [{}, {"only": 0}, {"best": 1, "worst": 0}][count]
