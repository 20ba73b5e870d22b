"""The two tables of the first study: method by training set, and structure by method.

Table 1 holds the mean over the patients of all datasets; sets on which nobody trained stand apart, as external. Means
of one row are over the questions that every method of the table answered, so that none is better for having been
asked less.
"""

from collections.abc import Collection, Iterator

import pandas as pd

from ...metrics import METRICS
from ..blocks import Block, Heading, Table, Text
from ..cells import MISSING, Cell, count_cell, level_cell
from ..coordinates import complete, plain_rows
from ..statistics import by_patient, estimate, estimate_of, grouped
from .results import StudyResults

_QUESTION = ["dataset", "case", "structure", "prompt", "context", "prompt_seed"]

_HOW = (
    "Mean Dice over held-out patients, each patient's structures averaged first, over the questions that every method "
    "of the row's kind of data answered. External: datasets that nobody trained on."
)


def cohorts_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    rows = plain_rows(complete(results.table))
    if rows["cohort"].nunique() < 2:
        return []
    blocks: list[Block] = [Heading("Table 1: method and training set"), Text((_HOW,))]
    lines = []
    for title, part in _parts(rows, results.external):
        prompts = list(dict.fromkeys(part["prompt"]))
        shared = {prompt: _shared(part[part["prompt"] == prompt]) for prompt in prompts}
        for (family, cohort), _ in grouped(part, ("family", "cohort")):
            cells, people = [], 0
            for prompt in prompts:
                mine = shared[prompt]
                mine = mine[(mine["family"] == family) & (mine["cohort"] == cohort)]
                values = list(by_patient(mine).values()) if len(mine) else []
                people = max(people, len(values))
                cells.append(level_cell(estimate_of(values, span=METRICS["dice"].span)))
            lines.append((title, family, cohort or "not trained", *cells, count_cell(people)))
    prompts = list(dict.fromkeys(rows["prompt"]))
    blocks.append(Table(("data", "method", "trained on", *prompts, "patients"), tuple(lines)))
    return [*blocks, Heading("Table 2: structure and method"), *_structures(rows)]


def _parts(rows: pd.DataFrame, external: Collection[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """(what the row of table 1 is about, its rows): held-out patients and external ones, MRI and CT apart."""
    for (modality,), part in grouped(rows, ("modality",)):
        outside = part["dataset"].isin(set(external))
        for title, group in ((f"{modality}, held out", part[~outside]), (f"{modality}, external", part[outside])):
            if len(group):
                yield title, group


def _shared(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows about questions that every method answered."""
    methods = rows["method"].nunique()
    answered = rows.groupby(_QUESTION, observed=True)["method"].transform("nunique")
    return rows[answered == methods]


def _structures(rows: pd.DataFrame) -> Iterator[Block]:
    methods = list(dict.fromkeys(rows["method"]))
    for prompt, part in ((prompt, rows[rows["prompt"] == prompt]) for prompt in dict.fromkeys(rows["prompt"])):
        lines = []
        for (modality, structure), group in grouped(part, ("modality", "structure")):
            cells = []
            for method in methods:
                mine = group[group["method"] == method]
                cells.append(level_cell(estimate(mine)) if len(mine) else Cell(MISSING))
            people = group.groupby(["dataset", "patient"]).ngroups
            lines.append((modality, structure, *cells, count_cell(people)))
        yield Text((f"{prompt}:",))
        yield Table(("modality", "structure", *methods, "patients"), tuple(lines))
