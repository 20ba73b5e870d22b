"""What a study decides before it is run: its one primary question, what must be kept, and who is compared with whom.

The p-value of the primary question stands as it is; all other questions of the study are corrected together (Holm).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ..metrics import METRICS
from .coordinates import complete, exact_rows, plain_rows, present

MARGIN = 0.02
"""Of Dice: a smaller change counts as none, where a study states no margin of its own."""


@dataclass(frozen=True)
class PrimaryQuestion:
    """The one question that a study asks first.

    Attributes:
        method, reference: which two are compared, as the tables name them.
        dataset: on whose patients.
        prompt: with which kind of prompt; None: with all kinds, averaged within each patient.
        metric: by which metric.
        margin: None asks whether they differ; a number, whether they are equal within it.
        context: of the answers.
        shift, strength: on which scans; without a shift on the unchanged ones.
        click: after how many clicks.
    """

    method: str
    reference: str
    dataset: str
    prompt: str | None = None
    metric: str = "dice"
    margin: float | None = None
    context: str = "known"
    shift: str = "none"
    strength: float = 0.0
    click: int = 0

    def rows(self, table: pd.DataFrame) -> pd.DataFrame:
        """The answers that it is about, with the most exact boxes of each kind of prompt."""
        rows = present(complete(table))
        rows = rows[(rows["dataset"] == self.dataset) & (rows["context"] == self.context)]
        if self.prompt is not None:
            rows = rows[rows["prompt"] == self.prompt]
        if self.shift == "none" and not self.click:
            return plain_rows(rows)
        rows = rows[(rows["shift"] == self.shift) & (rows["strength"] == self.strength) & (rows["click"] == self.click)]
        return exact_rows(rows)

    @property
    def where(self) -> str:
        """Of which answers, in words."""
        prompt = "all kinds of prompt" if self.prompt is None else self.prompt
        where = f"on {self.dataset} with {prompt}"
        if self.shift != "none":
            where += f", {self.shift} {self.strength:g}"
        if self.context != PrimaryQuestion.context:
            where += f", context {self.context}"
        return f"{where}, after {self.click} clicks" if self.click else where

    @property
    def words(self) -> str:
        """The question as a sentence."""
        measure = METRICS[self.metric].title
        if self.margin is None:
            return f"Do {self.method} and {self.reference} differ in {measure} {self.where}?"
        return f"Is {measure} of {self.method} that of {self.reference} within {self.margin:g} {self.where}?"


@dataclass(frozen=True)
class RetentionQuestion:
    """On which datasets nothing may be forgotten, such as CT after learning from MRI, and how much counts as nothing.

    Attributes:
        datasets: by name.
        margin: of Dice.
    """

    datasets: tuple[str, ...]
    margin: float = MARGIN

    @property
    def words(self) -> str:
        """The question as a sentence."""
        return f"Is Dice on {' and '.join(self.datasets)} kept within {self.margin:g}?"


@dataclass(frozen=True)
class Analysis:
    """How the table of a study is read; all but `warnings` is fixed before anything is measured.

    Attributes:
        title: the study's name.
        reference: the method that the others are compared with.
        primary: None: no question was named, and all are corrected.
        retention: None: nothing is to be kept.
        rivals: method -> others that are compared with it, too.
        badges: dataset -> "zero-shot", or why answers of the unadapted base on it are not; None leaves it out.
        warnings: sentences on what contradicts the results, such as a patient in training and test.
        omitted: sentences on questions that were not asked.
        external: datasets that nobody trained on.
    """

    title: str
    reference: str
    primary: PrimaryQuestion | None = None
    retention: RetentionQuestion | None = None
    rivals: Mapping[str, Sequence[str]] = field(default_factory=dict)
    badges: Mapping[str, str] | None = None
    warnings: Sequence[str] = ()
    omitted: Sequence[str] = ()
    external: Sequence[str] = ()
