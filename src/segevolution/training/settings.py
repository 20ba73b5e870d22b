"""What a training run is: a validated value that recipes state and runs save beside their results."""

from typing import Literal

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from ..data.augment import AugmentSettings
from ..data.windows import ViewSettings
from .batches import SampleSettings
from .objective import ObjectiveSettings
from .prompting import PromptSettings

_STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_STRICT)
class FitSettings:
    """One run of training.

    Attributes:
        steps: optimiser steps of the whole run; the schedule ends there.
        seconds: wall-clock seconds after which this call stops with a checkpoint, to be continued; None = no limit.
        learning_rate: of AdamW, after warm-up.
        final_rate: share of it that is left at the end of the cosine.
        warmup: steps.
        weight_decay: of matrices; vectors have none.
        clip: gradient norm.
        average: decay of the exponential moving average of the weights; 0 for none.
        precision: Lightning's names.
        seed: all chance comes from it and the step's number.
        devices: processes; on a CPU each has one thread, so that 2 use 2 cores.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validations; 0 = only at the end.
        validation_steps: batches a validation.
    """

    steps: int = 300
    seconds: float | None = None
    learning_rate: float = 1e-3
    final_rate: float = 0.02
    warmup: int = 20
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.98
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: int = 0
    devices: int = 1
    workers: int = 0
    checkpoint_every: int = 100
    validate_every: int = 0
    validation_steps: int = 16
    sample: SampleSettings = SampleSettings()
    view: ViewSettings = ViewSettings()
    prompt: PromptSettings = PromptSettings()
    intensity: AugmentSettings = AugmentSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
