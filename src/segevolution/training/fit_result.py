"""What a training ends with."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FitResult:
    """How a run ended.

    Attributes:
        step: optimiser steps done in the whole run.
        finished: whether that is all of them, or validation ended the run early.
        seconds: of this call.
        trained_parameters: numbers that were trained.
        metrics: the last value of everything logged.
        best_step: the step of the best validation score, where validation chooses; None = it does not.
    """

    step: int
    finished: bool
    seconds: float
    trained_parameters: int
    metrics: dict[str, float]
    best_step: int | None = None
