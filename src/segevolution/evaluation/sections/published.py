"""Published figures beside a study's own: another table, other patients, and no part of any statistic."""

from collections.abc import Iterable

from ..blocks import Block, Heading, Table, Text
from ..published_figures import FIRST_STUDY, FirstStudyRow, PublishedFigure, figures_on, first_study_on
from .results import StudyResults

_HOW = (
    "What others have published on data of these names. Their patients, splits, labels and prompts are not those of "
    "this study, so no difference against them is computed, and none of them enters a mean, an interval or a test."
)
_FIRST = (
    f"The first study, {FIRST_STUDY}: mean Dice over the cells of its structures. In its text runs the structure's "
    "name reached the network as a list in training and as a word at test."
)


def published_section(results: StudyResults) -> list[Block]:
    """See SECTIONS."""
    datasets = list(dict.fromkeys(results.table["dataset"])) if results.published else []
    figures, first = figures_on(datasets), first_study_on(datasets)
    if not figures and not first:
        return []
    blocks: list[Block] = [Heading("Published figures"), Text((_HOW,))]
    if figures:
        columns = ("published", "data", "learned from", "structures", "mean Dice", "n", "source", "checked here")
        blocks.append(Table(columns, tuple(_figure_rows(figures))))
    if first:
        blocks += [
            Text((_FIRST,)),
            Table(("published", "data", "prompt", "mean Dice", "cells", "scans"), _cells(first)),
        ]
    return blocks


def _figure_rows(figures: Iterable[PublishedFigure]) -> Iterable[tuple[str, ...]]:
    for figure in figures:
        yield (
            figure.what,
            figure.data,
            figure.learned_from or "–",
            figure.structures,
            f"{figure.dice:.3f}",
            "not known" if figure.n is None else str(figure.n),
            figure.source,
            "yes" if figure.checked else "no",
        )


def _cells(rows: Iterable[FirstStudyRow]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            row.model,
            row.dataset,
            row.prompt,
            f"{row.dice:.3f}",
            str(row.structures),
            str(row.scans[0]) if row.scans[0] == row.scans[1] else f"{row.scans[0]} to {row.scans[1]}",
        )
        for row in rows
    )
