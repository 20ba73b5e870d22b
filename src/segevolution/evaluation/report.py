"""The report of a study, as Markdown and as one HTML file that carries its pictures.

Every number in it is one of `findings`, which are computed from the table of results and nothing else, so that anyone
who holds results.parquet can make it again.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..files import replacing, write_text
from . import figures
from .analysis import Analysis
from .blocks import Block, Heading, Picture, Table, Text, markdown, page
from .calibration import IouCalibration
from .comparisons import MethodComparison, in_brackets, p_in_words
from .coordinates import plain_rows
from .findings import Findings, findings
from .intervals import FEWEST
from .levels import LevelRow, MetricTable
from .retention import Retention
from .sections import sections
from .sections.results import StudyResults
from .statistics import Difference, Estimate

MISSING = "–"

PAIRED = (
    "Differences of Dice between answers to the same prompt on the same structure of the same case, averaged within "
    "patients. Brackets hold the 95 % interval. p: sign flips over patients; corrected p: Holm's correction over all "
    "questions of this report but the primary one. Higher or lower is said only where the corrected p is below .05 and "
    "the interval excludes zero."
)
KEPT = (
    "Whether Dice on these data was kept: two one-sided tests, over all kinds of prompt. Kept: both bounds, each of "
    "which holds with 95 %, lie inside the margin, and the corrected p is below .05. Not shown is not kept."
)
CALIBRATED = (
    "The overlap (intersection over union) that the network predicts of its own answers, against the true one. Gap: "
    "predicted minus true, above zero where it thinks too well of itself."
)


def write_report(table: pd.DataFrame, folder: Path, analysis: Analysis, slices: Sequence[Picture] = ()) -> Path:
    """Write report.md, report.html and figures/ into a folder; returns the HTML file.

    Args:
        table: the rows of results.parquet.
        analysis: what the study decided before.
        slices: pictures of cases, made from the masks that the study kept.
    """
    study_findings = findings(table, analysis)
    chart = figures.draw_chart(plain_rows(table), study_findings.methods, list(dict.fromkeys(table["prompt"])))
    experiments = sections(StudyResults(table, analysis.reference, frozenset(analysis.external)))
    blocks = build(study_findings, chart, slices, experiments)
    for block in blocks:
        if isinstance(block, Picture):
            with replacing(folder / "figures" / f"{block.name}.png") as temporary:
                temporary.write_bytes(block.png)
    write_text(folder / "report.md", markdown(blocks))
    write_text(folder / "report.html", page(blocks, analysis.title))
    return folder / "report.html"


def build(
    shown: Findings, chart: bytes, slices: Sequence[Picture] = (), experiments: Sequence[Block] = ()
) -> list[Block]:
    """The report as blocks.

    Args:
        shown: what the table shows.
        chart: PNG of `figures.draw_chart`.
        slices: pictures of cases.
        experiments: the sections of the study's experiments.
    """
    analysis = shown.analysis
    blocks: list[Block] = [Heading(f"Study {analysis.title}", 1), *_primary(shown), *_what(shown)]
    blocks += [Heading("Mean Dice over structures"), level_rows(shown.metric("dice"), shown.methods)]
    blocks.append(
        Picture("dice", f"Mean Dice, with its 95 % interval from {FEWEST} patients on; dots are patients.", chart)
    )
    for reference in dict.fromkeys(comparison.reference for comparison in shown.comparisons):
        text = (Text((PAIRED,)),) if reference == analysis.reference else ()
        blocks += [Heading(f"Differences against {reference}"), *text, comparison_rows(shown.against(reference))]
    if shown.retention:
        blocks += [Heading("What was to be kept"), Text((KEPT,)), retention_rows(shown.retention)]
    blocks += experiments
    for table in shown.metrics:
        if table.metric.name != "dice":
            blocks += [Heading(title_of(table)), level_rows(table, shown.methods)]
    if shown.calibration:
        blocks += [Heading("Predicted overlap"), Text((CALIBRATED,)), calibration_rows(shown.calibration)]
    for part in shown.structures:
        rows = tuple(_cells(row, shown.methods, structure=True) for row in part.rows)
        columns = ("data", "structure", *shown.methods, "patients")
        blocks += [Heading(f"Dice of each structure: {part.prompt}"), Table(columns, rows)]
    if slices:
        chosen = "Chosen by rule: the best, the median and the worst case of each dataset."
        blocks += [Heading("Cases"), Text((chosen,)), *slices]
    work = tuple(
        (
            comparison.method,
            *(f"{value:.1f}" for value in (comparison.encodings, comparison.decodings, comparison.seconds)),
        )
        for comparison in shown.work
    )
    return [*blocks, Heading("Work"), Table(("method", "encodings a case", "decodings a case", "seconds a case"), work)]


def title_of(table: MetricTable) -> str:
    """A metric as a heading names it: which tolerance, which direction."""
    metric = table.metric
    tolerances = ", ".join(f"{value:g}" for value in table.tolerances)
    at = f" at {tolerances} mm" if tolerances else ""
    centre = "Median" if metric.distance else "Mean"
    return f"{centre} {metric.title}{at}" + (", lower is better" if metric.better == "lower" else "")


def level_rows(table: MetricTable, methods: Sequence[str]) -> Table:
    """Rows: dataset and prompt. Columns: methods, each a level with its interval, and the number of patients."""
    rows = tuple(_cells(row, methods) for row in table.rows)
    return Table(("data", "prompt", *methods, "patients"), rows)


def _cells(row: LevelRow, methods: Sequence[str], *, structure: bool = False) -> tuple[str, ...]:
    question = row.question
    where = place(question.dataset, question.modality)
    words = (where, question.words)
    if structure:
        _, comma, rest = question.words.partition(", ")
        words = (f"{where}{comma}{rest}", str(row.structure))
    levels = (written(row.levels[method]) if method in row.levels else MISSING for method in methods)
    low, high = row.patients
    return (*words, *levels, str(low) if low == high else f"{low} to {high}")


def comparison_rows(comparisons: Sequence[MethodComparison]) -> Table:
    """Rows: method, dataset and prompt, each method against the reference on the same questions."""
    rows = []
    for comparison in comparisons:
        change, p = written_difference(comparison.change)
        corrected = "primary" if comparison.primary else written_p(comparison.corrected)
        where = (
            comparison.method,
            place(comparison.question.dataset, comparison.question.modality),
            comparison.question.words,
        )
        counts = (str(comparison.change.estimate.patients), str(comparison.change.estimate.rows))
        rows.append((*where, change, p, corrected, comparison.verdict.value, *counts))
    columns = ("method", "data", "prompt", "difference", "p", "corrected p", "verdict", "patients", "pairs")
    return Table(columns, tuple(rows))


def retention_rows(retention: Sequence[Retention]) -> Table:
    """Rows: method and dataset, with both one-sided bounds of the change."""
    rows = []
    for kept_data in retention:
        tested, estimate = kept_data.equivalence, kept_data.change.estimate
        bounds = MISSING if estimate.patients < FEWEST else f"{tested.low:+.3f} to {tested.high:+.3f}"
        change = MISSING if not estimate.patients else f"{estimate.mean:+.3f}"
        where = (kept_data.method, place(kept_data.dataset, kept_data.modality))
        p = written_p(kept_data.corrected)
        rows.append((*where, change, bounds, f"{tested.margin:g}", p, kept_data.verdict.value, str(estimate.patients)))
    columns = ("method", "data", "change of Dice", "95 % bounds", "margin", "corrected p", "verdict", "patients")
    return Table(columns, tuple(rows))


def calibration_rows(calibration: Sequence[IouCalibration]) -> Table:
    """Rows: method and dataset, over all kinds of prompt."""
    rows = []
    for network_calibration in calibration:
        bins = "; ".join(f"{part.predicted:.2f}: {part.true:.2f} ({part.answers})" for part in network_calibration.bins)
        means = (
            written(network_calibration.predicted),
            written(network_calibration.true),
            in_brackets(network_calibration.gap, "+"),
            written(network_calibration.error),
        )
        correlation = (
            MISSING if math.isnan(network_calibration.correlation) else f"{network_calibration.correlation:.2f}"
        )
        rows.append(
            (
                network_calibration.method,
                place(network_calibration.dataset, network_calibration.modality),
                *means,
                correlation,
                bins,
            )
        )
    columns = (
        "method",
        "data",
        "predicted",
        "true",
        "gap",
        "mean error",
        "rank correlation",
        "predicted: true (answers)",
    )
    return Table(columns, tuple(rows))


def written(found: Estimate) -> str:
    """ "0.812 [0.760, 0.851]", or the mean alone where there are too few patients for an interval."""
    return MISSING if found.patients == 0 else in_brackets(found)


def written_difference(found: Difference) -> tuple[str, str]:
    """ "+0.104 [+0.061, +0.150]" and p, or dashes: where there is nothing to compare, or too few patients for a p."""
    if not found.estimate.patients:
        return MISSING, MISSING
    return in_brackets(found.estimate, "+"), MISSING if found.estimate.patients < FEWEST else written_p(found.p)


def written_p(p: float) -> str:
    """A p-value, or a dash."""
    return MISSING if math.isnan(p) else p_in_words(p)


def place(dataset: str, modality: str) -> str:
    """A dataset as the tables name it."""
    return f"{modality} ({dataset})"


def _primary(shown: Findings) -> list[Block]:
    if shown.primary is None:
        sentence = (
            f"No primary question was named before: all {shown.corrected_questions} questions are corrected together."
        )
        return [Text((sentence,))]
    primary = shown.primary
    return [
        Heading("Primary question"),
        Text((f"{primary.question.words} Answer: {primary.answer}. {primary.sentence}",)),
    ]


def _what(shown: Findings) -> list[Block]:
    analysis = shown.analysis
    badged = analysis.badges is not None
    tested = tuple(
        (
            place(tested_data.dataset, tested_data.modality),
            *(str(count) for count in (tested_data.patients, tested_data.cases, tested_data.structures)),
            ", ".join(tested_data.labels),
            *((tested_data.badge or MISSING,) if badged else ()),
        )
        for tested_data in shown.tested
    )
    runs = tuple(
        (
            tested_data.method,
            str(tested_data.runs),
            ", ".join(map(str, tested_data.seeds)) if tested_data.method != analysis.reference else MISSING,
            str(tested_data.answers),
            str(tested_data.empty),
        )
        for tested_data in shown.runs
    )
    columns = ("tested on", "patients", "cases", "structures", "labels", *(("unadapted base",) if badged else ()))
    return [
        Table(columns, tested),
        Table(("method", "runs", "seeds", "answers", "of these empty"), runs),
        Text(notes(shown)),
    ]


def notes(shown: Findings) -> tuple[str, ...]:
    """What the numbers rest on, in sentences."""
    few = [tested_data.dataset for tested_data in shown.tested if tested_data.patients < FEWEST]
    sentences = [
        "Prompts are simulated from the labels, not given by people: text is the structure's name, points are drawn "
        "inside the label, boxes are made round it. Every method was asked the same prompts.",
        "A value is a mean over patients, after averaging over a method's runs (seeds, folds), then over the "
        "patient's cases, then over the patient's structures. Brackets hold a 95 % interval over patients (on each "
        "side the wider of Student's t and the studentised bootstrap), widened where a method's runs differ.",
        "A distance to an empty answer is infinite and is never left out: distances are medians, in which it is the "
        "largest value.",
        "On which cases each run was trained, how, and with which versions: manifest.json beside this report.",
        "Results say how close answers come to these labels on these cases, and no more; this is research, not a "
        "medical device.",
    ]
    if few:
        sentences.insert(
            2,
            f"With fewer than {FEWEST} patients, as in {', '.join(dict.fromkeys(few))}, no interval holds what it "
            "promises: there are dots and differences, and nothing is decided.",
        )
    sentences += [f"Warning: {warning}" for warning in shown.analysis.warnings]
    sentences += [f"Not asked: {sentence}" for sentence in shown.analysis.omitted]
    return tuple(sentences)
