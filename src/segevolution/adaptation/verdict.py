"""Whether an adapter is to be used: rules on paired differences over held-out patients, and their reasons in words.

The rules are fixed before anything is measured:

    gained        the interval of a prompt kind's paired difference lies above zero, its mean WORTH or more
    fell          it lies below zero, its mean WORTH or more
    no gain       it holds zero, or the mean is closer to zero than WORTH
    CT lost       the mean Dice on CT, over all prompt kinds, is more than LOST lower than before
    not known     fewer than `statistics.FEW` patients were held out

Gains and nothing lost: use it. Gains, and something lost: with care. No gain: do not adapt.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd

from ..evaluation.retention import LOST, RetentionLoss
from ..evaluation.statistics import FEW, Difference, Estimate, difference, estimate, grouped

WORTH = 0.01  # Dice; smaller changes may have an interval without zero and still mean nothing to anybody


class Recommendation(StrEnum):
    """What is advised."""

    USE = "use it"
    CARE = "use it with care"
    NOT = "do not adapt"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class VerdictRow:
    """One prompt kind on one dataset and modality.

    Attributes:
        before, after: mean Dice over patients; before has none where the base does not know the names.
        change: paired.
        retention: whether this is CT that must not be forgotten, not the data that were adapted to.
    """

    dataset: str
    modality: str
    prompt: str
    before: Estimate
    after: Estimate
    change: Difference
    retention: bool

    @property
    def turn(self) -> str:
        """ "gained", "fell" or "no gain", or "too few" patients, or "no before"."""
        change = self.change.estimate
        if not change.patients:
            return "no before"
        if change.patients < FEW:
            return "too few"
        if self.change.verdict == "undecided" or abs(change.mean) < WORTH:
            return "no gain"
        return "gained" if self.change.verdict == "higher" else "fell"


@dataclass(frozen=True)
class Advice:
    """The verdict.

    Attributes:
        headline: it, in one sentence.
        reasons: sentences.
        when_not: for what the adapter must not be used, clauses for a list.
    """

    answer: Recommendation
    headline: str
    reasons: tuple[str, ...]
    when_not: tuple[str, ...]


def rows_of(table: pd.DataFrame, method: str, reference: str, retention: Collection[str]) -> list[VerdictRow]:
    """One row a dataset, modality and prompt kind, in the table's order.

    Args:
        table: the rows of results.parquet.
        retention: datasets on which only forgetting is measured.
    """
    verdict_rows = []
    for (dataset, modality, prompt), rows in grouped(table, ("dataset", "modality", "prompt")):
        before, after = (estimate(rows[rows["method"] == name]) for name in (reference, method))
        change = difference(rows, method, reference)
        verdict_rows.append(VerdictRow(dataset, modality, prompt, before, after, change, dataset in retention))
    return verdict_rows


def fallen_structures(table: pd.DataFrame, method: str, reference: str, retention: Collection[str]) -> list[str]:
    """Structures of the adapted data whose Dice over all prompt kinds fell, by the same rule."""
    own_rows = table[~table["dataset"].isin(list(retention))]
    return [
        name
        for (name,), rows in grouped(own_rows, ("structure",))
        if difference(rows, method, reference).verdict == "lower"
    ]


def advise(rows: Sequence[VerdictRow], losses: Sequence[RetentionLoss], fallen: Sequence[str] = ()) -> Advice:
    """Apply the rules.

    Args:
        rows: of `rows_of`.
        losses: of `losses_of`; empty where no CT was measured.
        fallen: structures that fell, see `fallen_structures`.
    """
    own_rows = [row for row in rows if not row.retention]
    compared = [row for row in own_rows if row.turn != "no before"]
    decided = [row for row in compared if row.turn != "too few"]
    gained, fell, level = (_kinds(own_rows, turn) for turn in ("gained", "fell", "no gain"))
    lost = [loss for loss in losses if loss.lost]
    reasons = [*_of_own(own_rows, compared, decided), *(_of_loss(loss) for loss in losses)]
    if not losses:
        reasons.append("Whether CT is still answered as before was not measured.")
    if fallen and decided:
        reasons.append(f"Structures that fell, over all prompt kinds: {', '.join(fallen)}.")
    when_not = [f"{kind} prompts: they fell; ask the base without the adapter" for kind in fell]
    when_not += [f"{kind} prompts: no gain was shown" for kind in level]
    when_not += [f"{name}: it fell" for name in fallen if decided]
    when_not += [
        f"{loss.modality}: it lost {-loss.change.estimate.mean:.3f} of Dice; ask the base without the adapter"
        for loss in lost
    ]
    answer, headline = _answer(own_rows, compared, decided, gained, fell, losses)
    return Advice(answer, headline, tuple(reasons), tuple(when_not))


def _answer(
    own: Sequence[VerdictRow],
    compared: Sequence[VerdictRow],
    decided: Sequence[VerdictRow],
    gained: Sequence[str],
    fell: Sequence[str],
    losses: Sequence[RetentionLoss],
) -> tuple[Recommendation, str]:
    if not own:
        return (
            Recommendation.UNKNOWN,
            "Nobody could be held out, so nothing says whether adapting helped: no gain is claimed.",
        )
    if not compared:
        return (
            Recommendation.UNKNOWN,
            "The base could be asked none of these questions, so there is nothing to compare with.",
        )
    if not decided:
        most = max(row.change.estimate.patients for row in compared)
        return Recommendation.UNKNOWN, (
            f"{_counted(most)} held out {'is' if most == 1 else 'are'} too few to know whether adapting helped "
            f"({FEW} are needed): no gain is claimed."
        )
    prices = [f"{kind} prompts fell" for kind in fell]
    prices += [f"{loss.modality} ({loss.dataset}) was lost" for loss in losses if loss.lost]
    if gained and not prices:
        retained_modalities = sorted({loss.modality for loss in losses})
        beside = f", and {_listed(retained_modalities)} was kept within {LOST:g} of Dice" if retained_modalities else ""
        return Recommendation.USE, f"Use it: Dice rose with {_listed(gained)}; no kind of prompt fell{beside}."
    if gained:
        return Recommendation.CARE, f"Use it with care: Dice rose with {_listed(gained)}, but {_listed(prices)}."
    if prices:
        return Recommendation.NOT, f"Do not adapt: no prompt kind gained within the interval, and {_listed(prices)}."
    return Recommendation.NOT, "Do not adapt: no prompt kind gained within the interval; the base does as well."


def _of_own(own: Sequence[VerdictRow], compared: Sequence[VerdictRow], decided: Sequence[VerdictRow]) -> list[str]:
    sentences = []
    for row in compared:
        change = row.change.estimate
        word = {"too few": "too few patients to know", "no gain": _level(row)}.get(row.turn, row.turn)
        interval = "" if np.isnan(change.low) else f" [{change.low:+.3f}, {change.high:+.3f}]"
        sentences.append(f"{_kind(own, row)}: {word} ({change.mean:+.3f}{interval}, {_counted(change.patients)}).")
    unasked = [_kind(own, row) for row in own if row not in compared]
    if unasked:
        sentences.append(
            f"{_listed(unasked)}: the base does not know these names, so there is no before; read the after alone."
        )
    few = {row.modality for row in compared if row not in decided}
    if few and decided:
        sentences.append(f"Of {_listed(sorted(few))} too few patients were held out to know.")
    return sentences


def _of_loss(loss: RetentionLoss) -> str:
    change, name = loss.change.estimate, f"{loss.modality} ({loss.dataset})"
    if loss.unchanged:
        return f"{name}: every answer has the Dice it had before, to the last bit ({_counted(change.patients)})."
    interval = "" if np.isnan(change.low) else f" [{change.low:+.3f}, {change.high:+.3f}]"
    word = f"more than {LOST:g} of Dice was lost" if loss.lost else f"kept within {LOST:g} of Dice"
    few = "; too few patients for more than an impression" if change.patients < FEW else ""
    return f"{name}: {word} ({change.mean:+.3f}{interval}, {_counted(change.patients)}{few})."


def _level(row: VerdictRow) -> str:
    """Why a row counts as no gain."""
    return "no gain within the interval" if row.change.verdict == "undecided" else f"changed by less than {WORTH:g}"


def _kinds(own: Sequence[VerdictRow], turn: str) -> list[str]:
    return [_kind(own, row) for row in own if row.turn == turn]


def _kind(own: Sequence[VerdictRow], row: VerdictRow) -> str:
    """A prompt kind, with its modality where there are several."""
    return (
        row.prompt if len({(other.dataset, other.modality) for other in own}) == 1 else f"{row.modality} {row.prompt}"
    )


def _counted(patients: int) -> str:
    return "1 patient" if patients == 1 else f"{patients} patients"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
