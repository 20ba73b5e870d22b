"""The questions of a study, as its tables list them: a dataset, a kind of prompt, and the coordinates that vary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from .coordinates import QUESTION, in_words, plain_rows, varying
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


Questions = Sequence[tuple[TableQuestion, pd.DataFrame]]
"""The questions of a table, each with its rows."""


def questions_of(table: pd.DataFrame, *, plain: bool = False) -> Iterator[tuple[TableQuestion, pd.DataFrame]]:
    """Each question of a complete table with its rows; coordinates of several values are part of a question.

    Args:
        table: of answers.
        plain: whether it is known that all rows are plain.
    """
    others = varying(table)
    plain_places = set((table if plain else plain_rows(table)).index)
    contexts = table["context"].nunique() > 1
    by = ("dataset", "modality", "prompt", "context", *others)
    for (dataset, modality, prompt, context, *values), rows in grouped(table, by):
        words = f"{prompt}, context {context}" if contexts else prompt
        extra = in_words(others, values, prompt)
        words += f", {extra}" if extra else ""
        yield TableQuestion(dataset, modality, prompt, context, words, rows.index[0] in plain_places), rows


def by_answerers(rows: pd.DataFrame, metric: str = "dice") -> Iterator[tuple[tuple[str, ...], pd.DataFrame]]:
    """(methods, rows of the questions that these and no others answered), those of the most methods first.

    Means of several methods may stand side by side only over the same questions.

    Args:
        rows: of a complete table.
        metric: a row without it is no answer.
    """
    answers = rows[rows[metric].notna()]
    questions = list(zip(*(answers[name].tolist() for name in QUESTION), strict=True))
    methods = answers["method"].tolist()
    answerers: dict[tuple[object, ...], dict[str, None]] = {}
    for question, method in zip(questions, methods, strict=True):
        answerers.setdefault(question, {})[method] = None
    order = dict.fromkeys(methods)
    groups = [frozenset(answerers[question]) for question in questions]
    for group in sorted(dict.fromkeys(groups), key=len, reverse=True):
        yield tuple(name for name in order if name in group), answers[[one == group for one in groups]]


def only_in_words(answerers: Sequence[str], methods: Sequence[str]) -> str:
    """ "only lora" or "all but unet", where not all of the methods answered; else empty."""
    others = [name for name in methods if name not in answerers]
    if not others:
        return ""
    names, word = (answerers, "only") if len(answerers) <= len(others) else (others, "all but")
    return f"{word} {', '.join(names)}"
