"""What is left of the data that a method was not to forget, such as CT after learning from MRI.

That it was kept is shown by equivalence: both bounds of the change inside a margin that was stated before. A change
that is small on few patients shows nothing, nor does one on patients of whom the reference answered next to nothing.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from .coordinates import plain_rows
from .intervals import FEWEST, LEVEL
from .patients import patient_pairs
from .significance import Equivalence, equivalence
from .statistics import Difference, difference, grouped


class Kept(StrEnum):
    """What became of data that were to be kept."""

    UNCHANGED = "unchanged"
    KEPT = "kept"
    LOST = "lost"
    GAINED = "gained"
    NOT_SHOWN = "not shown"
    TOO_FEW = "too few patients"


@dataclass(frozen=True)
class Retention:
    """The change of one dataset over all kinds of prompt and contexts, unchanged scans and first answers.

    Attributes:
        method: against `reference`.
        dataset, modality: of the data.
        change: paired difference of Dice.
        equivalence: of the change, at the stated margin.
        unchanged: whether every answer has the same Dice as before, to the last bit.
        corrected: p of the equivalence, corrected for the other questions of a study.
        losable: patients with whom more than the margin could be lost: the reference's Dice is larger than it.
        by_design: whether the method leaves these images to the reference, so that what was measured must be the same.
    """

    method: str
    reference: str
    dataset: str
    modality: str
    change: Difference
    equivalence: Equivalence
    unchanged: bool
    corrected: float
    losable: int
    by_design: bool = False

    @property
    def verdict(self) -> Kept:
        """Kept where the equivalence is shown; lost or gained where a change of more than the margin is."""
        if self.unchanged and self.by_design:
            return Kept.UNCHANGED
        if self.change.estimate.patients < FEWEST:
            return Kept.TOO_FEW
        if self.equivalence.lost:
            return Kept.LOST
        if self.equivalence.low > self.equivalence.margin:
            return Kept.GAINED
        if self.losable < FEWEST:
            return Kept.NOT_SHOWN
        if self.unchanged:
            return Kept.UNCHANGED
        return Kept.KEPT if self.equivalence.kept and self.corrected < 1 - LEVEL else Kept.NOT_SHOWN


def retention_of(
    table: pd.DataFrame,
    method: str,
    reference: str,
    datasets: Collection[str],
    margin: float,
    by_design: Collection[str] = (),
) -> list[Retention]:
    """What became of each dataset on which forgetting is measured, before any correction.

    Args:
        table: the rows of results.parquet.
        method, reference: as its column `method` names them.
        datasets: by name.
        margin: of Dice.
        by_design: modalities that the method leaves to the reference.
    """
    retentions = []
    plain = plain_rows(table[table["dataset"].isin(list(datasets))])
    for (dataset, modality), rows in grouped(plain, ("dataset", "modality")):
        change = difference(rows, method, reference)
        where = ["case", "structure", "prompt", "context", "prompt_seed"]
        sides = [rows[rows["method"] == name].set_index(where)["dice"].sort_index() for name in (reference, method)]
        before = sides[0][~sides[0].index.duplicated()].reindex(sides[1].index)
        unchanged = bool(len(before) and before.equals(sides[1]))
        tested = equivalence(change.values, margin, change.runs)
        losable = sum(pair.reference > margin for pair in patient_pairs(rows, method, reference))
        p = tested.p if losable >= FEWEST else math.nan
        left_alone = modality in by_design
        retentions.append(
            Retention(method, reference, dataset, modality, change, tested, unchanged, p, losable, left_alone)
        )
    return retentions
