"""The report of a study, as Markdown and as one HTML file that carries its pictures.

Every number in it is computed from the table of results and nothing else, so that anyone who holds
results.parquet can make it again.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import replacing, write_text
from ..metrics import METRICS, Metric
from . import figures
from .blocks import Block, Heading, Picture, Table, Text, markdown, page
from .coordinates import complete, in_words, plain_rows, present, varying
from .statistics import FEW, Difference, Estimate, difference, estimate, grouped

MISSING = "–"

PAIRED = (
    "Differences of Dice between answers to the same prompt on the same structure of the same case, averaged within "
    "patients. The verdict says whether the interval excludes zero, where there are patients enough. p: Wilcoxon "
    "signed-rank over patients, not corrected for the number of rows."
)


def write_report(
    table: pd.DataFrame,
    folder: Path,
    title: str,
    reference: str,
    slices: Sequence[Picture] = (),
    badges: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    rivals: Mapping[str, Sequence[str]] | None = None,
    omitted: Sequence[str] = (),
) -> Path:
    """Write report.md, report.html and figures/ into a folder; returns the HTML file.

    Args:
        table: the rows of results.parquet.
        title: the study's name.
        reference: the method that the others are compared with.
        slices: pictures of cases, made from the masks that the study kept.
        badges: dataset -> "zero-shot", or why answers of the unadapted base on it are not; None leaves it out.
        warnings: sentences on what contradicts the results, such as a patient in training and test.
        rivals: method -> others that are compared with it, too.
        omitted: sentences on questions that were not asked.
    """
    blocks = build(table, title, reference, slices, badges, warnings, rivals, omitted)
    for block in blocks:
        if isinstance(block, Picture):
            with replacing(folder / "figures" / f"{block.name}.png") as temporary:
                temporary.write_bytes(block.png)
    write_text(folder / "report.md", markdown(blocks))
    write_text(folder / "report.html", page(blocks, title))
    return folder / "report.html"


def build(
    table: pd.DataFrame,
    title: str,
    reference: str,
    slices: Sequence[Picture] = (),
    badges: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    rivals: Mapping[str, Sequence[str]] | None = None,
    omitted: Sequence[str] = (),
) -> list[Block]:
    """The report as blocks, from the table of results; see `write_report`."""
    table = present(complete(table))
    plain = plain_rows(table)
    methods = list(dict.fromkeys(table["method"]))
    prompts = list(dict.fromkeys(table["prompt"]))
    blocks: list[Block] = [Heading(f"Study {title}", 1), *_what(table, reference, badges, warnings, omitted)]
    blocks += [Heading("Mean Dice over structures"), glance(table, methods)]
    blocks.append(
        Picture(
            "dice", "Mean Dice with its 95 % interval; dots are patients.", figures.draw_chart(plain, methods, prompts)
        )
    )
    others = [method for method in methods if method != reference]
    if others and reference in methods:
        blocks += [Heading(f"Differences against {reference}"), Text((PAIRED,)), differences(table, others, reference)]
    for rival, compared in (rivals or {}).items():
        blocks += [Heading(f"Differences against {rival}"), differences(table, compared, rival)]
    for metric in METRICS.values():
        if metric.name != "dice" and table[metric.name].notna().any():
            blocks += [Heading(_title(metric, table)), glance(table, methods, metric.name)]
    for prompt in prompts:
        blocks += [Heading(f"Dice of each structure: {prompt}"), by_structure(plain, methods, prompt)]
    if slices:
        blocks += [
            Heading("Cases"),
            Text(("Chosen by rule: the best, the median and the worst case of each dataset.",)),
        ]
        blocks += slices
    return [*blocks, Heading("Work"), _work(table, methods)]


def _title(metric: Metric, table: pd.DataFrame) -> str:
    """A metric as a heading names it: which tolerance, which direction."""
    tolerances = ", ".join(f"{value:g}" for value in sorted(table["nsd_tolerance_mm"].dropna().unique()))
    at = f" at {tolerances} mm" if metric.name == "nsd" else ""
    return f"Mean {metric.title}{at}" + (", lower is better" if metric.better == "lower" else "")


def glance(table: pd.DataFrame, methods: Sequence[str], metric: str = "dice") -> Table:
    """Rows: dataset and prompt. Columns: methods, each a mean with its interval, and the number of patients."""
    rows = []
    for (dataset, modality), question, group in _questions(table):
        cells = [written(estimate(group[group["method"] == method], metric)) for method in methods]
        rows.append((place(dataset, modality), question, *cells, _patients(group, metric)))
    return Table(("data", "prompt", *methods, "patients"), tuple(rows))


def _questions(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str], str, pd.DataFrame]]:
    """((dataset, modality), the question in words, its rows); coordinates of several values are part of a question."""
    others = varying(table)
    for (dataset, modality, prompt, context, *values), group in grouped(
        table, ("dataset", "modality", "prompt", "context", *others)
    ):
        extra = in_words(others, values, prompt)
        yield (dataset, modality), asked(table, prompt, context) + (f", {extra}" if extra else ""), group


def by_structure(table: pd.DataFrame, methods: Sequence[str], prompt: str, metric: str = "dice") -> Table:
    """Rows: dataset and structure, for one kind of prompt. Columns as in `glance`."""
    rows = []
    part = table[table["prompt"] == prompt]
    for (dataset, modality, context, structure), group in grouped(
        part, ("dataset", "modality", "context", "structure")
    ):
        cells = [written(estimate(group[group["method"] == method], metric)) for method in methods]
        rows.append((asked(table, place(dataset, modality), context), structure, *cells, _patients(group, metric)))
    return Table(("data", "structure", *methods, "patients"), tuple(rows))


def differences(table: pd.DataFrame, others: Sequence[str], reference: str) -> Table:
    """Rows: method, dataset and prompt, each method against the reference on the same questions."""
    rows = []
    for method in others:
        for (dataset, modality), question, group in _questions(table):
            gain = difference(group, method, reference)
            change, p = written_difference(gain)
            counts = (str(gain.estimate.patients), str(gain.estimate.rows))
            where = (method, place(dataset, modality), question)
            rows.append((*where, change, p, gain.verdict, *counts))
    return Table(("method", "data", "prompt", "difference", "p", "verdict", "patients", "pairs"), tuple(rows))


def written(found: Estimate) -> str:
    """ "0.812 [0.760, 0.851]", or the mean alone where one patient leaves no interval."""
    if found.patients == 0:
        return MISSING
    if np.isnan(found.low):
        return f"{found.mean:.3f}"
    return f"{found.mean:.3f} [{found.low:.3f}, {found.high:.3f}]"


def written_difference(found: Difference) -> tuple[str, str]:
    """ "+0.104 [+0.061, +0.150]" and p, or a dash where there is nothing to compare."""
    change = found.estimate
    if change.patients == 0:
        return MISSING, MISSING
    interval = "" if np.isnan(change.low) else f" [{change.low:+.3f}, {change.high:+.3f}]"
    return f"{change.mean:+.3f}{interval}", f"{found.p:.3f}"


def place(dataset: str, modality: str) -> str:
    """A dataset as the tables name it."""
    return f"{modality} ({dataset})"


def asked(table: pd.DataFrame, what: str, context: str) -> str:
    """`what`, with the context said where a study has more than one."""
    return what if table["context"].nunique() == 1 else f"{what}, context {context}"


def _what(
    table: pd.DataFrame,
    reference: str,
    badges: Mapping[str, str] | None,
    warnings: Sequence[str],
    omitted: Sequence[str],
) -> list[Block]:
    rows = []
    for (dataset, modality), group in grouped(table, ("dataset", "modality")):
        names = [str(group[column].nunique()) for column in ("patient", "case", "structure")]
        labels = ", ".join(dict.fromkeys(group["labels"]))
        badge = () if badges is None else (badges.get(dataset, MISSING),)
        rows.append((place(dataset, modality), *names, labels, *badge))
    runs = []
    for (method,), group in grouped(table, ("method",)):
        seeds = ", ".join(str(seed) for seed in sorted(group["seed"].unique()))
        counts = group["run"].nunique()
        runs.append((method, str(counts), seeds if method != reference else MISSING, str(len(group))))
    few = table.groupby("dataset")["patient"].nunique()
    notes = [
        "Prompts are simulated from the labels, not given by people: text is the structure's name, points are drawn "
        "inside the label, boxes are made round it. Every method was asked the same prompts.",
        "A value is a mean over patients, after averaging over a method's runs (seeds, folds), then over the "
        "patient's cases, then over the patient's structures. Brackets hold a 95 % percentile bootstrap interval "
        "over patients.",
        "On which cases each run was trained, how, and with which versions: manifest.json beside this report.",
        "Results say how close answers come to these labels on these cases, and no more; this is research, not a "
        "medical device.",
    ]
    notes += [f"Warning: {warning}" for warning in warnings]
    notes += [f"Not asked: {sentence}" for sentence in omitted]
    if few.min() < FEW:
        notes.insert(
            2,
            f"With fewer than {FEW} patients, as in {', '.join(few[few < FEW].index)}, bootstrap intervals are too "
            "narrow and a Wilcoxon test cannot reach p = .05: read such rows as single observations.",
        )
    return [
        Table(("tested on", "patients", "cases", "structures", "labels", *_badged(badges)), tuple(rows)),
        Table(("method", "runs", "seeds", "answers"), tuple(runs)),
        Text(tuple(notes)),
    ]


def _badged(badges: Mapping[str, str] | None) -> tuple[str, ...]:
    """The column that says whether the unadapted base had seen the data, where that was looked into."""
    return () if badges is None else ("unadapted base",)


def _work(table: pd.DataFrame, methods: Sequence[str]) -> Table:
    rows = []
    for method in methods:
        method_rows = table[table["method"] == method]
        cases = method_rows.groupby(["run", "dataset", "case", "context", "shift", "strength"])
        encoded, decoded = cases["encodings"].sum().mean(), cases["decodings"].sum().mean()
        rows.append((method, f"{encoded:.1f}", f"{decoded:.1f}", f"{cases['seconds'].sum().mean():.1f}"))
    return Table(("method", "encodings a case", "decodings a case", "seconds a case"), tuple(rows))


def _patients(group: pd.DataFrame, metric: str) -> str:
    """How many patients were answered: one number, or a range where methods were tested on different ones."""
    counts = group.dropna(subset=[metric]).groupby("method")["patient"].nunique()
    if counts.empty:
        return "0"
    return str(counts.min()) if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
