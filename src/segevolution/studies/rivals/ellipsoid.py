"""The ellipsoid inscribed in the box of a prompt, as a row of every table: what the box alone is worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...data.store import Store
from ...evaluation.answerers import Answerer
from ...evaluation.ellipsoid import EllipsoidAnswerer
from ...imaging.prompts import PromptKind
from ..jobs import TrainJob
from .base import RunFacts


@dataclass(frozen=True)
class EllipsoidRival:
    """See `evaluation.ellipsoid`; it takes no settings."""

    name: str = "ellipsoid"
    summary: str = "the ellipsoid inscribed in the box, without looking at the image"
    trained: bool = False
    on_base: bool = False
    mark: str = "ellipsoid 1"

    def check(self, settings: Mapping[str, Any]) -> None:
        """See Rival."""
        if settings:
            raise ValueError(f"it takes no settings, and these hold {', '.join(settings)}")

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return EllipsoidAnswerer().takes(kinds)

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """See Rival: there is nothing to learn."""
        return {}

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """See Rival."""
        return EllipsoidAnswerer()
