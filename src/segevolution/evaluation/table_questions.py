"""The questions of a study, as its tables list them: a dataset, a kind of prompt, and the coordinates that vary."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from .coordinates import in_words, plain_rows, varying
from .statistics import grouped


@dataclass(frozen=True)
class TableQuestion:
    """What was asked on a dataset.

    Attributes:
        dataset, modality, prompt, context: see `results.SCHEMA`.
        words: the question, with the coordinates and the context that vary in the study.
        plain: whether it is of unchanged scans and first answers, with the most exact boxes.
    """

    dataset: str
    modality: str
    prompt: str
    context: str
    words: str
    plain: bool


def questions_of(table: pd.DataFrame) -> Iterator[tuple[TableQuestion, pd.DataFrame]]:
    """Each question of a complete table with its rows; coordinates of several values are part of a question."""
    others = varying(table)
    plain = set(plain_rows(table).index)
    contexts = table["context"].nunique() > 1
    by = ("dataset", "modality", "prompt", "context", *others)
    for (dataset, modality, prompt, context, *values), rows in grouped(table, by):
        words = f"{prompt}, context {context}" if contexts else prompt
        extra = in_words(others, values, prompt)
        words += f", {extra}" if extra else ""
        yield TableQuestion(dataset, modality, prompt, context, words, rows.index[0] in plain), rows
