"""Test-time adaptation of the base to each scan and prompt by the entropy of its own answer, without labels.

See `inference.test_time` for what is done and its source.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.store import Store
from ...errors import PromptError
from ...evaluation.answerers import Answerer, ContextChoice, Dialogue, NetworkAnswerer
from ...imaging.prompts import PromptKind
from ...imaging.volume import Volume
from ...inference.load import load
from ...inference.session import Session
from ...inference.test_time import DEFAULT_LEARNING_RATE, EntropyDescent
from ...models.backbone import Windows
from ..jobs import TrainJob
from .base import RunFacts, refuse_unknown
from .wrapped import WrappedAnswerer

_DEFAULTS: Mapping[str, Any] = {"steps": 5, "learning_rate": DEFAULT_LEARNING_RATE}


@dataclass(frozen=True)
class EntropyRival:
    """See the module. Its settings are those of `inference.test_time.EntropyDescent`; 5 steps unless said."""

    name: str = "entropy"
    summary: str = "the base, adapted to each scan and prompt by the entropy of its answer"
    trained: bool = False
    on_base: bool = True
    mark: str = "entropy 1"

    def check(self, settings: Mapping[str, Any]) -> None:
        """See Rival."""
        _descent(settings)

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return True

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """See Rival: there is nothing to learn before a scan is there."""
        return {}

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """See Rival."""
        return EntropyAnswerer(NetworkAnswerer(load(base, device=device)), _descent(settings))


@dataclass(frozen=True)
class EntropyAnswerer(WrappedAnswerer):
    """A network that is adapted to each question before it answers.

    Attributes:
        descent: how far.
    """

    descent: EntropyDescent

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer."""
        return Session(self.network.backbone, volume, windows=windows, context=context, test_time=self.descent)


def _descent(settings: Mapping[str, Any]) -> EntropyDescent:
    """The settings; ValueError in one clause for what cannot be."""
    refuse_unknown(settings, *_DEFAULTS)
    values = {**_DEFAULTS, **settings}
    steps, rate = values["steps"], values["learning_rate"]
    if type(steps) is not int or type(rate) not in (int, float):
        raise ValueError("steps must be a whole number, and learning_rate a number")
    try:
        return EntropyDescent(steps, float(rate))
    except PromptError as error:
        raise ValueError("steps must be 1 or more, and learning_rate above 0") from error
