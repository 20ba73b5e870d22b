"""What a method must be to stand in a study's tables without adapting the weights of a base network."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from ...data.store import Store
from ...errors import RecipeError
from ...evaluation.answerers import Answerer
from ...imaging.prompts import PromptKind
from ...imaging.volume import Volume
from ..jobs import TrainJob

RunFacts = Mapping[str, Any]
"""What a training says of itself, as plain values: steps, seconds and whatever else belongs beside its figures."""


class Rival(Protocol):
    """A method that is no adapter: a shape, an automatic network, another program, or a change before a base.

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
    def on_base(self) -> bool:
        """Whether it stands before or inside a base network, whose weights it leaves as they are."""
        ...

    @property
    def mark(self) -> str:
        """Changes with every change of the method that changes answers: part of the keys of its jobs."""
        ...

    def check(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError, in one clause, for settings that it does not take."""
        ...

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """Whether it can be asked by these kinds of prompt together; one on a base takes no more than that does."""
        ...

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """Learn from the cases of a job and leave all that `load` needs in the run's folder.

        Going on where an earlier call was stopped; never called for one that is not trained.

        Returns:
            What belongs into the run's `trained.json`, such as steps and seconds.
        """
        ...

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """Get ready to answer.

        Args:
            settings: of the method.
            folder: the run's, as `train` left it; None for one that is not trained.
            device: "auto", "cpu" or "cuda".
            base: name or folder of the network that it stands on; empty for one without.
        """
        ...


def source_scans(job: TrainJob, stores: Mapping[str, Store], method: str) -> Iterator[Volume]:
    """The scans that stand for those that the base was trained on: of the patients who are replayed.

    Raises:
        RecipeError: there is none.
    """
    if not job.replay:
        raise RecipeError(
            f"{method} compares scans with those that the base was trained on, and no patient stands for them; give "
            "some the role replay, and fit.replay a weight above 0."
        )
    return (stores[name.dataset].read(name.case).volume for name in job.replay)


def refuse_unknown(settings: Mapping[str, Any], *known: str) -> None:
    """Raise ValueError, in one clause, for a setting that a method does not have."""
    unknown = sorted(set(settings) - set(known))
    if unknown:
        verb = "is" if len(known) == 1 else "are"
        raise ValueError(f'"{unknown[0]}" is no key here; known {verb} {", ".join(known)}')
