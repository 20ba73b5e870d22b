"""Do one job, in any process that sees the study's folder."""

from dataclasses import replace
from typing import Any

from ..evaluation.evaluate import Run, evaluate
from ..recipes.stores import PreparedStore, PrepareJob, open_dataset
from .jobs import EvaluateJob, Job, TrainJob
from .methods import train
from .progress import bar
from .reporting import report
from .workspace import Workspace


def execute(job: Job, workspace: Workspace) -> Any:
    """Do a job, whatever was done of it before; its result is on disk, whole, when this returns.

    Returns:
        Of a PrepareJob what is ready, of a TrainJob the adapter's folder, of an EvaluateJob the number of rows, of a
        ReportJob the table of results.

    Raises:
        SegevolutionError: its data, its base or the folder cannot be used.
    """
    if isinstance(job, PrepareJob):
        return prepare(job, workspace)
    if isinstance(job, TrainJob):
        return train(job, workspace)
    if isinstance(job, EvaluateJob):
        return measure(job, workspace)
    return report(job, workspace)


def prepare(job: PrepareJob, workspace: Workspace) -> PreparedStore:
    """Bring a dataset into its store."""
    with bar(workspace.console, f"preparing {job.dataset}") as tell:
        return open_dataset(job, workspace.folder / "data", tell, measured=workspace.has_results)


def measure(job: EvaluateJob, workspace: Workspace) -> int:
    """Measure one run on one case; returns the number of its rows."""
    part = job.part
    model = workspace.answerer(job)
    case = workspace.store(job.store).read(part.case)
    case = replace(case, dataset=part.dataset, patient=job.patient or case.patient)
    run = Run(part.run, job.method, job.seed, job.base, job.family, job.cohort, job.trained_on)
    evaluation = evaluate(model, case, run, job.questions, job.labels, part.shift, part.strength)
    workspace.results.write(part, evaluation.rows, evaluation.masks)
    return len(evaluation.rows)
