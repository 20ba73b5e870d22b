"""The patients behind a paired difference: each one's value with the reference and with the method."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .coordinates import QUESTION, complete
from .patient_values import by_patient


@dataclass(frozen=True)
class PatientPair:
    """One patient's values, averaged over the questions that both methods answered.

    Attributes:
        reference, method: of the metric; infinite where a distance to an empty answer is among them.
    """

    dataset: str
    patient: str
    reference: float
    method: float


def patient_pairs(rows: pd.DataFrame, method: str, reference: str, metric: str = "dice") -> tuple[PatientPair, ...]:
    """The patients whom both methods answered, in the order of `statistics.difference`.

    Args:
        rows: of results.parquet, which differ in no coordinate that is never averaged over.
        method, reference: by name.
        metric: a column.
    """
    rows = complete(rows)
    sides = [rows[(rows["method"] == name) & rows[metric].notna()] for name in (reference, method)]
    questions = [_questions(side) for side in sides]
    shared = set(questions[0]) & set(questions[1])
    before, after = (
        by_patient(side[np.array([question in shared for question in asked], bool)], metric)
        for side, asked in zip(sides, questions, strict=True)
    )
    return tuple(PatientPair(*person, before[person], after[person]) for person in before if person in after)


def _questions(rows: pd.DataFrame) -> Sequence[tuple[object, ...]]:
    """What each row asks."""
    return list(zip(*(rows[name].tolist() for name in QUESTION), strict=True))
