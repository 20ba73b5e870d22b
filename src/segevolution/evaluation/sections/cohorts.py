"""The two tables of the first study: method by training set, and structure by method.

Means are over the patients of all datasets of one kind: MRI and CT apart, and apart from both, as external, sets on
which nobody trained. Each row of table 1 is a method of the study's table, so that no mean is taken over numbers of
shots. Levels that stand side by side are over the same questions, so that no method is better for having been asked
less.
"""

from collections.abc import Collection, Iterator

import pandas as pd

from ..blocks import Block, Heading, Table, Text
from ..cells import MISSING, Cell, count_cell, level_cell
from ..coordinates import complete, plain_rows
from ..statistics import estimate, grouped
from ..table_questions import by_answerers, only_in_words
from .results import StudyResults, learned_from, question_in_words, range_in_words

_HOW = (
    "Mean Dice over held-out patients, each patient's structures averaged first, over the questions that every method "
    "of the row's kind of data answered. External: datasets that nobody trained on. Intervals hold both sources of "
    "variance, patients and training runs."
)
_STRUCTURES = (
    "Mean Dice of each structure over the patients of the row's kind of data. Levels in one row are over the same "
    "questions; what only some methods answered has a row of its own."
)


def cohorts_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = plain_rows(complete(results.table))
    if rows["cohort"].nunique() < 2:
        return []
    kinds = list(_kinds_of_data(rows, results.external))
    prompts = list(_prompts(rows))
    lines = [(title, *line) for title, part in kinds for line in _methods(part, prompts)]
    columns = ("data", "method", "trained on", *(question_in_words(rows, *prompt) for prompt in prompts), "patients")
    blocks: list[Block] = [Heading("Table 1: method and training set"), Text((_HOW,)), Table(columns, tuple(lines))]
    blocks += [Heading("Table 2: structure and method"), Text((_STRUCTURES,))]
    methods = list(dict.fromkeys(rows["method"]))
    for prompt in prompts:
        lines = [(title, *line) for title, part in kinds for line in _structures(_asked(part, *prompt), methods)]
        blocks += [Text((f"{question_in_words(rows, *prompt)}:",))]
        blocks += [Table(("data", "structure", *methods, "patients"), tuple(lines))]
    return blocks


def _kinds_of_data(rows: pd.DataFrame, external: Collection[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """(kind of data, its rows): held-out patients and external ones, MRI and CT apart."""
    for (modality,), part in grouped(rows, ("modality",)):
        outside = part["dataset"].isin(set(external))
        for title, group in ((f"{modality}, held out", part[~outside]), (f"{modality}, external", part[outside])):
            if len(group):
                yield title, group


def _prompts(rows: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """(kind of prompt, context), in order of appearance."""
    for (prompt, context), _ in grouped(rows, ("prompt", "context")):
        yield prompt, context


def _asked(rows: pd.DataFrame, prompt: str, context: str) -> pd.DataFrame:
    """The answers to one kind of prompt in one context."""
    return rows[(rows["prompt"] == prompt) & (rows["context"] == context)]


def _methods(part: pd.DataFrame, prompts: Collection[tuple[str, str]]) -> Iterator[tuple[str, ...]]:
    """A line of table 1 for each method: its family, what it was trained on, Dice with each prompt, patients."""
    shared = [_shared(_asked(part, *prompt)) for prompt in prompts]
    methods_of = part.groupby(["family", "cohort"])["method"].nunique()
    for (family, cohort, method), mine in grouped(part, ("family", "cohort", "method")):
        several = methods_of[family, cohort] > 1
        estimates = [estimate(rows[rows["method"] == method]) for rows in shared]
        counts = {one.patients for one in estimates if one.patients} or {0}
        people = count_cell(*counts) if len(counts) == 1 else Cell(range_in_words(counts))
        yield family, _trained_on(mine, cohort, several=several), *map(level_cell, estimates), people


def _trained_on(rows: pd.DataFrame, cohort: str, *, several: bool) -> str:
    """ "mri", or "mri, 5 patients" where a family was trained on several numbers of the cohort's patients."""
    if not (rows["trained_on"] > 0).any():
        return cohort or "not trained"
    number = learned_from(rows)
    patients = f"{number} patient{'' if number == '1' else 's'}"
    return ", ".join([*([cohort] if cohort else []), *([patients] if several or not cohort else [])])


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about questions that every method answered."""
    methods = set(rows["method"])
    return next((part for answerers, part in by_answerers(rows) if set(answerers) == methods), rows.iloc[:0])


def _structures(part: pd.DataFrame, methods: Collection[str]) -> Iterator[tuple[str, ...]]:
    """A line of table 2 for each structure, and for the questions of each other group of methods."""
    for (structure,), rows in grouped(part, ("structure",)):
        groups = list(by_answerers(rows))
        answering = [method for method in methods if any(method in answerers for answerers, _ in groups)]
        for answerers, group in groups:
            only = only_in_words(answerers, answering)
            levels = {method: estimate(mine) for (method,), mine in grouped(group, ("method",))}
            cells = [level_cell(levels[method]) if method in levels else Cell(MISSING) for method in methods]
            people = count_cell(levels[answerers[0]].patients)
            yield f"{structure}, {only}" if only else structure, *cells, people
