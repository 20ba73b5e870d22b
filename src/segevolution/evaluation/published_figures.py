"""Figures that others have published on the data of a study: kept in files that ship, never in a table of results.

    published_figures.json   single figures, each with its source, number of patients and whether it was checked here
    first_study.csv          all 878 cells of the first study (adapt_med_seg, 2024), as its result files hold them

They were measured on other patients, other splits and other prompts, so no statistic of a study may touch them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from ..documents import Document, read_json
from ..errors import StoreError

FIGURES, CELLS = "published_figures.json", "first_study.csv"
FIRST_STUDY = "Mihailov et al. 2024, github.com/SergheiMihailov/adapt_med_seg, its result files of 2024-06-21"
_MAIN = "400"  # the first study's experiment that compares its methods
_PROMPTS = ("text", "point", "bbox", "text_point", "text_bbox")

# Names of a study's datasets -> what the first study called them.
_OLD_NAMES = {
    "chaos": "chaos_mrct_42",
    "amos": "amos_mrct_42",
    "promise12": "promise12_mr_42",
    "saml": "SAML_mr_42",
    "msd_prostate": "MSD_mr_42",
    "t2w_prostate": "T2-weighted-MRI_mr_42",
    "brats": "brats_mr_42",
}


class PublishedFigure(Document):
    """One figure.

    Attributes:
        what: method or reader.
        learned_from: whose labels it learned from.
        data: as its authors name them.
        datasets: names that a study gives these data.
        structures: over which the mean is.
        dice: the mean.
        n: how many patients or scans, as the source counts them; None where it is not known here.
        source: who published it, where.
        checked: whether it was computed again from released files.
    """

    what: str
    learned_from: str
    data: str
    datasets: list[str]
    structures: str
    dice: float
    n: int | None
    source: str
    checked: bool


class _FiguresFile(Document):
    """published_figures.json."""

    figures: list[PublishedFigure]


@dataclass(frozen=True)
class FirstStudyRow:
    """The mean over structures of one model of the first study on one dataset, by one kind of prompt.

    Attributes:
        dataset: as a study names it.
        model, prompt: as the first study names them.
        dice: the mean of its cells.
        structures: number of cells.
        scans: fewest and most of a cell.
    """

    dataset: str
    model: str
    prompt: str
    dice: float
    structures: int
    scans: tuple[int, int]


@cache
def all_figures() -> tuple[PublishedFigure, ...]:
    """Every single figure that ships."""
    return tuple(read_json(Path(__file__).with_name(FIGURES), _FiguresFile, error=StoreError).figures)


def figures_on(datasets: Collection[str]) -> list[PublishedFigure]:
    """Those on any of a study's datasets."""
    return [figure for figure in all_figures() if set(figure.datasets) & set(datasets)]


@cache
def first_study_cells() -> pd.DataFrame:
    """Its 878 cells: experiment, model, prompts, dataset, modality, task, n, dice, run_mean_dice, note."""
    return pd.read_csv(Path(__file__).with_name(CELLS), dtype={"experiment": str})


def first_study_on(datasets: Collection[str]) -> list[FirstStudyRow]:
    """Its main experiment on any of a study's datasets, with exact prompts."""
    cells = first_study_cells()
    cells = cells[(cells["experiment"] == _MAIN) & cells["prompts"].isin(_PROMPTS)]
    rows = []
    for dataset in datasets:
        part = cells[cells["dataset"] == _OLD_NAMES.get(dataset, "")]
        for (model, prompt), group in part.groupby(["model", "prompts"], sort=True):
            scans = int(group["n"].min()), int(group["n"].max())
            rows.append(FirstStudyRow(dataset, str(model), str(prompt), float(group["dice"].mean()), len(group), scans))
    return rows
