"""The report of a study: which blocks it has, in which order.

Every number in it is one of `findings`, which are computed from the table of results and nothing else, so that anyone
who holds results.parquet can make it again.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from .analysis import Analysis
from .blocks import Block, Heading, Picture, Text, VerdictBlock
from .cells import Judgement
from .comparisons import MethodComparison, PrimaryFinding
from .findings import Findings, findings
from .intervals import FEWEST
from .plots.dots import draw_levels, draw_structures
from .plots.forest import draw_comparisons, draw_retention
from .plots.paired import draw_paired, draw_primary
from .plots.reliability import draw_reliability
from .plots.training import TrainingCurve, draw_training
from .report_files import file_name, write_blocks
from .report_notes import notes
from .sections import sections
from .sections.results import StudyResults
from .tables import (
    calibration_rows,
    comparison_rows,
    level_rows,
    metric_title,
    retention_rows,
    run_rows,
    structure_rows,
    tested_rows,
    work_rows,
)

PAIRED = (
    "Differences of Dice between answers to the same prompt on the same structure of the same case, averaged within "
    "patients. Brackets hold the 95 % interval. p: sign flips over patients; corrected p: Holm's correction over all "
    "questions of this report but the primary one. Higher or lower is said only where the corrected p is below .05 and "
    "the interval excludes zero."
)
KEPT = (
    "Whether Dice on these data was kept: two one-sided tests, over all kinds of prompt and contexts. Kept: both "
    "bounds, each of which holds with 95 %, lie inside the margin, and the corrected p is below .05. Not shown is not "
    "kept."
)
CALIBRATED = (
    "The overlap (intersection over union) that the network predicts of its own answers, against the true one, over "
    "all kinds of prompt and contexts. Gap: predicted minus true, above zero where it thinks too well of itself."
)
RANKED = (
    "Medians, in which an empty answer is infinitely far. Their intervals are over patients alone: what training runs "
    "add to the variance of a median is not in them."
)
_DOTS = f"Dots are patients; a marker is the method's {{centre}}, with its 95 % interval from {FEWEST} patients on."


def write_report(
    table: pd.DataFrame,
    folder: Path,
    analysis: Analysis,
    scans: Sequence[Picture] = (),
    training: Sequence[TrainingCurve] = (),
    *,
    latex: bool = False,
) -> tuple[Path, ...]:
    """Write the files of `report_files` into a folder, and return them, the page first.

    Args:
        table: the rows of results.parquet.
        analysis: what the study decided before.
        scans: pictures of cases, made from the masks that the study kept.
        training: what the runs left of their trainings.
        latex: write every table as LaTeX, too.
    """
    experiments = sections(StudyResults(table, analysis.reference, frozenset(analysis.external), published=True))
    blocks = build(findings(table, analysis), scans, experiments, training)
    return write_blocks(blocks, folder, f"Study {analysis.title}", latex=latex)


def build(
    shown: Findings,
    scans: Sequence[Picture] = (),
    experiments: Sequence[Block] = (),
    training: Sequence[TrainingCurve] = (),
) -> list[Block]:
    """The report as blocks; arguments as of `write_report`, with the sections of the study's experiments."""
    return [
        Heading(f"Study {shown.analysis.title}", 1),
        *_primary(shown),
        tested_rows(shown),
        run_rows(shown),
        Text(notes(shown)),
        Heading("Mean Dice over structures"),
        level_rows(shown.metric("dice"), shown.methods),
        levels_picture(shown, "dice"),
        *_differences(shown),
        *(_retention(shown) if shown.primary is not None else ()),
        *experiments,
        *_other_metrics(shown),
        *calibration_blocks(shown),
        *_structures(shown),
        *_cases(scans),
        *training_blocks(training),
        Heading("Work"),
        work_rows(shown.work),
    ]


def _primary(shown: Findings) -> list[Block]:
    """The verdict and its figure; without a primary question what was to be kept, else all differences at one look."""
    if shown.primary is None:
        sentence = (
            f"No primary question was named before: all {shown.corrected_questions} questions are corrected together."
        )
        return [Text((sentence,)), *(_retention(shown) or _forest(shown, shown.analysis.reference))]
    primary = shown.primary
    question = primary.question
    caption = (
        f"{question.method} against {question.reference} {question.where}. Left: each line a patient; solid: better "
        "with the method, dashed: worse. Right: the differences"
    )
    interval = "its 95 % interval"
    if question.margin is not None:
        interval = "both one-sided 95 % bounds of the test of equivalence"
    caption += {
        "ranked": f": their pseudomedian, since infinite ones are ranked, n = {primary.change.estimate.patients}.",
        "shown": f": their mean and {interval}, n = {primary.change.estimate.patients}.",
        "few": f": their mean, n = {primary.change.estimate.patients}: too few for an interval.",
    }["ranked" if primary.change.ranked else "shown" if primary.change.estimate.shown else "few"]
    if question.margin is not None:
        caption += f" Shaded: the margin of {question.margin:g}."
    blocks: list[Block] = [
        Heading("Primary question"),
        VerdictBlock(question.words, primary.answer, primary.sentence, _turn_of_answer(primary)),
    ]
    return [*blocks, Picture("primary", caption, partial(draw_primary, primary))] if primary.pairs else blocks


def _turn_of_answer(primary: PrimaryFinding) -> Judgement:
    """Whether the answer is good news: better by the metric, or equal within the margin."""
    if primary.answer == "not shown":
        return Judgement.OPEN
    if primary.question.margin is not None:
        return Judgement.KEPT if primary.answer == "yes" else Judgement.LOSS
    return Judgement.GAIN if primary.is_better else Judgement.LOSS


def _differences(shown: Findings) -> list[Block]:
    """The forest plot, the table and the patients' lines against each reference."""
    blocks: list[Block] = []
    for reference in dict.fromkeys(comparison.reference for comparison in shown.comparisons):
        compared, plain = shown.against(reference), _plain(shown, reference)
        blocks.append(Heading(f"Differences against {reference}"))
        if reference == shown.analysis.reference:
            blocks.append(Text((PAIRED,)))
        if shown.primary is not None or shown.retention or reference != shown.analysis.reference:
            blocks += _forest(shown, reference)
        blocks.append(comparison_rows(compared))
        for method in dict.fromkeys(one.method for one in plain):
            mine = [one for one in plain if one.method == method]
            lines = f"From {reference} to {method}: each line a patient; solid rises, dashed falls, dotted stays."
            blocks.append(Picture(file_name(f"paired-{method}-{reference}"), lines, partial(draw_paired, mine)))
    return blocks


def _plain(shown: Findings, reference: str) -> list[MethodComparison]:
    """The comparisons of unchanged scans and first answers that anybody answered."""
    return [one for one in shown.against(reference) if one.question.plain and one.pairs]


def _forest(shown: Findings, reference: str) -> list[Picture]:
    compared = _plain(shown, reference)
    caption = (
        f"Paired differences of Dice against {reference}, with their 95 % intervals from {FEWEST} patients on. "
        "▲ higher and ▼ lower are shown after correction; · is not."
    )
    name = file_name(f"forest-{reference}")
    return [Picture(name, caption, partial(draw_comparisons, compared, reference))] if compared else []


def _retention(shown: Findings) -> list[Block]:
    if not shown.retention:
        return []
    caption = (
        "Change of Dice with both one-sided 95 % bounds; shaded: the margin. = is kept: both bounds lie inside it. "
        f"No bounds below {FEWEST} patients."
    )
    picture = Picture("kept", caption, partial(draw_retention, shown.retention))
    return [Heading("What was to be kept"), Text((KEPT,)), picture, retention_rows(shown.retention)]


def levels_picture(shown: Findings, metric: str) -> Picture:
    """Dots and levels of a metric; named by its column."""
    table = shown.metric(metric)
    centre = "median" if table.metric.distance else "mean"
    caption = f"{metric_title(table)}. {_DOTS.format(centre=centre)}"
    if table.metric.distance:
        caption += " ∞: an empty answer."
    return Picture(metric, caption, partial(draw_levels, table, shown.methods))


def _other_metrics(shown: Findings) -> list[Block]:
    blocks: list[Block] = []
    for table in shown.metrics:
        if table.metric.name != "dice":
            blocks.append(Heading(metric_title(table)))
            blocks += [Text((RANKED,))] if table.metric.distance else []
            blocks.append(level_rows(table, shown.methods))
            blocks.append(levels_picture(shown, table.metric.name))
    return blocks


def calibration_blocks(shown: Findings, level: int = 2) -> list[Block]:
    """The reliability diagram and its table; nothing where no overlap was predicted."""
    if not shown.calibration:
        return []
    caption = (
        "Predicted against true overlap: answers are binned by the predicted one, a marker stands at a bin's means and "
        "is larger the more answers it holds. Below the dashed line a network thinks too well of its answers."
    )
    picture = Picture("reliability", caption, partial(draw_reliability, shown.calibration))
    heading, table = Heading("Predicted overlap", level), calibration_rows(shown.calibration)
    return [heading, Text((CALIBRATED,)), picture, table]


def _structures(shown: Findings) -> list[Block]:
    blocks: list[Block] = []
    for part in shown.structures:
        name = file_name(f"structures-{part.prompt}")
        caption = f"Dice of each structure with {part.prompt}. {_DOTS.format(centre='mean')}"
        blocks += [
            Heading(f"Dice of each structure: {part.prompt}"),
            structure_rows(part, shown.methods),
            Picture(name, caption, partial(draw_structures, part, shown.methods)),
        ]
    return blocks


def _cases(scans: Sequence[Picture]) -> list[Block]:
    if not scans:
        return []
    chosen = (
        "Chosen by rule: the best, the median and the worst case of each dataset. Letters are the patient's sides: "
        "right (R), left, anterior, posterior, superior, inferior."
    )
    return [Heading("Cases"), Text((chosen,)), *scans]


def training_blocks(training: Sequence[TrainingCurve], level: int = 2) -> list[Block]:
    """The curves of all runs; nothing where none left any."""
    if not training:
        return []
    caption = "Loss of the training batches, in means over twentieths of the training"
    if any(curve.validation is not None for curve in training):
        caption += ", and Dice of the validation patients; a ring: the step whose weights were taken"
    picture = Picture("training", f"{caption}.", partial(draw_training, tuple(training)))
    return [Heading("Training", level), picture]
