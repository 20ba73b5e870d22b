"""A study from its recipe to its report: what is known is read, all is planned, and what is missing is done.

Every job leaves its result whole or not at all, so a study can be killed at any moment; the same call goes on.

    runs/<name>/data/<dataset>/        stores that the study made
    runs/<name>/models/<run>/          fit/ (checkpoint, curves), adapter/, trained.json
    runs/<name>/parts/ ... results.parquet, manifest.json        see evaluation.results
    runs/<name>/report.md, report.html, figures/, tables/        see evaluation.report_files
    runs/<name>/claims/                while several processes work on it, who trains what
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from ..evaluation.analysis import Analysis
from ..evaluation.report_files import PAGE
from ..recipes.stores import PreparedStore, StoreRef
from ..runtime import resolve_device
from .facts import DatasetFacts, read_bases
from .jobs import Plan
from .plan import plan, plan_data
from .primary import note_analysis
from .recipe import Recipe
from .reporting import analysis_of, read_manifest, report
from .rivals import RIVALS
from .run import Executor, LocalExecutor
from .warm_start import starts_of
from .workspace import FitFunction, Workspace


@dataclass(frozen=True)
class StudyOutcome:
    """What a call did.

    Attributes:
        table: all rows of the study; those that are there, where some are missing.
        report: the HTML file; None while something is missing, since it is written once nothing is.
        trained: runs that this call trained.
        measured: (run, case, shift, strength) that this call measured.
        planned: all of them.
        missing: those that nobody has measured yet, since this call did one part of the study.
        left_out: "dataset/case" -> why it cannot be used.
        not_asked: sentences on questions that a base cannot be asked.
        analysis: what was decided before, to read the table by.
    """

    table: pd.DataFrame
    report: Path | None
    trained: tuple[str, ...]
    measured: int
    planned: int
    missing: int
    left_out: Mapping[str, str]
    not_asked: tuple[str, ...]
    analysis: Analysis


def run_study(
    recipe: Recipe,
    folder: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
    fit: FitFunction | None = None,
    executor: Executor | None = None,
    latex: bool = False,
) -> StudyOutcome:
    """Run a study, or the rest of it.

    Args:
        folder: of the study; one that holds another study is refused.
        root: where the recipe's data paths begin; None reads SEGEVOLUTION_DATA.
        device: "auto", "cpu" or "cuda".
        quiet: no progress.
        fit: how adapters are trained; None takes `training.fit`.
        executor: what does the jobs; None takes this process.
        latex: write the report's tables as LaTeX, too.

    Raises:
        SegevolutionError: the recipe, its data, its base or the folder cannot be used.
    """
    started = time.time()
    executor = executor or LocalExecutor()
    workspace = Workspace(folder, device, quiet, fit)
    resolve_device(device)
    read_manifest(folder, recipe.name)
    bases = read_bases(recipe.bases)
    starts = starts_of(recipe, bases)
    prepared = executor.prepare(plan_data(recipe, root), workspace)
    for store in prepared.values():
        for case, why in store.failed.items():
            workspace.console.print(f"left out {case}: {why}")
    study_plan = plan(recipe, {name: _facts(name, store, folder) for name, store in prepared.items()}, bases, starts)
    for sentence in study_plan.report.warnings:
        workspace.console.print(f"warning: {sentence}")
    for sentence in study_plan.report.omitted:
        workspace.console.print(f"not asked: {sentence}")
    evaluations_done = sum(workspace.results.has(job.part) for job in study_plan.evaluations)
    workspace.console.print(_ahead(study_plan, workspace, evaluations_done))
    late_warnings = note_analysis(
        folder,
        reference=study_plan.report.reference,
        primary=study_plan.report.primary,
        retention=study_plan.report.retention,
        measured=evaluations_done,
    )
    work = executor.run(study_plan, workspace)
    if work.missing:
        parts = {job.part: job.columns() for job in study_plan.evaluations}
        table = workspace.results.rows(parts, parts)
    else:
        call = {
            "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - started, 1),
            "device": str(resolve_device(device)),
            "trained": list(work.trained),
            "measured": work.measured,
        }
        new_call = call if work.measured or work.trained else None
        table = report(study_plan.report, workspace, new_call, late_warnings, latex=latex)
    return StudyOutcome(
        table=table,
        report=None if work.missing else folder / PAGE,
        trained=work.trained,
        measured=work.measured,
        planned=len(study_plan.evaluations),
        missing=work.missing,
        left_out=study_plan.report.manifest["left_out"],
        not_asked=study_plan.report.omitted,
        analysis=analysis_of(study_plan.report, late_warnings),
    )


def _ahead(study_plan: Plan, workspace: Workspace, done: int) -> str:
    """What is still to be done, before it begins: trainings take longest, and tell the time that is left."""
    waiting = [job for job in study_plan.trainings if job.fit is not None and not workspace.trained(job.run, job.key)]
    steps = sum(job.fit.steps for job in waiting if job.fit is not None and job.kind not in RIVALS)
    evaluations = len(study_plan.evaluations) - done
    of_all = f"{evaluations} of {len(study_plan.evaluations)} evaluations"
    return f"to do: {len(waiting)} trainings of {steps} steps in all, and {of_all}"


def _facts(name: str, prepared: PreparedStore, folder: Path) -> DatasetFacts:
    """What planning must know of a dataset; its store is named from the study's folder where it lies in it."""
    path, store = prepared.path, prepared.store
    is_inside = path.resolve().is_relative_to(folder.resolve())
    place = path.resolve().relative_to(folder.resolve()).as_posix() if is_inside else str(path.resolve())
    return DatasetFacts(store.cases, store.fingerprint(), StoreRef(name, place), prepared.failed)
