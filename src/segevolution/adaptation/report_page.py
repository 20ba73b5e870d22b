"""The page of an adaptation as blocks: the verdict on top, before and after, when not to adapt, what trained."""

from collections.abc import Sequence
from functools import partial

import pandas as pd

from ..evaluation.analysis import MARGIN, Analysis
from ..evaluation.blocks import Block, Heading, Line, Picture, Table, Text, VerdictBlock
from ..evaluation.cells import MISSING, Cell, Judgement, count_cell, difference_cells, level_cell, p_cell, place
from ..evaluation.findings import Findings, findings
from ..evaluation.intervals import FEWEST
from ..evaluation.patients import patient_pairs
from ..evaluation.plots.dots import draw_structures
from ..evaluation.plots.forest import ForestRow, draw_forest, draw_retention
from ..evaluation.plots.paired import PairedPanel, draw_pair_and_difference, draw_paired
from ..evaluation.report import calibration_blocks, levels_picture, training_blocks
from ..evaluation.report_files import PAGE, file_name
from ..evaluation.tables import level_rows, metric_title, structure_rows
from ..studies.recipe import UNTRAINED
from ..studies.training_curves import training_curves
from .evidence import WORTH, VerdictEvidence, VerdictRow
from .facts import AdaptFacts, read_badges
from .report_values import Training
from .verdict import Advice, Recommendation

RULES = (
    "No gain is shown: the 95 % interval of the paired differences over all kinds of prompt on held-out patients holds "
    f"zero, p of sign flips is .05 or more, or their mean is below {WORTH:g}.",
    f"That CT was kept within {MARGIN:g} of Dice is not shown (both one-sided bounds inside it), and CT has to be "
    "answered by the same adapter.",
    "The prompt kind or the structure that is wanted is one that fell, whatever the others gained.",
    f"Fewer than {FEWEST} patients were held out: then nobody knows, and the base is the safer choice.",
    "The scans to come are of another scanner, sequence or population than these patients: hold out such ones first.",
)
_TURNS = {
    Recommendation.USE: Judgement.GAIN,
    Recommendation.CARE: Judgement.CARE,
    Recommendation.NOT: Judgement.LOSS,
    Recommendation.UNKNOWN: Judgement.OPEN,
}
BEFORE = "before"  # what a page calls an expert that answered before
_NAMED = 6  # structures
_ROW_TURNS = {"gained": Judgement.GAIN, "rose": Judgement.GAIN, "fell": Judgement.LOSS}


def page_blocks(
    name: str,
    facts: AdaptFacts,
    table: pd.DataFrame,
    measured: VerdictEvidence,
    advice: Advice,
    trained: Training,
    command: str,
) -> list[Block]:
    """The whole page.

    Args:
        name: of the adapter.
        table: rows of the study about what was asked for.
        measured, advice: the verdict and what it rests on.
        trained: how the training went.
        command: to use the adapter.
    """
    before = _before(facts)
    table = table.assign(method=table["method"].astype(str).replace(UNTRAINED, before))
    report_findings = findings(table, Analysis(name, before))
    further = len(facts.structures) - _NAMED
    structures_text = ", ".join(facts.structures[:_NAMED]) + (f" and {further} more" if further > 0 else "")
    where = f"{'/'.join(facts.modalities) or 'scans'} of {facts.dataset}"
    curves = training_curves(facts.study / "models", _runs(facts))
    return [
        Heading(f"{name}: {facts.method} on {facts.base} for {where}", 1),
        VerdictBlock(
            "", advice.headline, f"Learned: {structures_text}. {facts.beginning}".strip(), _TURNS[advice.answer]
        ),
        *_gain(facts, table, measured),
        _listed([*advice.reasons]),
        Heading("Before and after"),
        _measured(measured.rows),
        levels_picture(report_findings, "dice"),
        *_differences(facts, report_findings, measured),
        *_other_metrics(report_findings),
        *_structures(report_findings),
        Heading("When not to adapt, and when not to use this adapter"),
        _listed([*(Line(f"Here: {sentence}.") for sentence in advice.when_not), *RULES]),
        Heading("What trained"),
        _parameters(trained),
        Text((training_in_words(trained),)),
        *training_blocks(curves, 3),
        Heading("How this was measured"),
        _listed(_notes(facts, measured)),
        Heading("Use it"),
        Text((f"    {command}",)),
        Text((f"The whole study, with every structure and cases drawn: {facts.study / PAGE}.",)),
    ]


def _before(facts: AdaptFacts) -> str:
    """What the page calls the untrained side: the base, or an expert that answered in its place."""
    return BEFORE if facts.beginning else UNTRAINED


def _runs(facts: AdaptFacts) -> list[str]:
    """The trainings of the study: of the folds, and the one that the adapter is of."""
    models = facts.study / "models"
    names = sorted(path.name for path in models.iterdir()) if models.is_dir() else []
    return [facts.run, *(name for name in names if name.startswith(f"{facts.run}-f"))]


def _gain(facts: AdaptFacts, table: pd.DataFrame, measured: VerdictEvidence) -> list[Block]:
    """The patients behind the one question that the verdict decides."""
    own_rows = table[~table["dataset"].isin(list(facts.retention))]
    before = _before(facts)
    pairs = patient_pairs(own_rows, facts.method, before)
    if not pairs:
        return []
    panel = PairedPanel("", before, facts.method, pairs, measured.gain)
    estimate = measured.gain.estimate
    interval = "and its 95 % interval" if estimate.shown else "without an interval: too few patients"
    caption = (
        "Dice over all kinds of prompt, before and after. Left: each line a patient; solid rises, dashed falls. "
        f"Right: the differences, their mean {interval}, n = {estimate.patients}."
    )
    return [Picture("gain", caption, partial(draw_pair_and_difference, panel))]


def _differences(facts: AdaptFacts, shown: Findings, measured: VerdictEvidence) -> list[Block]:
    """The forest plots of all kinds of prompt and of what was to be kept, and the patients' lines."""
    blocks: list[Block] = []
    before = _before(facts)
    rows = [_forest_row(row) for row in measured.rows if row.change.estimate.patients]
    if rows:
        caption = (
            f"Paired differences of Dice with their 95 % intervals from {FEWEST} patients on. ▲ rose and ▼ fell, by "
            f"{WORTH:g} or more and with an interval without zero; · is not shown."
        )
        label = f"difference of Dice, {facts.method} minus {before}"
        blocks.append(Picture("forest", caption, partial(draw_forest, rows, label)))
    plain = [comparison for comparison in shown.against(before) if comparison.question.plain and comparison.pairs]
    if plain:
        lines = f"From {before} to {facts.method}: each line a patient; solid rises, dashed falls, dotted stays."
        blocks.append(Picture("paired", lines, partial(draw_paired, plain)))
    if measured.kept:
        caption = (
            f"What became of CT: change of Dice with both one-sided 95 % bounds; shaded: the margin of {MARGIN:g}. "
            "= is kept: both bounds lie inside it."
        )
        blocks.append(Picture("kept", caption, partial(draw_retention, measured.kept)))
    return blocks


def _forest_row(row: VerdictRow) -> ForestRow:
    estimate = row.change.estimate
    return ForestRow(
        group=place(row.dataset, row.modality),
        label=row.prompt,
        mean=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        patients=estimate.patients,
        turn=_ROW_TURNS.get(row.turn, Judgement.OPEN),
        change=difference_cells(row.change)[0],
        verdict=row.turn,
    )


def _notes(facts: AdaptFacts, measured: VerdictEvidence) -> list[str]:
    badge = read_badges(facts).get(facts.dataset)
    return [
        f"{_patients(facts)}; {len(facts.left_out)} cases were left out (report.json names all).",
        facts.replay,
        *([facts.beginning] if facts.beginning else []),
        *([f"The unadapted base on {facts.dataset}: {badge}."] if badge else []),
        "Prompts are simulated from the labels: a tight box and points inside know more than a person's do.",
        "Intervals are 95 % (on each side the wider of Student's t and the studentised bootstrap over patients), p of "
        "sign flips; corrected p: for the number of kinds of prompt (Holm).",
        f"{measured.attempts} adapter{'s were' if measured.attempts > 1 else ' was'} measured on these patients so "
        "far, as the folders beside this one show.",
        "This is research, not a medical device.",
    ]


def _patients(facts: AdaptFacts) -> str:
    counts = facts.patients
    if facts.folds > 1:
        return (
            f"{counts['test']} patients, each tested once by one of {facts.folds} trainings that did not learn from "
            "it; the adapter in this folder learned from all of them, so it is measured by its like, not by itself"
        )
    return (
        f"{counts['train']} patients were learned from, {counts['validation']} kept to choose weights by, "
        f"{counts['test']} held out, {facts.how}"
    )


def _listed(lines: Sequence[str | Line]) -> Text:
    """A list, also of one."""
    return Text(tuple(lines), listed=True)


def _measured(rows: Sequence[VerdictRow]) -> Table:
    """Before and after, each with its interval, for each dataset and prompt kind."""
    cells = []
    for row in rows:
        turn = _ROW_TURNS.get(row.turn, Judgement.OPEN)
        change, p = difference_cells(row.change)
        sides = (level_cell(row.before), level_cell(row.after))
        where = (place(row.dataset, row.modality), row.prompt)
        corrected = Cell(MISSING) if row.retention or p == MISSING else p_cell(row.corrected)
        verdict = Cell(row.turn, turn=turn)
        cells.append((*where, *sides, change, p, corrected, verdict, count_cell(row.after.patients)))
    columns = ("data", "prompt", "before", "after", "difference", "p", "corrected p", "verdict", "patients")
    caption = "Dice before and after; p of sign flips over patients, corrected for the kinds of prompt by Holm's method"
    return Table(columns, tuple(cells), "dice", caption)


def _other_metrics(shown: Findings) -> list[Block]:
    """Surface, distance, volume and the calibration of the predicted overlap, before and after."""
    blocks: list[Block] = []
    for table in shown.metrics:
        if table.metric.name != "dice":
            picture = levels_picture(shown, table.metric.name)
            blocks += [Heading(metric_title(table), 3), level_rows(table, shown.methods), picture]
    return [*blocks, *calibration_blocks(shown, 3)]


def _structures(shown: Findings) -> list[Block]:
    blocks: list[Block] = []
    for part in shown.structures:
        caption = f"Dice of each structure with {part.prompt}; dots are patients."
        name = file_name(f"structures-{part.prompt}")
        picture = Picture(name, caption, partial(draw_structures, part, shown.methods))
        blocks += [Heading(f"Dice of each structure: {part.prompt}", 3), structure_rows(part, shown.methods), picture]
    return blocks


def _parameters(trained: Training) -> Table:
    """Values that trained, by part of the network."""
    parts: dict[str, list[int]] = {}
    for name, count in (trained.cost.parameters if trained.cost else {}).items():
        parts.setdefault(_part(name), []).append(count)
    cells = [(part, count_cell(len(counts)), Cell(f"{sum(counts):,}", sum(counts))) for part, counts in parts.items()]
    total = ("in all", "", Cell(f"{trained.values:,}", trained.values))
    return Table(("part", "tensors", "values"), (*cells, total), "trained", "Values that trained")


def _part(name: str) -> str:
    """Where a parameter is, and whether it is LoRA's or the base's own."""
    return f"{name.split('.')[0]}, LoRA" if ".lora_" in name else name.split(".")[0]


def training_in_words(trained: Training) -> str:
    """Steps, weights, seconds, memory and size."""
    clauses = [f"{trained.steps} steps" + ("" if trained.finished else ", until the time was up")]
    if trained.best_step is not None:
        clauses.append(f"weights of step {trained.best_step}, the best on the validation patients")
    cost = trained.cost
    if cost is not None and cost.steps:
        memory = "of GPU memory" if cost.device == "cuda" else "of memory (the whole process)"
        clauses.append(f"{cost.seconds_a_step:.2f} s a step on {cost.device}, validations included")
        clauses.append(f"at most {cost.peak_bytes / 1e9:.2f} GB {memory}")
    clauses.append(f"the adapter's weights take {trained.bytes / 1e6:.2f} MB")
    return "; ".join(clauses) + ". The name of every tensor that trained is in report.json."
