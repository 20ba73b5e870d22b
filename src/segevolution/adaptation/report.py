"""Write the results of `segevolution adapt`: the adapter with its card, and one page that says whether to use it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from ..adapters.artifact import WEIGHTS, check_replaceable, copy_with_card, describe
from ..data.splits import Split
from ..documents import read_json
from ..errors import RecipeError
from ..evaluation import figures
from ..evaluation.analysis import MARGIN
from ..evaluation.blocks import Heading, Line, Picture, Table, Text, markdown
from ..evaluation.calibration import calibration_of
from ..evaluation.intervals import FEWEST
from ..evaluation.levels import level_table
from ..evaluation.report import (
    MISSING,
    calibration_rows,
    level_rows,
    place,
    title_of,
    written,
    written_difference,
    written_p,
)
from ..evaluation.statistics import grouped
from ..files import plain_values, replacing, write_json, write_text
from ..metrics import METRICS
from ..models import hub
from ..studies.recipe import UNTRAINED
from .attempts import Attempt
from .cost import read_cost
from .report_values import Training, estimate_values, retention_values, row_values, training_values
from .verdict import WORTH, Advice, VerdictEvidence, VerdictRow, advise, measure

REPORT = "report.json"
PAGE = "report.md"

RULES = (
    "No gain is shown: the 95 % interval of the paired differences over all kinds of prompt on held-out patients holds "
    f"zero, p of sign flips is .05 or more, or their mean is below {WORTH:g}.",
    f"That CT was kept within {MARGIN:g} of Dice is not shown (both one-sided bounds inside it), and CT has to be "
    "answered by the same adapter.",
    "The prompt kind or the structure that is wanted is one that fell, whatever the others gained.",
    f"Fewer than {FEWEST} patients were held out: then nobody knows, and the base is the safer choice.",
    "The scans to come are of another scanner, sequence or population than these patients: hold out such ones first.",
)


@dataclass(frozen=True)
class AdaptFacts:
    """What is told beside the measurements.

    Attributes:
        request: plain values.
        key: of the recipe, the data and the split.
        dataset: its name in the tables.
        split: cases; `patients`: part -> how many; `how`: they were dealt, in words; `folds`: of cross-validation.
        left_out: case -> why it cannot be used; `remarks`: case -> what is odd about it.
        structures: learned and measured.
        modalities: of the patients that were learned from.
        retention: datasets that tell what was forgotten; `simulated`: those of them that are simulated.
        attempts: adapters that were measured on some of these patients, this one among them.
        replay: in words.
        method, base: by name; `beginning`: where the training began, in words, empty at the bare base.
        run: of the study, whose folder is `study`.
    """

    request: Mapping[str, Any]
    key: str
    dataset: str
    split: Split
    patients: Mapping[str, int]
    folds: int
    how: str
    left_out: Mapping[str, str]
    remarks: Mapping[str, str]
    structures: Sequence[str]
    modalities: Sequence[str]
    retention: Sequence[str]
    simulated: Sequence[str]
    attempts: Sequence[Attempt]
    replay: str
    method: str
    base: str
    beginning: str
    run: str
    study: Path


class _SavedFile(BaseModel):
    """Base of what is read of a file that a study wrote; the rest of the file is of no interest here."""

    model_config = ConfigDict(extra="ignore")


class _TrainedNote(_SavedFile):
    """trained.json."""

    trained_parameters: int
    step: int
    finished: bool
    best_step: int | None = None


class _ZeroShotBadges(_SavedFile):
    """A dataset in manifest.json."""

    unadapted_base: str | None = None


class _StudyManifest(_SavedFile):
    """manifest.json."""

    data: dict[str, _ZeroShotBadges]


def write_adapter(facts: AdaptFacts, table: pd.DataFrame, output: Path, *, force: bool) -> dict[str, Any]:
    """Write the adapter's folder, whole or not at all; returns what report.json holds.

    Args:
        facts: see AdaptFacts.
        table: the rows of the study.
        output: the folder.
        force: replace another adapter there.
    """
    asked_rows = table[(table["dataset"] != facts.dataset) | table["structure"].isin(list(facts.structures))]
    measured = measure(
        asked_rows, facts.method, UNTRAINED, facts.retention, simulated=facts.simulated, attempts=len(facts.attempts)
    )
    rows, advice = measured.rows, advise(measured)
    trained = _training(facts)
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
        "base_on_these_data": _badges(facts),
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
        blocks = _page(output.name, facts, asked_rows, measured, advice, trained, command)
        (temporary / "figures").mkdir()
        for block in blocks:
            if isinstance(block, Picture):
                (temporary / "figures" / f"{block.name}.png").write_bytes(block.png)
        write_text(temporary / PAGE, markdown(blocks))
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


def _training(facts: AdaptFacts) -> Training:
    place_of = facts.study / "models" / facts.run
    note = read_json(place_of / "trained.json", _TrainedNote, error=RecipeError)
    return Training(
        values=note.trained_parameters,
        bytes=(place_of / "adapter" / WEIGHTS).stat().st_size,
        steps=note.step,
        best_step=note.best_step,
        finished=note.finished,
        cost=read_cost(place_of / "fit"),
    )


def _badges(facts: AdaptFacts) -> dict[str, str]:
    """Dataset -> whether the base had seen it, from the study's manifest."""
    data = read_json(facts.study / "manifest.json", _StudyManifest, error=RecipeError).data
    return {name: entry.unadapted_base for name, entry in data.items() if entry.unadapted_base}


def _page(
    name: str,
    facts: AdaptFacts,
    table: pd.DataFrame,
    measured: VerdictEvidence,
    advice: Advice,
    trained: Training,
    command: str,
) -> list[Heading | Text | Table | Picture]:
    methods, prompts = [UNTRAINED, facts.method], list(dict.fromkeys(table["prompt"]))
    structures_text = ", ".join(facts.structures[:6]) + (" ..." if len(facts.structures) > 6 else "")
    where = f"{'/'.join(facts.modalities) or 'scans'} of {facts.dataset}"
    badge = _badges(facts).get(facts.dataset)
    notes = [
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
    return [
        Heading(f"{name}: {facts.method} on {facts.base} for {where}", 1),
        Text((Line(advice.headline, f"Learned: {structures_text}."),)),
        _listed([*advice.reasons]),
        Heading("Before and after"),
        _measured(measured.rows),
        Picture(
            "dice",
            f"Mean Dice, with its 95 % interval from {FEWEST} patients on; dots are patients.",
            figures.draw_chart(table, methods, prompts),
        ),
        *_other_metrics(table, methods),
        Heading("When not to adapt, and when not to use this adapter"),
        _listed([*(Line(f"Here: {sentence}.") for sentence in advice.when_not), *RULES]),
        Heading("What trained"),
        _parameters(trained),
        Text((_in_words(trained),)),
        Heading("How this was measured"),
        _listed(notes),
        Heading("Use it"),
        Text((f"    {command}",)),
        Text((f"The whole study, with every structure and cases drawn: {facts.study / 'report.html'}.",)),
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
        change, p = written_difference(row.change)
        sides = (written(row.before), written(row.after))
        where = (place(row.dataset, row.modality), row.prompt)
        corrected = MISSING if row.retention or p == MISSING else written_p(row.corrected)
        cells.append((*where, *sides, change, p, corrected, row.turn, str(row.after.patients)))
    columns = ("data", "prompt", "before", "after", "difference", "p", "corrected p", "verdict", "patients")
    return Table(columns, tuple(cells))


def _other_metrics(table: pd.DataFrame, methods: Sequence[str]) -> list[Heading | Table]:
    """Surface, distance, volume and the calibration of the predicted overlap, before and after."""
    blocks: list[Heading | Table] = []
    for metric in METRICS.values():
        if metric.name != "dice" and table[metric.name].notna().any():
            levels = level_table(table, methods, metric)
            blocks += [Heading(title_of(levels), 3), level_rows(levels, methods)]
    calibrations = [
        calibration_of(rows, method, dataset, modality)
        for (method, dataset, modality), rows in grouped(table, ("method", "dataset", "modality"))
    ]
    calibrated = [calibration for calibration in calibrations if calibration is not None]
    return [*blocks, Heading("Predicted overlap", 3), calibration_rows(calibrated)] if calibrated else blocks


def _parameters(trained: Training) -> Table:
    """Values that trained, by part of the network."""
    parts: dict[str, list[int]] = {}
    for name, count in (trained.cost.parameters if trained.cost else {}).items():
        parts.setdefault(_part(name), []).append(count)
    cells = [(part, str(len(counts)), f"{sum(counts):,}") for part, counts in parts.items()]
    return Table(("part", "tensors", "values"), (*cells, ("in all", "", f"{trained.values:,}")))


def _part(name: str) -> str:
    """Where a parameter is, and whether it is LoRA's or the base's own."""
    return f"{name.split('.')[0]}, LoRA" if ".lora_" in name else name.split(".")[0]


def _in_words(trained: Training) -> str:
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


def _card(facts: AdaptFacts, trained: Training, rows: Sequence[VerdictRow], advice: Advice) -> dict[str, Any]:
    metrics = {}
    for row in rows:
        change, p = written_difference(row.change)
        metrics[f"Dice, {place(row.dataset, row.modality)}, {row.prompt}"] = (
            f"{written(row.before)} before, {written(row.after)} after; difference {change}, p {p}, "
            f"n = {row.after.patients}"
        )
    known = ", ".join(facts.modalities) or "the scans it learned from"
    trained_card = describe(facts.study / "models" / facts.run / "adapter")["card"]
    return {
        **trained_card,
        "title": f"{facts.method} for {known} of {facts.dataset}",
        "verdict": f"{advice.headline} See {PAGE}.",
        "steps": f"{_in_words(trained)} {facts.replay}",
        "metrics": metrics,
        "not_for": [
            *advice.when_not,
            f"modalities and structures other than {known} and {', '.join(facts.structures)}",
        ],
    }
