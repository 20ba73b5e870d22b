"""Measure what a training costs and count what it trains; `cost.json` beside its checkpoints holds the result."""

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..adapters import trainable
from ..documents import read_json
from ..errors import RecipeError, SegevolutionError
from ..files import write_json
from ..models.backbone import BackboneModule
from ..on_use import ModuleOnUse
from ..runtime import resolve_device
from ..studies.workspace import FitFunction
from ..training.batches import CaseGroup
from ..training.checkpoint_file import LAST, step_of
from ..training.fit_result import FitResult
from ..training.settings import FitSettings

if TYPE_CHECKING:
    from ..training import fit as fitting
else:
    fitting = ModuleOnUse("segevolution.training.fit")  # brings Lightning, seconds that a plan or a fault need not wait

COST = "cost.json"


@dataclass(frozen=True)
class Cost:
    """Of one training.

    Attributes:
        parameters: name -> number of values, of everything that asked for gradients.
        steps: of the call that ended it, and `seconds` of that call, validations included; 0 where that was stopped.
        peak_bytes: of the GPU's memory on CUDA, else of the whole process.
        device: "cpu", "cuda" ...
    """

    parameters: dict[str, int]
    steps: int
    seconds: float
    peak_bytes: int
    device: str

    @property
    def seconds_a_step(self) -> float:
        """Of that call."""
        return self.seconds / max(self.steps, 1)


@dataclass(frozen=True)
class MeasuredFit:
    """`training.fit`, or what stands in its place, with its cost noted.

    Attributes:
        inner: None takes `training.fit`.
    """

    inner: FitFunction | None = None

    def __call__(
        self,
        backbone: BackboneModule,
        groups: Sequence[CaseGroup],
        settings: FitSettings,
        folder: Path,
        *,
        validation: Sequence[CaseGroup] = (),
        device: str = "auto",
        quiet: bool = False,
    ) -> FitResult:
        """See `training.fit.fit`; a call that finds the run at its end leaves the note as it is."""
        before, asking = step_of(folder / LAST), trainable(backbone)
        target = resolve_device(device)
        known = read_cost(folder)
        if known is None or known.parameters != asking:
            write_json(folder / COST, asdict(Cost(asking, 0, 0.0, 0, target.type)))
        if target.type == "cuda":
            torch.cuda.reset_peak_memory_stats(target)
        started = time.monotonic()
        result = (self.inner or fitting.fit)(
            backbone, groups, settings, folder, validation=validation, device=device, quiet=quiet
        )
        if result.step > before:
            seconds = time.monotonic() - started
            cost = Cost(asking, result.step - before, seconds, _peak(target), target.type)
            write_json(folder / COST, asdict(cost))
        return result


def read_cost(folder: Path) -> Cost | None:
    """What was noted; None where nothing was, or the note is damaged."""
    try:
        return read_json(folder / COST, Cost, error=RecipeError)
    except SegevolutionError:
        return None


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
