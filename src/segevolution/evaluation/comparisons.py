"""Which method is better: paired differences of Dice, corrected for their number, and what may be said of each.

That one method is better than another is said only where it is shown. All p-values but that of the primary question are
corrected together (Holm 1979): comparisons and retention are one family. Questions with fewer patients than `FEWEST`
are not decided, so they do not count in it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ..metrics import METRICS, Metric
from .analysis import Analysis, PrimaryQuestion
from .intervals import FEWEST
from .patients import PatientPair, patient_pairs
from .retention import Kept, Retention
from .significance import Equivalence, equivalence, holm
from .statistics import Difference, Estimate, Verdict, difference
from .table_questions import Questions, TableQuestion


@dataclass(frozen=True)
class MethodComparison:
    """A method against another on one question, by Dice.

    Attributes:
        change: paired difference.
        corrected: its p after Holm's correction; of the primary question its own.
        primary: whether it is the primary question.
        pairs: the patients behind a plain question; none of any other.
    """

    method: str
    reference: str
    question: TableQuestion
    change: Difference
    corrected: float
    primary: bool
    pairs: tuple[PatientPair, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What it shows after the correction."""
        return self.change.judged(self.corrected)

    @property
    def sentence(self) -> str:
        """What may be said of it."""
        where = f"on {self.question.modality} ({self.question.dataset}) with {self.question.words}"
        return claim(self.method, self.reference, METRICS["dice"], self.change, self.corrected, where)


@dataclass(frozen=True)
class PrimaryFinding:
    """The answer to the primary question.

    Attributes:
        change: paired difference.
        equivalence: where the question has a margin.
        answer: "yes", "no" or "not shown".
        sentence: what may be said.
        pairs: the patients behind it.
    """

    question: PrimaryQuestion
    change: Difference
    equivalence: Equivalence | None
    answer: str
    sentence: str
    pairs: tuple[PatientPair, ...] = ()

    @property
    def is_better(self) -> bool:
        """Whether the difference is one for the better by the question's metric."""
        return (self.change.estimate.mean > 0) == (METRICS[self.question.metric].better == "higher")


def compare(questions: Questions, methods: Sequence[str], analysis: Analysis) -> list[MethodComparison]:
    """Every method against the reference, and against its rivals, before any correction."""
    pairs = [(method, analysis.reference) for method in methods if method != analysis.reference]
    pairs = pairs if analysis.reference in methods else []
    pairs += [(method, rival) for rival, others in analysis.rivals.items() for method in others]
    comparisons = []
    for method, reference in pairs:
        for question, rows in questions:
            change = difference(rows, method, reference)
            primary = _is_primary(question, method, reference, analysis.primary)
            people = patient_pairs(rows, method, reference) if question.plain else ()
            comparisons.append(MethodComparison(method, reference, question, change, change.p, primary, people))
    return comparisons


def _is_primary(question: TableQuestion, method: str, reference: str, primary: PrimaryQuestion | None) -> bool:
    """Whether a comparison by Dice asks the very primary question."""
    if primary is None or primary.margin is not None or primary.metric != "dice" or not question.plain:
        return False
    if primary.shift != "none" or primary.click:
        return False
    primary_coordinates = (primary.method, primary.reference, primary.dataset, primary.prompt, primary.context)
    return primary_coordinates == (method, reference, question.dataset, question.prompt, question.context)


def correct(
    compared: Sequence[MethodComparison], kept: Sequence[Retention]
) -> tuple[list[MethodComparison], list[Retention], int]:
    """Both with Holm's correction over all that is not the primary question, and how many questions those are."""
    family: dict[str, float] = {}
    for number, comparison in enumerate(compared):
        if not comparison.primary:
            enough = comparison.change.estimate.patients >= FEWEST
            family[f"compared {number}"] = comparison.change.p if enough else math.nan
    for number, kept_one in enumerate(kept):
        family[f"kept {number}"] = math.nan if kept_one.verdict is Kept.UNCHANGED else kept_one.corrected
    corrected = holm(family)
    return (
        [
            replace(comparison, corrected=corrected.get(f"compared {n}", comparison.corrected))
            for n, comparison in enumerate(compared)
        ],
        [replace(comparison, corrected=corrected[f"kept {n}"]) for n, comparison in enumerate(kept)],
        sum(not math.isnan(p) for p in family.values()),
    )


def primary_finding(table: pd.DataFrame, question: PrimaryQuestion) -> PrimaryFinding:
    """The answer to a primary question, from the rows that it is about alone."""
    metric = METRICS[question.metric]
    rows = question.rows(table)
    change = difference(rows, question.method, question.reference, metric.name)
    pairs = patient_pairs(rows, question.method, question.reference, metric.name)
    if question.margin is None:
        verdict = change.judged(change.p)
        answer = "yes" if verdict in (Verdict.HIGHER, Verdict.LOWER) else "not shown"
        sentence = claim(question.method, question.reference, metric, change, change.p, question.where)
        return PrimaryFinding(question, change, None, answer, sentence, pairs)
    few = change.estimate.patients < FEWEST or change.ranked
    tested = equivalence([] if few else change.values, question.margin, change.runs)
    apart = tested.lost or tested.low > tested.margin
    answer = "yes" if tested.kept else "no" if apart else "not shown"
    size = f"{change.estimate.mean:+.3f}"
    size += f", bounds {bounds_in_words(tested)} (each holds with 95 %)" if change.estimate.shown else ""
    sentences = {
        "yes": f"{question.method} is equal to {question.reference} within {question.margin:g}",
        "no": f"{question.method} differs from {question.reference} by more than {question.margin:g}",
        "not shown": f"That {question.method} is equal to {question.reference} within {question.margin:g} is not shown",
    }[answer]
    sentence = f"{sentences} in {metric.title} {question.where}: {size}, n = {change.estimate.patients}."
    return PrimaryFinding(question, change, tested, answer, sentence, pairs)


def claim(method: str, reference: str, metric: Metric, change: Difference, corrected: float, where: str) -> str:
    """What may be said of a difference: that one is better only where it is shown, else what is missing."""
    verdict, estimate = change.judged(corrected), change.estimate
    ranks = " (pseudomedian of ranks: some are infinite)" if change.ranked else ""
    numbers_text = f"{metric.title} {in_brackets(estimate, '+')}{ranks}, {p_clause(corrected)}, n = {estimate.patients}"
    if verdict is Verdict.TOO_FEW:
        difference_told = f" (difference {estimate.mean:+.3f})" if estimate.patients else ""
        return (
            f"Nothing is claimed of {method} and {reference} {where}: {estimate.patients} patients"
            f"{difference_told}, {FEWEST} are needed."
        )
    if verdict is Verdict.UNDECIDED:
        return f"It is not shown that {method} and {reference} differ {where}: {numbers_text}."
    better = (verdict is Verdict.HIGHER) == (metric.better == "higher")
    return f"{method} is {'better' if better else 'worse'} than {reference} {where}: {numbers_text}."


def bounds_in_words(tested: Equivalence) -> str:
    """ "-0.012 to +0.004", the one-sided bounds that decide an equivalence."""
    return f"{tested.low:+.3f} to {tested.high:+.3f}"


def p_in_words(p: float) -> str:
    """ "0.031", or "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def p_clause(p: float) -> str:
    """ "p = 0.031", or "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p_in_words(p)}"


def in_brackets(found: Estimate, sign: str = "") -> str:
    """ "0.812 [0.760, 0.851]", or the mean alone where there is no interval; `sign` "+" for differences."""
    if not found.shown:
        return f"{found.mean:{sign}.3f}"
    return f"{found.mean:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"
