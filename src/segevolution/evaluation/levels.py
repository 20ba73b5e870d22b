"""How good each method is: the level of a metric on every question, and of Dice on every structure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..metrics import METRICS, Metric
from .coordinates import complete
from .statistics import Estimate, Person, estimate, grouped, patient_levels
from .table_questions import TableQuestion, questions_of


@dataclass(frozen=True)
class LevelRow:
    """One question, or one structure of it, and the level of each method; a method that was not asked is missing.

    Attributes:
        levels: method -> its mean, or of a distance its median.
        values: method -> (dataset, patient) -> what that was taken of.
        patients: the fewest and the most patients that a method answered.
    """

    question: TableQuestion
    structure: str | None
    levels: Mapping[str, Estimate]
    values: Mapping[str, Mapping[Person, float]]
    patients: tuple[int, int]


@dataclass(frozen=True)
class MetricTable:
    """The levels of one metric; `tolerances` are those of the answers in it, in millimetres."""

    metric: Metric
    tolerances: tuple[float, ...]
    rows: tuple[LevelRow, ...]


@dataclass(frozen=True)
class StructureTable:
    """Dice of each structure with one kind of prompt."""

    prompt: str
    rows: tuple[LevelRow, ...]


def level_table(table: pd.DataFrame, methods: Sequence[str], metric: Metric = METRICS["dice"]) -> MetricTable:
    """The level of each method on each question of a table."""
    table = complete(table)
    rows = tuple(_levels(question, None, rows, methods, metric.name) for question, rows in questions_of(table))
    tolerances = sorted(table["nsd_tolerance_mm"].dropna().unique()) if metric.name == "nsd" else []
    return MetricTable(metric, tuple(float(value) for value in tolerances), rows)


def structure_table(plain: pd.DataFrame, methods: Sequence[str], prompt: str) -> StructureTable:
    """Dice of each method on each structure, of plain rows."""
    rows = [
        _levels(question, structure, part, methods, "dice")
        for question, question_rows in questions_of(plain[plain["prompt"] == prompt])
        for (structure,), part in grouped(question_rows, ("structure",))
    ]
    return StructureTable(prompt, tuple(rows))


def _levels(
    question: TableQuestion, structure: str | None, rows: pd.DataFrame, methods: Sequence[str], metric: str
) -> LevelRow:
    parts = {method: part for (method,), part in grouped(rows, ("method",)) if method in methods}
    values = {method: patient_levels(part, metric) for method, part in parts.items()}
    levels = {method: estimate(part, metric, values[method]) for method, part in parts.items()}
    counts = [level.patients for level in levels.values() if level.patients] or [0]
    return LevelRow(question, structure, levels, values, (min(counts), max(counts)))
