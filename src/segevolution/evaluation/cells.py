"""The cells of a report's tables: text that is shown, with the number behind it for sorting, CSV and LaTeX."""

import math
from enum import StrEnum
from typing import Self

from .comparisons import in_brackets, p_in_words
from .intervals import FEWEST, Interval, interval_of
from .patient_values import PatientValues
from .retention import Kept
from .statistics import Difference, Estimate, Verdict

MISSING = "–"


class Judgement(StrEnum):
    """What a cell shows of a change; pages write a sign beside its words, so that colour is never all there is."""

    GAIN = "gain"
    LOSS = "loss"
    KEPT = "kept"
    CARE = "care"
    OPEN = "open"


class Cell(str):
    """A cell that is a number, or says what became of one; printed it is its text.

    Attributes:
        value: at full precision; NaN where the cell is no number.
        low, high: its interval; NaN without one.
        turn: gained, lost, kept, to be taken with care, or open; None where nothing is judged.
    """

    __slots__ = ("high", "low", "turn", "value")

    value: float
    low: float
    high: float
    turn: Judgement | None

    def __new__(
        cls,
        text: str,
        value: float = math.nan,
        low: float = math.nan,
        high: float = math.nan,
        turn: Judgement | None = None,
    ) -> Self:
        """Make a cell of its text and what stands behind it."""
        cell = super().__new__(cls, text)
        cell.value, cell.low, cell.high, cell.turn = value, low, high, turn
        return cell


def value_of(cell: str) -> float:
    """The number behind a cell; NaN behind plain text."""
    return cell.value if isinstance(cell, Cell) else math.nan


def count_cell(count: int) -> Cell:
    """A whole number."""
    return Cell(str(count), count)


def number_cell(value: float, form: str) -> Cell:
    """A number in a form such as ".1f", or a dash."""
    return Cell(MISSING) if math.isnan(value) else Cell(format(value, form), value)


def level_cell(estimate: Estimate) -> Cell:
    """ "0.812 [0.760, 0.851]", or the mean alone where there are too few patients for an interval."""
    if estimate.patients == 0:
        return Cell(MISSING)
    return Cell(in_brackets(estimate), estimate.mean, estimate.low, estimate.high)


def difference_cells(difference: Difference, turn: Judgement | None = None) -> tuple[Cell, Cell]:
    """ "+0.104 [+0.061, +0.150]" and p, or dashes: where there is nothing to compare, or too few patients for a p."""
    estimate = difference.estimate
    if not estimate.patients:
        return Cell(MISSING), Cell(MISSING)
    change = Cell(in_brackets(estimate, "+"), estimate.mean, estimate.low, estimate.high, turn)
    return change, Cell(MISSING) if estimate.patients < FEWEST else p_cell(difference.p)


def p_cell(p: float) -> Cell:
    """A p-value, or a dash."""
    return Cell(MISSING) if math.isnan(p) else Cell(p_in_words(p), p)


def interval_cell(interval: Interval) -> Cell:
    """ "0.812 [0.760, 0.851]", or the mean alone where patients are too few for an interval."""
    if interval.count == 0:
        return Cell(MISSING)
    if not interval.shown:
        return Cell(f"{interval.mean:.3f}", interval.mean)
    text = f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    return Cell(text, interval.mean, interval.low, interval.high)


def paired_cell(differences: PatientValues, reach: float = 1.0) -> Cell:
    """ "+0.104 [+0.061, +0.150]" of the patients' paired differences; a dash without patients.

    Args:
        differences: one a patient.
        reach: the largest difference that there can be.
    """
    interval = interval_of(differences.sample, differences.runs).within((-reach, reach))
    if not interval.count:
        return Cell(MISSING)
    if not interval.shown:
        return Cell(f"{interval.mean:+.3f}", interval.mean)
    text = f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    return Cell(text, interval.mean, interval.low, interval.high)


def turn_of(verdict: Verdict) -> Judgement:
    """What a verdict on Dice means for a reader: higher is a gain."""
    return {Verdict.HIGHER: Judgement.GAIN, Verdict.LOWER: Judgement.LOSS}.get(verdict, Judgement.OPEN)


def turn_of_kept(kept: Kept) -> Judgement:
    """What became of data that were to be kept."""
    turns = {
        Kept.KEPT: Judgement.KEPT,
        Kept.UNCHANGED: Judgement.KEPT,
        Kept.LOST: Judgement.LOSS,
        Kept.GAINED: Judgement.GAIN,
    }
    return turns.get(kept, Judgement.OPEN)


def place(dataset: str, modality: str) -> str:
    """A dataset as tables and plots name it."""
    return f"{modality} ({dataset})"
