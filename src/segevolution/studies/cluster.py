"""Do the jobs of a plan on a Dask cluster; see https://distributed.dask.org.

Each job is one task under its key: datasets first, then trainings, and each evaluation once the training that it needs
is done. Workers and this process see the same folder, where results lie whole or not at all; so a worker that dies
loses the job that it was doing, and another worker does that one again. A worker does one job at a time, since
trainings draw from the one generator of their process.

This module needs `pip install segevolution[dask]`; nothing else of the package imports it but the command line.
"""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distributed import Client, Future, as_completed
from distributed.scheduler import KilledWorker

from ..errors import OutputError, RecipeError
from ..recipes.claims import claimed
from ..recipes.keys import digest
from ..recipes.stores import PreparedStore, PrepareJob
from .execute import execute
from .jobs import EvaluateJob, Job, Plan, TrainJob
from .progress import bar
from .run import WorkSummary, untested
from .shared_trainings import take_over
from .workspace import FitFunction, Workspace

CONNECT_SECONDS = 30

_ONE_AT_A_TIME = threading.Lock()
_WORKSPACES: dict[tuple[Path, str], Workspace] = {}


def connect(address: str) -> Client:
    """A client of the scheduler at an address such as tcp://node1:8786; RecipeError where none answers."""
    try:
        return Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, ImportError) as error:
        raise RecipeError(
            f'no Dask scheduler answers at "{address}" ({error}); start one with "dask scheduler", and workers with '
            f'"dask worker {address} --nthreads 1".'
        ) from error


class DaskExecutor:
    """The workers of a cluster.

    Args:
        client: connected to its scheduler.
    """

    def __init__(self, client: Client) -> None:
        self.client = client

    def prepare(self, jobs: Sequence[PrepareJob], workspace: Workspace) -> Mapping[str, PreparedStore]:
        """Bring all datasets into their stores, each by one worker."""
        futures = {job.dataset: self._submit(job, f"prepare-{job.dataset}", job.key, workspace) for job in jobs}
        prepared = {dataset: _result(future) for dataset, future in futures.items()}
        for dataset, store in prepared.items():
            if not (store.path / "store.json").is_file():
                raise OutputError(
                    f"a worker made the store of {dataset} in {store.path}, which is not to be seen here; let workers "
                    "and this machine share the study's folder."
                )
        return prepared

    def run(self, plan: Plan, workspace: Workspace) -> WorkSummary:
        """Train and measure what is missing, as many at once as there are workers."""
        waiting = [job for job in plan.evaluations if not workspace.results.has(job.part)]
        runs = dict.fromkeys(job.part.run for job in waiting)
        missing = [*(plan.training_of[run] for run in runs if run in plan.training_of), *untested(plan)]
        missing = [job for job in missing if workspace.trained(job.run, job.key) is None]
        missing = [job for job in missing if take_over(job, workspace) is None]
        trainings = {job.run: self._submit(job, f"train-{job.run}", job.key, workspace) for job in missing}
        futures = [
            self._submit(
                job,
                "-".join(
                    ("evaluate", job.part.run, job.part.dataset, job.part.case, job.part.shift, str(job.part.strength))
                ),
                job.part.key,
                workspace,
                trainings.get(job.part.run),
            )
            for job in waiting
        ]
        try:
            with bar(workspace.console, "measuring") as tell:
                for number, future in enumerate(as_completed(futures), start=1):
                    _result(future)
                    tell(number, len(futures), "")
            for future in trainings.values():
                _result(future)
        except BaseException:
            self.client.cancel([*trainings.values(), *futures])
            raise
        jobs_left = sum(not workspace.results.has(job.part) for job in plan.evaluations)
        if jobs_left:
            raise OutputError(
                f"workers say that all is measured, but {jobs_left} results are not in {workspace.folder}; let workers "
                "and this machine share the study's folder."
            )
        trained = tuple(job.run for job in missing if job.fit is not None)
        return WorkSummary(trained, len(waiting), 0)

    def _submit(
        self, job: Job, name: str, key: str, workspace: Workspace, after: Future[Any] | None = None
    ) -> Future[Any]:
        """Ask for a job once `after` is done; a job that runs already is not asked for twice."""
        folder = workspace.folder.resolve()
        return self.client.submit(
            _work,
            job,
            folder,
            workspace.device,
            workspace.fit,
            after,
            key=f"{name}-{digest([str(folder), key])}",
        )


def _where(job: EvaluateJob) -> tuple[str | float, ...]:
    return job.part.run, job.part.dataset, job.part.case, job.part.shift, job.part.strength


def _work(job: Job, folder: Path, device: str, fit: FitFunction | None, after: Any) -> Any:
    """Do a job on a worker, unless it is done; `after` only orders tasks.

    Returns:
        Of a PrepareJob what is ready; None otherwise, since all results are files.
    """
    with _ONE_AT_A_TIME:
        workspace = _workspace(folder, device, fit)
        if isinstance(job, PrepareJob):
            return execute(job, workspace)
        if isinstance(job, EvaluateJob):
            if not workspace.results.has(job.part):
                execute(job, workspace)
        elif isinstance(job, TrainJob):
            with claimed(folder / "claims", job.run):  # of a worker that died, or of a call outside the cluster
                if workspace.trained(job.run, job.key) is None:
                    execute(job, workspace)
    return None


def _workspace(folder: Path, device: str, fit: FitFunction | None) -> Workspace:
    """What this process keeps from one job of a study to the next; of other studies nothing is kept."""
    workspace_key = (folder, device)
    if workspace_key not in _WORKSPACES:
        _WORKSPACES.clear()
        _WORKSPACES[workspace_key] = Workspace(folder, device, quiet=True, fit=fit)
    return _WORKSPACES[workspace_key]


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    except KilledWorker as error:
        raise OutputError(
            f"workers died again and again over the job {error.task} and it was given up; look into their logs, for "
            "instance for memory."
        ) from error
