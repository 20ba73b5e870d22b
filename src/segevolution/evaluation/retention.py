"""What is left of the data that a method was not to forget, such as CT after learning from MRI."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from .statistics import Difference, difference, grouped

LOST = 0.02  # Dice


@dataclass(frozen=True)
class RetentionLoss:
    """What became of CT over all prompt kinds.

    Attributes:
        lost: whether it is more than LOST lower.
        unchanged: whether every answer has the same Dice as before, to the last bit.
    """

    dataset: str
    modality: str
    change: Difference
    unchanged: bool

    @property
    def lost(self) -> bool:
        """See above."""
        return self.change.estimate.mean < -LOST


def losses_of(table: pd.DataFrame, method: str, reference: str, retention: Collection[str]) -> list[RetentionLoss]:
    """What became of each dataset on which forgetting is measured."""
    losses = []
    for (dataset, modality), rows in grouped(table[table["dataset"].isin(list(retention))], ("dataset", "modality")):
        change = difference(rows, method, reference)
        where = ["case", "structure", "prompt", "context"]
        sides = [rows[rows["method"] == name].set_index(where)["dice"].sort_index() for name in (reference, method)]
        losses.append(RetentionLoss(dataset, modality, change, bool(sides[0].equals(sides[1]))))
    return losses
