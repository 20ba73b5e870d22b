"""Write the results of `segevolution adapt`: the adapter with its card, and one page that says whether to use it."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from ..adapters.artifact import check_replaceable, copy_with_card, describe
from ..documents import read_json
from ..errors import RecipeError
from ..evaluation.cells import difference_cells, level_cell, place
from ..evaluation.report_files import MARKDOWN, PAGE, write_blocks
from ..files import plain_values, replacing, write_json
from ..models import hub
from ..studies.recipe import UNTRAINED
from .evidence import VerdictRow, measure
from .facts import AdaptFacts, left_alone, read_badges, read_training
from .report_page import page_blocks, training_in_words
from .report_values import Training, estimate_values, retention_values, row_values, training_values
from .verdict import Advice, advise

REPORT = "report.json"


def write_adapter(
    facts: AdaptFacts, table: pd.DataFrame, output: Path, *, force: bool, latex: bool = False
) -> dict[str, Any]:
    """Write the adapter's folder, whole or not at all; returns what report.json holds.

    Args:
        facts: see AdaptFacts.
        table: the rows of the study.
        output: the folder.
        force: replace another adapter there.
        latex: write the report's tables as LaTeX, too.
    """
    asked_rows = table[(table["dataset"] != facts.dataset) | table["structure"].isin(list(facts.structures))]
    measured = measure(
        asked_rows,
        facts.method,
        UNTRAINED,
        facts.retention,
        simulated=facts.simulated,
        learned=facts.learned,
        by_design=left_alone(facts),
        attempts=len(facts.attempts),
    )
    rows, advice = measured.rows, advise(measured)
    trained = read_training(facts)
    command = use_command(output, facts)
    report_values = {
        "key": facts.key,
        "request": dict(facts.request),
        "verdict": advice.answer.value,
        "headline": advice.headline,
        "reasons": list(advice.reasons),
        "when_not": list(advice.when_not),
        "measured": [row_values(row) for row in rows],
        "gain": {**estimate_values(measured.gain.estimate), "p": plain_values(measured.gain.p)},
        "fallen_structures": list(measured.fallen),
        "attempts": measured.attempts,
        "known_attempts": [attempt.model_dump() for attempt in facts.attempts],
        "ct": [retention_values(attempt) for attempt in measured.kept],
        "base_on_these_data": read_badges(facts),
        "split": {"how": facts.how, "patients": dict(facts.patients), "cases": asdict(facts.split)},
        "left_out": dict(facts.left_out),
        "remarks": dict(facts.remarks),
        "training": training_values(trained),
        "replay": facts.replay,
        "beginning": facts.beginning,
        "use": command,
        "study": str(facts.study),
    }
    check_replaceable(output, force=force)
    with replacing(output) as temporary:
        copy_with_card(facts.study / "models" / facts.run / "adapter", temporary, _card(facts, trained, rows, advice))
        blocks = page_blocks(output.name, facts, asked_rows, measured, advice, trained, command)
        write_blocks(blocks, temporary, output.name, latex=latex)
        write_json(temporary / REPORT, report_values)
    return read_json(output / REPORT, dict[str, Any], error=RecipeError)


def use_command(output: Path, facts: AdaptFacts) -> str:
    """The command that asks the adapter about a new scan."""
    words = ["segevolution", "segment", "new.nii.gz"]
    if len(facts.modalities) == 1:  # a NIfTI file does not say it, and a gate needs it
        words += ["--modality", facts.modalities[0]]
    if facts.base != hub.DEFAULT:
        words += ["--model", shlex.quote(facts.base)]
    return " ".join([*words, "--adapter", shlex.quote(str(output)), "--text", f'"{facts.structures[0]}"'])


def _card(facts: AdaptFacts, trained: Training, rows: Sequence[VerdictRow], advice: Advice) -> dict[str, Any]:
    metrics = {}
    for row in rows:
        change, p = difference_cells(row.change)
        metrics[f"Dice, {place(row.dataset, row.modality)}, {row.prompt}"] = (
            f"{level_cell(row.before)} before, {level_cell(row.after)} after; difference {change}, p {p}, "
            f"n = {row.after.patients}"
        )
    known = ", ".join(facts.modalities) or "the scans it learned from"
    trained_card = describe(facts.study / "models" / facts.run / "adapter")["card"]
    return {
        **trained_card,
        "title": f"{facts.method} for {known} of {facts.dataset}",
        "verdict": advice.headline,
        "report": f"{MARKDOWN}, or {PAGE}, beside this card.",
        "steps": f"{training_in_words(trained)} {facts.replay}",
        "metrics": metrics,
        "not_for": [
            *advice.when_not,
            f"modalities and structures other than {known} and {', '.join(facts.structures)}",
        ],
    }
