"""The report of a study: its rows joined into one table, told of with pictures, and a manifest beside them.

results.parquet, manifest.json                see evaluation.results
report.md, report.html, figures/, tables/    see evaluation.report_files
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict

from ..documents import read_json
from ..errors import RecipeError
from ..evaluation.analysis import Analysis
from ..evaluation.blocks import Picture
from ..evaluation.cells import place
from ..evaluation.chosen_cases import choose_cases
from ..evaluation.plots.cases import draw_case
from ..evaluation.report import write_report
from ..evaluation.report_files import has_latex
from ..evaluation.results import Mask, surroundings
from ..files import check_writable, write_json
from .jobs import ReportJob
from .mixture_card import note_gates
from .training_curves import training_curves
from .workspace import Workspace


class Manifest(BaseModel):
    """What this package reads of manifest.json again; `report` holds the report's files, relative to the folder."""

    model_config = ConfigDict(extra="allow")

    study: str
    calls: list[dict[str, Any]] = []
    report: list[str] = []
    recipe: Any = None
    plan: Any = None


def read_manifest(folder: Path, study: str) -> Manifest:
    """The manifest of an earlier call; an empty one where there is none.

    Raises:
        RecipeError: the folder is another study's, or the manifest is damaged.
        OutputError: the folder cannot be written.
    """
    path = folder / "manifest.json"
    check_writable(path)
    if not path.is_file():
        return Manifest(study=study)
    manifest = read_json(path, Manifest, error=RecipeError)
    if manifest.study != study:
        raise RecipeError(f"{folder} holds the study {manifest.study}; choose another folder with -o.")
    return manifest


def analysis_of(job: ReportJob, warnings: Sequence[str] = ()) -> Analysis:
    """What the study decided before, as the report reads its table; `warnings` beside the job's own."""
    return Analysis(
        title=job.study,
        reference=job.reference,
        primary=job.primary,
        retention=job.retention,
        rivals=job.rivals,
        badges=job.badges,
        warnings=(*job.warnings, *warnings),
        omitted=job.omitted,
        external=job.external,
    )


def report(
    job: ReportJob,
    workspace: Workspace,
    call: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    *,
    latex: bool = False,
) -> pd.DataFrame:
    """Join the rows, and write table, report and manifest where they are not what they would be.

    Args:
        call: what is said of the call that asks, for the manifest; None where it measured and trained nothing.
        warnings: sentences beside the job's own.
        latex: write the report's tables as LaTeX, too, and the report anew where they are not there.

    Returns:
        The table of results.
    """
    folder, results = workspace.folder, workspace.results
    before = read_manifest(folder, job.study)
    had_latex = any(name.endswith(".tex") for name in before.report) or has_latex(folder)
    files = [folder / name for name in before.report]
    whole = bool(files) and all(file.is_file() for file in files) and results.has_table() and (had_latex or not latex)
    if call or not whole or any(getattr(before, name) != job.manifest[name] for name in ("recipe", "plan")):
        table = results.join(job.parts, {evaluation.part: evaluation.columns() for evaluation in job.evaluations})
        curves = training_curves(folder / "models", (training.run for training in job.trainings))
        scans = _scans(table, job, workspace)
        written = write_report(table, folder, analysis_of(job, warnings), scans, curves, latex=latex or had_latex)
        made = {
            "calls": [*before.calls, *([dict(call)] if call else [])],
            "report": [file.relative_to(folder).as_posix() for file in written],
        }
        write_json(folder / "manifest.json", {"study": job.study, **surroundings(), **job.manifest, **made})
    else:
        table = results.table()
    note_gates(job, table, workspace)
    return table


def _scans(table: pd.DataFrame, job: ReportJob, workspace: Workspace) -> list[Picture]:
    """Pictures of the cases that `choose_cases` picks, with the answers of the reference and of one method beside it.

    It is the method that the primary question asks about, where that has such answers; else the first.
    """
    methods = table[table["prompt"] == job.drawn]["method"]
    others = [name for name in dict.fromkeys(methods) if name != job.reference]
    primary_methods = [name for name in others if job.primary is not None and name == job.primary.method]
    method = next(iter([*primary_methods, *others]), job.reference)
    plain = [evaluation for evaluation in job.evaluations if evaluation.plain]
    pictures = []
    for choice in choose_cases(table, method, job.reference, job.drawn):
        same = [
            evaluate_job
            for evaluate_job in plain
            if (evaluate_job.part.dataset, evaluate_job.part.case) == (choice.dataset, choice.case)
        ]
        masks_by_run: dict[str, dict[str, Mask]] = {}
        for evaluation in same:
            if evaluation.method == job.reference or evaluation.part.run == choice.run:
                masks_by_run.setdefault(evaluation.method, workspace.results.masks(evaluation.part))
        structures = list(dict.fromkeys(name for masks in masks_by_run.values() for name in masks))
        if not structures:
            continue
        case = workspace.store(same[0].store).read(choice.case)
        scores = f"{choice.method} {choice.dice:.3f}"
        if choice.method != job.reference:
            scores += f", {job.reference} {choice.reference_dice:.3f}"
        where = place(choice.dataset, choice.modality)
        caption = f"{choice.case}, the {choice.rank} of {where} by Dice of {method} with {job.drawn}: {scores}"
        draw = partial(draw_case, case, masks_by_run, structures)
        caption = f"{caption} (means over structures)."
        pictures.append(Picture(f"{choice.dataset}-{choice.rank}", caption, draw, is_scan=True))
    return pictures
