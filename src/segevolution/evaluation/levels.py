"""How good each method is: the level of a metric on every question, and of Dice on every structure.

Levels of one row are over the same questions. What only some methods answered, such as a structure whose name the
others do not know, has a row of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ..metrics import METRICS, Metric
from .coordinates import complete
from .patient_values import Person, patient_levels
from .statistics import Estimate, estimate, grouped
from .table_questions import Questions, TableQuestion, by_answerers, only_in_words, questions_of


@dataclass(frozen=True)
class LevelRow:
    """One question, or one structure of it, and the level of each method; a method that was not asked is missing.

    Attributes:
        question: its words say which methods answered, where that are not all.
        levels: method -> its mean, or of a distance its median.
        values: method -> (dataset, patient) -> what that was taken of.
        patients: whom they answered.
    """

    question: TableQuestion
    structure: str | None
    levels: Mapping[str, Estimate]
    values: Mapping[str, Mapping[Person, float]]
    patients: int


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


def level_table(
    table: pd.DataFrame,
    methods: Sequence[str],
    metric: Metric = METRICS["dice"],
    questions: Questions | None = None,
) -> MetricTable:
    """The level of each method on each question of a table.

    Args:
        table: of answers.
        methods: what has a level.
        metric: of which.
        questions: its `questions_of`, where they are known already.
    """
    asked = questions_of(complete(table)) if questions is None else questions
    rows = tuple(row for question, rows in asked for row in _levels(question, None, rows, methods, metric.name))
    tolerances = sorted(table["nsd_tolerance_mm"].dropna().unique()) if metric.name == "nsd" else []
    return MetricTable(metric, tuple(float(value) for value in tolerances), rows)


def structure_table(plain: pd.DataFrame, methods: Sequence[str], prompt: str) -> StructureTable:
    """Dice of each method on each structure, of plain rows."""
    rows = [
        row
        for question, question_rows in questions_of(plain[plain["prompt"] == prompt], plain=True)
        for (structure,), part in grouped(question_rows, ("structure",))
        for row in _levels(question, structure, part, methods, "dice")
    ]
    return StructureTable(prompt, tuple(rows))


def _levels(
    question: TableQuestion, structure: str | None, rows: pd.DataFrame, methods: Sequence[str], metric: str
) -> Iterator[LevelRow]:
    """A row for the questions that all methods answered, and one for those of each other group of methods."""
    groups = list(by_answerers(rows[rows["method"].isin(list(methods))], metric))
    answering = [method for method in methods if any(method in answerers for answerers, _ in groups)]
    for answerers, group_rows in groups:
        only = only_in_words(answerers, answering)
        parts = {method: part for (method,), part in grouped(group_rows, ("method",))}
        values = {method: patient_levels(part, metric) for method, part in parts.items()}
        levels = {method: estimate(part, metric, values[method]) for method, part in parts.items()}
        row_question = replace(question, words=f"{question.words}, {only}") if only else question
        yield LevelRow(row_question, structure, levels, values, len(values[answerers[0]]))
    if not groups:
        yield LevelRow(question, structure, {}, {}, 0)
