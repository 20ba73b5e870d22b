"""The validation scores of a run so far, and the decisions they lead to: best weights, lower rate, early stopping."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .settings import FitSettings

Table = dict[str, dict[str, float]]  # what was asked -> prompt combination -> Dice


@dataclass
class ValidationState:
    """The validation scores of a run so far. A checkpoint stores this state.

    Attributes:
        turn: validations so far.
        latest: the latest Dice of everything that was measured.
        score: mean over combinations of the mean Dice; None before everything was measured.
        best, best_step: the highest score, and the step it was reached at.
        stale: validations in a row without a better score.
        factor: on the learning rate, by a plateau.
        waited: validations in a row without a better score since the rate was last lowered.
        ended: whether patience ended the run.
    """

    turn: int = 0
    latest: Table = field(default_factory=dict)
    score: float | None = None
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    factor: float = 1.0
    waited: int = 0
    ended: bool = False

    def take(self, table: Table, step: int, turns: int, settings: FitSettings) -> bool:
        """Take in one validation and decide; returns whether it is the best so far."""
        self.turn += 1
        self.latest |= table
        if self.turn < turns:
            return False
        self.score = float(np.mean(list(self.dice().values())))
        if self.best is None or self.score > self.best:
            self.best, self.best_step, self.stale, self.waited = self.score, step, 0, 0
            return True
        self.stale += 1
        self.waited += 1
        if settings.schedule == "plateau" and self.waited >= settings.plateau_patience:
            self.factor = max(settings.final_lr_fraction, self.factor * settings.plateau_factor)
            self.waited = 0
        self.ended = 0 < settings.patience <= self.stale
        return False

    def dice(self) -> dict[str, float]:
        """Mean Dice of each prompt combination, over everything's latest."""
        kinds = dict.fromkeys(kind for row in self.latest.values() for kind in row)
        return {kind: float(np.mean([row[kind] for row in self.latest.values() if kind in row])) for kind in kinds}

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return vars(self).copy()
