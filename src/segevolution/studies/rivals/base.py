"""What a method must be to stand in a study's tables without adapting a base network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from ...data.store import Store
from ...evaluation.answerers import Answerer
from ...imaging.prompts import PromptKind
from ..jobs import TrainJob


class Rival(Protocol):
    """A method without a base: a shape, an automatic network, another program.

    One that trains is trained as any method is: once for each cohort, number of shots, seed and fold, on the same
    cases; what it leaves lies in the run's own folder.
    """

    @property
    def name(self) -> str:
        """The kind of method, as a recipe says it."""
        ...

    @property
    def summary(self) -> str:
        """One line for a list of kinds."""
        ...

    @property
    def trained(self) -> bool:
        """Whether it learns from training cases."""
        ...

    @property
    def mark(self) -> str:
        """Changes with every change of the method that changes answers: part of the keys of its jobs."""
        ...

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError, in one clause, for settings that it does not take."""
        ...

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """Whether it can be asked by these kinds of prompt together."""
        ...

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> None:
        """Learn from the cases of a job and leave all that `load` needs in the run's folder.

        Going on where an earlier call was stopped; never called for one that is not trained.
        """
        ...

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str) -> Answerer:
        """Get ready to answer.

        Args:
            settings: of the method.
            folder: the run's, as `train` left it; None for one that is not trained.
            device: "auto", "cpu" or "cuda".
        """
        ...
