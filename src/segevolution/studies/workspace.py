"""The folder of a study, and what one process keeps in memory from one job to the next.

Nothing here decides a result. Of networks only the last one stays loaded, since jobs come run by run.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rich.console import Console

from ..data.store import Store
from ..errors import RecipeError
from ..evaluation.answerers import Answerer, NetworkAnswerer
from ..evaluation.results import Results
from ..inference.calibration import Calibration
from ..inference.confidence import calibration_of
from ..inference.load import load
from ..models.backbone import BackboneModule
from ..recipes.stores import StoreRef
from ..training.batches import CaseGroup
from ..training.fit_result import FitResult
from ..training.settings import FitSettings
from .jobs import EvaluateJob
from .rivals import RIVALS
from .training_notes import is_trained


class FitFunction(Protocol):
    """The part of `training.fit` that a study calls; tests put something quicker in its place."""

    def __call__(
        self,
        backbone: BackboneModule,
        groups: Sequence[CaseGroup],
        settings: FitSettings,
        folder: Path,
        *,
        validation: Sequence[CaseGroup] = ...,
        device: str = ...,
        quiet: bool = ...,
    ) -> FitResult:
        """Train what asks for gradients and leave the result in the backbone."""
        ...


class Workspace:
    """A study's folder and one process that works in it.

    Args:
        folder: of the study.
        device: "auto", "cpu" or "cuda".
        quiet: no progress.
        fit: how adapters are trained; None takes `training.fit`.
    """

    def __init__(self, folder: Path, device: str = "auto", quiet: bool = False, fit: FitFunction | None = None) -> None:
        self.folder, self.device, self.quiet, self.fit = Path(folder), device, quiet, fit
        self.console = Console(stderr=True, quiet=quiet)
        self.results = Results(self.folder)
        self._stores: dict[StoreRef, Store] = {}
        self._loaded = threading.local()  # a network answers one thread

    def store(self, ref: StoreRef) -> Store:
        """The store of a dataset; StoreError where it is not there."""
        if ref not in self._stores:
            self._stores[ref] = ref.open(self.folder)
        return self._stores[ref]

    def run_folder(self, run: str) -> Path:
        """Where all lies that a training leaves."""
        return self.folder / "models" / run

    @property
    def has_results(self) -> bool:
        """Whether anything was measured or trained here."""
        patterns = "parts/*/*/*.parquet", "models/*/trained.json"
        return any(any(self.folder.glob(pattern)) for pattern in patterns)

    def trained(self, run: str, key: str) -> Path | None:
        """The adapter that a training left, if it was this very training, was finished and is whole."""
        place = self.run_folder(run)
        return place / "adapter" if is_trained(place, key) else None

    def answerer(self, job: EvaluateJob) -> Answerer:
        """What a job measures, ready to answer; raises as `network` does."""
        if job.rival is None:
            network = self.network(job.base, job.part.run, job.needs)
            # What was measured of a bare network says nothing of what an adapter makes of it.
            return NetworkAnswerer(network, calibration_of(job.base) if job.needs is None else Calibration())
        answerer_key = (job.rival, job.part.run, job.needs)
        if getattr(self._loaded, "name", None) != answerer_key:
            self._loaded.name, self._loaded.network = None, None
            if job.needs is not None and self.trained(job.part.run, job.needs) is None:
                raise RecipeError(f"{self.run_folder(job.part.run)} holds no trained {job.rival}; train it first.")
            folder = None if job.needs is None else self.run_folder(job.part.run)
            self._loaded.network = RIVALS[job.rival].load(job.settings, folder, self.device, job.base)
            self._loaded.name = answerer_key
        answerer: Answerer = self._loaded.network
        return answerer

    def network(self, base: str, run: str, needs: str | None) -> BackboneModule:
        """A run's network, ready to answer.

        Args:
            needs: key of the training that made its adapter; None for the base as it is.

        Raises:
            RecipeError: the adapter is not there.
            SegevolutionError: the base or the adapter cannot be loaded.
        """
        network_key = (base, run if needs else "", needs)
        if getattr(self._loaded, "name", None) != network_key:
            self._loaded.name, self._loaded.network = None, None
            adapter = self.trained(run, needs) if needs is not None else None
            if needs is not None and adapter is None:
                raise RecipeError(
                    f"{self.run_folder(run)} holds no adapter of this study; train it first, and let all that work on "
                    "a study see the same folder."
                )
            self._loaded.network = load(base, adapter=adapter, device=self.device)
            self._loaded.name = network_key
        network: BackboneModule = self._loaded.network
        return network
