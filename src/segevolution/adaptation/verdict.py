"""Decide by rules whether an adapter is to be used, from paired differences over held-out patients; give reasons.

The rules are fixed before anything is measured. One question is decided: the gain of Dice over all kinds of prompt
together, one number a patient.

    rose          its interval lies above zero, p of sign flips is below .05, its mean is WORTH or more
    fell          the interval of a kind of prompt, or of a structure, lies below zero, its mean WORTH or more; warnings
                  are not corrected for their number, since a false one costs less than a missed one
    CT kept       equivalence: both one-sided bounds of the change inside MARGIN, and no kind of prompt MARGIN lower,
                  on FEWEST patients or more whom the base answered and the adapter did not learn from
    not known     fewer than FEWEST patients were held out

Rose, nothing fell and CT kept: use it. Rose, but something fell, or that CT was kept is not shown or was not measured:
with care. Not rose: do not adapt. Where adapting changes nothing, "use it" is said in at most 5 of 100 cases, which
`tests/adaptation/test_false_verdicts.py` simulates. Of the kinds of prompt each has its own row, corrected for their
number (Holm 1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ..evaluation.analysis import MARGIN
from ..evaluation.comparisons import in_brackets, p_clause
from ..evaluation.intervals import FEWEST
from ..evaluation.retention import Kept, Retention
from ..evaluation.statistics import Difference, Verdict
from .evidence import WORTH, VerdictEvidence, VerdictRow

MOST_NAMED = 6  # structures in a sentence


class Recommendation(StrEnum):
    """What is advised."""

    USE = "use it"
    CARE = "use it with care"
    NOT = "do not adapt"
    UNKNOWN = "not known"


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


def advise(measured: VerdictEvidence) -> Advice:
    """Apply the rules."""
    own_rows = [row for row in measured.rows if not row.retention]
    compared = [row for row in own_rows if row.turn != "no before"]
    prices = _prices(measured, own_rows)
    answer, headline = _answer(measured, own_rows, compared, prices)
    reasons = [
        *([_of_gain(measured.gain)] if compared else []),
        *_of_own(own_rows, compared),
        *(_of_retention(retention, measured) for retention in measured.kept),
    ]
    if not measured.kept:
        reasons.append("Whether CT is still answered as before was not measured.")
    elif {retention.dataset for retention in measured.kept} <= measured.simulated:
        reasons.append("Real CT was not measured (--ct STORE measures it).")
    if measured.attempts > 1:
        reasons.append(
            f"This is attempt {measured.attempts} on these patients: with each attempt it is likelier that one of them "
            "gains by chance, and no p here is corrected for it."
        )
    when_not = [price.not_for for price in prices]
    when_not += [f"{_kind(own_rows, row)} prompts: no gain was shown" for row in own_rows if row.turn == "no gain"]
    return Advice(answer, headline, tuple(reasons), tuple(when_not))


class Price(NamedTuple):
    """What a gain costs.

    Attributes:
        clause: for the headline.
        not_for: for the list of what the adapter is not for.
        shown: whether a loss is shown; else only that nothing was lost is not.
    """

    clause: str
    not_for: str
    shown: bool


def _prices(measured: VerdictEvidence, own: Sequence[VerdictRow]) -> list[Price]:
    again = "ask the base without the adapter"
    prices = [
        Price(f"{_kind(own, row)} prompts fell", f"{_kind(own, row)} prompts: they fell; {again}", True)
        for row in own
        if row.turn == "fell"
    ]
    prices += [Price(f"{name} fell", f"{name}: it fell", True) for name in measured.fallen]
    for name in dict.fromkeys(row.dataset for row in own if row.dataset in measured.learned):
        clause = f"{name} was measured on patients that it learned from"
        prices.append(Price(clause, f"new patients: {clause}, so that no gain on others is shown", False))
    for retention in measured.kept:
        name, change = f"{retention.modality} ({retention.dataset})", retention.change.estimate.mean
        worst = _worst(retention, measured)
        if retention.dataset in measured.learned and retention.verdict is not Kept.LOST:
            clause = f"{name} was measured on patients that it learned from"
            prices.append(Price(clause, f"{name}: that it was kept is not shown on other patients; {again}", False))
        elif retention.verdict is Kept.LOST:
            prices.append(Price(f"{name} was lost", f"{name}: it lost {-change:.3f} of Dice; {again}", True))
        elif retention.verdict in (Kept.TOO_FEW, Kept.NOT_SHOWN):
            clause = f"that {name} was kept within {MARGIN:g} is not shown"
            prices.append(Price(clause, f"{name}: that it was kept is not shown ({change:+.3f}); {again}", False))
        elif worst is not None:
            clause = f"{name} by {worst.prompt} fell by {-worst.change.estimate.mean:.3f}"
            prices.append(Price(clause, f"{clause}; {again}", True))
    if not measured.kept:
        prices.append(Price("CT was not measured", f"CT: it was not measured; {again}", False))
    return prices


def _worst(one: Retention, measured: VerdictEvidence) -> VerdictRow | None:
    """The kind of prompt whose mean fell most on this CT, where that is more than MARGIN."""
    rows = [row for row in measured.rows if (row.dataset, row.modality) == (one.dataset, one.modality)]
    worst = min(rows, key=lambda row: row.change.estimate.mean, default=None)
    return worst if worst is not None and worst.change.estimate.mean < -MARGIN else None


def _answer(
    measured: VerdictEvidence, own: Sequence[VerdictRow], compared: Sequence[VerdictRow], prices: Sequence[Price]
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
    gain = measured.gain.estimate
    if gain.patients < FEWEST:
        return Recommendation.UNKNOWN, (
            f"{_counted(gain.patients)} tested {'is' if gain.patients == 1 else 'are'} too few to know whether "
            f"adapting helped ({FEWEST} are needed): no gain is claimed."
        )
    rose = measured.gain.verdict is Verdict.HIGHER and gain.mean >= WORTH
    size = in_brackets(gain, "+")
    if rose and not prices:
        kept_names = _listed(sorted({_kept_name(retention, measured) for retention in measured.kept}))
        return Recommendation.USE, (
            f"Use it: Dice over all kinds of prompt rose by {size}; no kind of prompt and no structure fell, and "
            f"{kept_names} was kept within {MARGIN:g} of Dice."
        )
    if rose:
        but = _listed([price.clause for price in prices])
        return Recommendation.CARE, f"Use it with care: Dice over all kinds of prompt rose by {size}, but {but}."
    fell = [price.clause for price in prices if price.shown]
    beside = f", and {_listed(fell)}" if fell else "; the base does as well, as far as these patients show"
    return Recommendation.NOT, f"Do not adapt: no gain of Dice over all kinds of prompt is shown ({size}){beside}."


def _kept_name(one: Retention, measured: VerdictEvidence) -> str:
    return f"simulated {one.modality}" if one.dataset in measured.simulated else one.modality


def _of_gain(gain: Difference) -> str:
    estimate = gain.estimate
    p = "" if estimate.patients < FEWEST else f", {p_clause(gain.p)}"
    return f"Over all kinds of prompt: {in_brackets(estimate, '+')}{p}, {_counted(estimate.patients)}. This decides."


def _of_own(own: Sequence[VerdictRow], compared: Sequence[VerdictRow]) -> list[str]:
    words = {
        "too few": "too few patients to know",
        "rose": "rose, but not beyond what so many kinds of prompt do by chance",
    }
    sentences = []
    for row in compared:
        change = row.change.estimate
        word = _level(row) if row.turn == "no gain" else words.get(row.turn, row.turn)
        sentences.append(f"{_kind(own, row)}: {word} ({in_brackets(change, '+')}, {_counted(change.patients)}).")
        if row.no_before:
            names = f"{len(row.no_before)} structures" if len(row.no_before) > MOST_NAMED else _listed(row.no_before)
            sentences.append(
                f"{_kind(own, row)}: without {names}, for which the base does not know the name; read the after alone, "
                "in the tables of structures."
            )
    unasked = [_kind(own, row) for row in own if row not in compared]
    if unasked:
        sentences.append(
            f"{_listed(unasked)}: the base does not know these names, so there is no before; read the after alone."
        )
    return sentences


def _of_retention(one: Retention, measured: VerdictEvidence) -> str:
    change, tested = one.change.estimate, one.equivalence
    name = f"{_kept_name(one, measured)} ({one.dataset})"
    if one.verdict is Kept.UNCHANGED and one.dataset not in measured.learned:
        return f"{name}: every answer has the Dice it had before, to the last bit ({_counted(change.patients)})."
    word = {
        Kept.UNCHANGED: "every answer has the Dice it had before",
        Kept.KEPT: f"kept within {MARGIN:g} of Dice",
        Kept.LOST: f"more than {MARGIN:g} of Dice was lost",
        Kept.GAINED: f"more than {MARGIN:g} of Dice was gained",
        Kept.NOT_SHOWN: f"that it was kept within {MARGIN:g} of Dice is not shown",
        Kept.TOO_FEW: "too few patients to know whether it was kept",
    }[one.verdict]
    enough = change.patients >= FEWEST
    if one.dataset in measured.learned:
        word += ", on patients of whom it learned from some at least: of others nothing is shown"
    elif enough and one.verdict is Kept.NOT_SHOWN and one.losable < FEWEST:
        word += f", since the base's own Dice is above that with {one.losable} of them only"
    bounds = f", 95 % bounds {tested.low:+.3f} and {tested.high:+.3f}" if enough else ""
    return f"{name}: {word} ({change.mean:+.3f}{bounds}, {_counted(change.patients)})."


def _level(row: VerdictRow) -> str:
    """Why a row counts as no gain."""
    decided = row.change.verdict in (Verdict.HIGHER, Verdict.LOWER)
    return f"changed by less than {WORTH:g}" if decided else "no gain within the interval"


def _kind(own: Sequence[VerdictRow], row: VerdictRow) -> str:
    """A prompt kind, with its modality where there are several."""
    return (
        row.prompt if len({(other.dataset, other.modality) for other in own}) == 1 else f"{row.modality} {row.prompt}"
    )


def _counted(patients: int) -> str:
    return "1 patient" if patients == 1 else f"{patients} patients"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
