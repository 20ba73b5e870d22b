"""What a section of a report is made from."""

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from ..coordinates import in_words


@dataclass(frozen=True, eq=False)
class StudyResults:
    """The results of a study.

    Attributes:
        table: the rows of results.parquet.
        reference: the method that the others are compared with.
        external: datasets that nobody trained on.
        published: whether figures that others published on its data are shown as well.
    """

    table: pd.DataFrame
    reference: str
    external: frozenset[str] = frozenset()
    published: bool = False


def question_in_words(rows: pd.DataFrame, prompt: str, context: str, **coordinates: str) -> str:
    """A kind of prompt, with its context and coordinates said where the rows of its section have several."""
    several = {name: value for name, value in coordinates.items() if rows[name].nunique() > 1}
    parts = [prompt, *([f"context {context}"] if rows["context"].nunique() > 1 else [])]
    words = in_words(list(several), list(several.values()), prompt)
    return ", ".join([*parts, *([words] if words else [])])


def learned_from(rows: pd.DataFrame) -> str:
    """How many patients a method's runs learned from: "5", or "3 to 4" where seeds or folds differ."""
    return range_in_words(rows["trained_on"].tolist())


def range_in_words(numbers: Collection[int]) -> str:
    """ "5", or "3 to 5"."""
    least, most = min(numbers), max(numbers)
    return f"{least}" if least == most else f"{least} to {most}"
