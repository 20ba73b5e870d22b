"""What a verdict rests on: each kind of prompt before and after, which structures fell, and what became of CT.

Before, after and their difference are over the same questions: those that the base and the adapter both answered.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ..evaluation.analysis import MARGIN
from ..evaluation.coordinates import complete
from ..evaluation.intervals import FEWEST
from ..evaluation.retention import Retention, retention_of
from ..evaluation.significance import holm
from ..evaluation.statistics import Difference, Estimate, Verdict, difference, estimate, grouped
from ..evaluation.table_questions import by_answerers

WORTH = 0.01  # Dice; smaller changes may have an interval without zero and still mean nothing to anybody


@dataclass(frozen=True)
class VerdictRow:
    """One prompt kind on one dataset and modality.

    Attributes:
        before, after: mean Dice over patients, of the same questions; before has none where the base does not know
            any of the names.
        change: paired.
        retention: whether this is CT that must not be forgotten, not the data that were adapted to.
        corrected: p of the change, corrected for the other kinds of the adapted data; of CT its own.
        no_before: structures that only the adapter answered, which are in none of these numbers.
    """

    dataset: str
    modality: str
    prompt: str
    before: Estimate
    after: Estimate
    change: Difference
    retention: bool
    corrected: float = math.nan
    no_before: tuple[str, ...] = ()

    @property
    def turn(self) -> str:
        """ "gained", "rose" (not beyond the number of kinds), "fell", "no gain", "too few" patients or "no before"."""
        change = self.change.estimate
        if not change.patients:
            return "no before"
        if change.patients < FEWEST:
            return "too few"
        if has_fallen(self.change):
            return "fell"
        if change.mean < WORTH or self.change.verdict is not Verdict.HIGHER:
            return "no gain"
        return "gained" if self.change.judged(self.corrected) is Verdict.HIGHER else "rose"


@dataclass(frozen=True)
class VerdictEvidence:
    """What the verdict rests on.

    Attributes:
        gain: of the adapted data, over all kinds of prompt: the question that is decided.
        rows: of each kind of prompt, see `VerdictRow`.
        fallen: structures of the adapted data that fell, over all kinds of prompt.
        kept: what became of each dataset of CT; empty where none was measured.
        simulated: which of those are simulated.
        learned: datasets that were measured on patients, some at least, whom the adapter learned from.
        attempts: how many adapters were measured on these patients, this one among them.
    """

    gain: Difference
    rows: tuple[VerdictRow, ...]
    fallen: tuple[str, ...] = ()
    kept: tuple[Retention, ...] = ()
    simulated: frozenset[str] = frozenset()
    learned: frozenset[str] = frozenset()
    attempts: int = 1


def measure(
    table: pd.DataFrame,
    method: str,
    reference: str,
    retention: Collection[str],
    *,
    simulated: Collection[str] = (),
    learned: Collection[str] = (),
    by_design: Collection[str] = (),
    attempts: int = 1,
) -> VerdictEvidence:
    """What a table of results says.

    Args:
        table: the rows of results.parquet.
        method, reference: as its column `method` names them.
        retention: datasets on which only forgetting is measured.
        simulated: those of them that are simulated.
        learned, attempts: see VerdictEvidence.
        by_design: modalities that the adapter leaves to the base.
    """
    table = complete(table)
    own_rows = table[~table["dataset"].isin(list(retention))]
    rows = []
    for (dataset, modality, prompt), part in grouped(table, ("dataset", "modality", "prompt")):
        rows_by_answerers = {frozenset(names): group for names, group in by_answerers(part)}
        shared_rows = rows_by_answerers.get(frozenset((reference, method)), part)
        before, after = (estimate(shared_rows[shared_rows["method"] == name]) for name in (reference, method))
        change = difference(shared_rows, method, reference)
        row = VerdictRow(dataset, modality, prompt, before, after, change, dataset in retention)
        adapter_rows = rows_by_answerers.get(frozenset((method,)), part[:0])
        rows.append(replace(row, no_before=tuple(dict.fromkeys(adapter_rows["structure"]))))
    fallen = [
        name for (name,), part in grouped(own_rows, ("structure",)) if has_fallen(difference(part, method, reference))
    ]
    return VerdictEvidence(
        gain=difference(own_rows, method, reference),
        rows=tuple(corrected(rows)),
        fallen=tuple(fallen),
        kept=tuple(retention_of(table, method, reference, retention, MARGIN, by_design)),
        simulated=frozenset(simulated),
        learned=frozenset(learned),
        attempts=attempts,
    )


def has_fallen(change: Difference) -> bool:
    """Whether the interval of a change lies below zero, and its mean WORTH or more."""
    estimate = change.estimate
    return estimate.patients >= FEWEST and estimate.high < 0 and estimate.mean <= -WORTH


def corrected(rows: Sequence[VerdictRow]) -> list[VerdictRow]:
    """The rows, those of the adapted data with Holm's correction over the ones with patients enough."""
    family = {
        str(number): row.change.p
        for number, row in enumerate(rows)
        if not row.retention and row.change.estimate.patients >= FEWEST
    }
    corrections = holm(family)
    return [replace(row, corrected=corrections.get(str(number), row.change.p)) for number, row in enumerate(rows)]
