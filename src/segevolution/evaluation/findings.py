"""What a table of results shows, as plain data: `findings` is the only reader of the table, writers only format it.

tested, runs      on whom, and what was run
metrics           levels: a mean (of distances a median) of every metric, for each question and method
structures        the same of Dice, for each structure
comparisons       paired differences of Dice, each with its corrected p and its verdict
primary           the one question that the study named before it was run
retention         what was to be kept, by equivalence
calibration       predicted against true overlap
work              encodings, decodings and seconds a case
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..metrics import METRICS
from .analysis import Analysis
from .calibration import IouCalibration, calibration_of
from .comparisons import MethodComparison, PrimaryFinding, compare, correct, primary_finding
from .coordinates import complete, plain_rows, present
from .levels import MetricTable, StructureTable, level_table, structure_table
from .retention import Retention, retention_of
from .statistics import grouped
from .table_questions import questions_of


@dataclass(frozen=True)
class Tested:
    """A dataset of the study; `badge` says whether the unadapted base had seen it, None where nobody looked."""

    dataset: str
    modality: str
    patients: int
    cases: int
    structures: int
    labels: tuple[str, ...]
    badge: str | None


@dataclass(frozen=True)
class MethodRuns:
    """What was run of a method, how much it answered, and how often with nothing."""

    method: str
    runs: int
    seeds: tuple[int, ...]
    answers: int
    empty: int


@dataclass(frozen=True)
class Work:
    """Means over cases."""

    method: str
    encodings: float
    decodings: float
    seconds: float


@dataclass(frozen=True)
class Findings:
    """All that a report tells of; see the module."""

    analysis: Analysis
    methods: tuple[str, ...]
    tested: tuple[Tested, ...]
    runs: tuple[MethodRuns, ...]
    primary: PrimaryFinding | None
    metrics: tuple[MetricTable, ...]
    structures: tuple[StructureTable, ...]
    comparisons: tuple[MethodComparison, ...]
    corrected_questions: int
    retention: tuple[Retention, ...]
    calibration: tuple[IouCalibration, ...]
    work: tuple[Work, ...]

    def metric(self, name: str) -> MetricTable:
        """The table of one metric; KeyError where it was not measured."""
        return {table.metric.name: table for table in self.metrics}[name]

    def against(self, reference: str) -> tuple[MethodComparison, ...]:
        """The comparisons with one method."""
        return tuple(comparison for comparison in self.comparisons if comparison.reference == reference)


def findings(table: pd.DataFrame, analysis: Analysis) -> Findings:
    """What the rows of results.parquet show, read as the study decided before."""
    table = present(complete(table))
    plain = plain_rows(table)
    methods = tuple(dict.fromkeys(table["method"]))
    questions = tuple(questions_of(table))
    compared = compare(questions, methods, analysis)
    retentions = [
        retention
        for method in methods
        if analysis.retention and method != analysis.reference and analysis.reference in methods
        for retention in retention_of(
            table, method, analysis.reference, analysis.retention.datasets, analysis.retention.margin
        )
    ]
    compared, retentions, corrected_questions = correct(compared, retentions)
    return Findings(
        analysis=analysis,
        methods=methods,
        tested=_tested(table, analysis.badges),
        runs=_runs(table),
        primary=primary_finding(table, analysis.primary) if analysis.primary else None,
        metrics=tuple(
            level_table(table, methods, metric, questions)
            for metric in METRICS.values()
            if table[metric.name].notna().any()
        ),
        structures=tuple(structure_table(plain, methods, prompt) for prompt in dict.fromkeys(plain["prompt"])),
        comparisons=tuple(compared),
        corrected_questions=corrected_questions,
        retention=tuple(retentions),
        calibration=_calibrations(plain),
        work=_work(table, methods),
    )


def _tested(table: pd.DataFrame, badges: Mapping[str, str] | None) -> tuple[Tested, ...]:
    tested_data = []
    for (dataset, modality), rows in grouped(table, ("dataset", "modality")):
        patients, cases, structures = (int(rows[column].nunique()) for column in ("patient", "case", "structure"))
        labels = tuple(dict.fromkeys(map(str, rows["labels"])))
        badge = None if badges is None else badges.get(dataset, "")
        tested_data.append(Tested(dataset, modality, patients, cases, structures, labels, badge))
    return tuple(tested_data)


def _runs(table: pd.DataFrame) -> tuple[MethodRuns, ...]:
    return tuple(
        MethodRuns(
            method=method,
            runs=int(rows["run"].nunique()),
            seeds=tuple(sorted(map(int, rows["seed"].unique()))),
            answers=len(rows),
            empty=int((rows["predicted_voxels"] == 0).sum()),
        )
        for (method,), rows in grouped(table, ("method",))
    )


def _calibrations(plain: pd.DataFrame) -> tuple[IouCalibration, ...]:
    calibrations = []
    for (method, dataset, modality), rows in grouped(plain, ("method", "dataset", "modality")):
        calibration = calibration_of(rows, method, dataset, modality)
        calibrations += [calibration] if calibration is not None else []
    return tuple(calibrations)


def _work(table: pd.DataFrame, methods: Sequence[str]) -> tuple[Work, ...]:
    work_rows = []
    for method in methods:
        mine = table[table["method"] == method]
        cases = mine.groupby(["run", "dataset", "case", "context", "shift", "strength"])
        sums = [float(cases[name].sum().mean()) for name in ("encodings", "decodings", "seconds")]
        work_rows.append(Work(method, *sums))
    return tuple(work_rows)
