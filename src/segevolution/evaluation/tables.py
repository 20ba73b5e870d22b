"""The tables of a report, from its findings: each cell is text with the number behind it."""

from collections.abc import Sequence

from ..metrics import Metric
from .blocks import Table
from .calibration import IouCalibration
from .cells import (
    MISSING,
    Cell,
    count_cell,
    difference_cells,
    level_cell,
    number_cell,
    p_cell,
    place,
    turn_of,
    turn_of_kept,
)
from .comparisons import MethodComparison, bounds_in_words, in_brackets
from .findings import Findings, Work
from .intervals import FEWEST
from .levels import LevelRow, MetricTable, StructureTable
from .retention import Retention

_BOUNDS = "Bounds: each holds with 95 % (two one-sided tests against the margin); none below six patients."
_RANKED = (
    "Median, with the interval of its order statistics over patients alone, without what training runs add; an answer "
    "that is empty counts as infinitely far."
)


def metric_title(table: MetricTable) -> str:
    """A metric as a heading names it: which tolerance, which direction."""
    metric = table.metric
    tolerances = ", ".join(f"{value:g}" for value in table.tolerances)
    at = f" at {tolerances} mm" if tolerances else ""
    centre = "Median" if metric.distance else "Mean"
    return f"{centre} {metric.title}{at}" + (", lower is better" if metric.better == "lower" else "")


def level_rows(table: MetricTable, methods: Sequence[str]) -> Table:
    """Rows: dataset and prompt. Columns: methods, each a level with its interval, and the number of patients."""
    rows = tuple(_level_cells(row, methods) for row in table.rows)
    columns = ("data", "prompt", *methods, "patients")
    return Table(columns, rows, table.metric.name, metric_title(table), _note(table.metric))


def structure_rows(table: StructureTable, methods: Sequence[str]) -> Table:
    """Rows: dataset and structure, for one kind of prompt."""
    rows = tuple(_level_cells(row, methods, structure=True) for row in table.rows)
    columns = ("data", "structure", *methods, "patients")
    return Table(columns, rows, f"structures-{table.prompt}", f"Dice of each structure with {table.prompt}")


def _note(metric: Metric) -> str:
    return _RANKED if metric.distance else ""


def _level_cells(row: LevelRow, methods: Sequence[str], *, structure: bool = False) -> tuple[str, ...]:
    question = row.question
    where = place(question.dataset, question.modality)
    words = (where, question.words)
    if structure:
        _, comma, rest = question.words.partition(", ")
        words = (f"{where}{comma}{rest}", str(row.structure))
    levels = (level_cell(row.levels[method]) if method in row.levels else Cell(MISSING) for method in methods)
    return (*words, *levels, count_cell(row.patients))


def comparison_rows(comparisons: Sequence[MethodComparison]) -> Table:
    """Rows: method, dataset and prompt, each method against the reference on the same questions."""
    rows = []
    for comparison in comparisons:
        turn = turn_of(comparison.verdict)
        change, p = difference_cells(comparison.change)
        corrected = Cell("primary") if comparison.primary else p_cell(comparison.corrected)
        where = (
            comparison.method,
            place(comparison.question.dataset, comparison.question.modality),
            comparison.question.words,
        )
        verdict = Cell(comparison.verdict.value, turn=turn)
        counts = (count_cell(comparison.change.estimate.patients), count_cell(comparison.change.estimate.rows))
        rows.append((*where, change, p, corrected, verdict, *counts))
    columns = ("method", "data", "prompt", "difference", "p", "corrected p", "verdict", "patients", "pairs")
    against = comparisons[0].reference if comparisons else ""
    caption = (
        f"Paired differences of Dice against {against}; p of sign flips over patients, corrected by Holm's method "
        "over all questions of the study but the primary one"
    )
    return Table(columns, tuple(rows), f"differences-{against}", caption)


def retention_rows(retention: Sequence[Retention]) -> Table:
    """Rows: method and dataset, with both one-sided bounds of the change."""
    rows = []
    for kept_data in retention:
        tested, estimate = kept_data.equivalence, kept_data.change.estimate
        bounds = Cell(MISSING)
        if estimate.patients >= FEWEST:
            bounds = Cell(bounds_in_words(tested), low=tested.low, high=tested.high)
        change = Cell(MISSING) if not estimate.patients else Cell(f"{estimate.mean:+.3f}", estimate.mean)
        where = (kept_data.method, place(kept_data.dataset, kept_data.modality))
        margin = Cell(f"{tested.margin:g}", tested.margin)
        verdict = Cell(kept_data.verdict.value, turn=turn_of_kept(kept_data.verdict))
        patients = count_cell(estimate.patients)
        rows.append((*where, change, bounds, margin, p_cell(kept_data.corrected), verdict, patients))
    columns = ("method", "data", "change of Dice", "95 % bounds", "margin", "corrected p", "verdict", "patients")
    return Table(columns, tuple(rows), "kept", "Whether Dice was kept within the margin", _BOUNDS)


def calibration_rows(calibration: Sequence[IouCalibration]) -> Table:
    """Rows: method and dataset, over all kinds of prompt and contexts."""
    rows = []
    for one in calibration:
        bins = "; ".join(f"{part.predicted:.2f}: {part.true:.2f} ({part.answers})" for part in one.bins)
        gap = Cell(in_brackets(one.gap, "+"), one.gap.mean, one.gap.low, one.gap.high)
        means = (level_cell(one.predicted), level_cell(one.true), gap, level_cell(one.error))
        where = (one.method, place(one.dataset, one.modality))
        rows.append((*where, *means, number_cell(one.correlation, ".2f"), bins, count_cell(one.gap.patients)))
    columns = (
        "method",
        "data",
        "predicted",
        "true",
        "gap",
        "mean error",
        "rank correlation",
        "predicted: true (answers)",
        "patients",
    )
    return Table(columns, tuple(rows), "predicted-overlap", "Predicted against true intersection over union")


def tested_rows(shown: Findings) -> Table:
    """Rows: datasets, on whom was tested."""
    badged = shown.analysis.badges is not None
    rows = tuple(
        (
            place(tested_data.dataset, tested_data.modality),
            *(count_cell(count) for count in (tested_data.patients, tested_data.cases, tested_data.structures)),
            ", ".join(tested_data.labels),
            *((tested_data.badge or MISSING,) if badged else ()),
        )
        for tested_data in shown.tested
    )
    columns = ("tested on", "patients", "cases", "structures", "labels", *(("unadapted base",) if badged else ()))
    return Table(columns, rows, "tested", "Test data")


def run_rows(shown: Findings) -> Table:
    """Rows: methods, what was run of each."""
    rows = tuple(
        (
            method_runs.method,
            count_cell(method_runs.runs),
            ", ".join(map(str, method_runs.seeds)) if method_runs.method != shown.analysis.reference else MISSING,
            count_cell(method_runs.answers),
            count_cell(method_runs.empty),
        )
        for method_runs in shown.runs
    )
    return Table(("method", "runs", "seeds", "answers", "of these empty"), rows, "runs", "What was run")


def work_rows(work: Sequence[Work]) -> Table:
    """Rows: methods, what an answer costs."""
    rows = tuple(
        (one.method, *(number_cell(value, ".1f") for value in (one.encodings, one.decodings, one.seconds)))
        for one in work
    )
    columns = ("method", "encodings a case", "decodings a case", "seconds a case")
    return Table(columns, rows, "work", "Work of each method, means over cases")
