"""Intensity matching before the base: a scan gets the percentiles of the scans that the base was trained on.

What stands for these are the patients with the role `replay`. A scan of their modality is asked as it is; any other is
matched by its own percentiles alone, so nothing is learned from target scans, trained on or tested.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...data.store import Store
from ...documents import Document, read_json
from ...errors import RecipeError
from ...evaluation.answerers import Answerer, ContextChoice, Dialogue, NetworkAnswerer
from ...files import write_json
from ...imaging.intensity_matching import IntensityProfile
from ...imaging.prompts import PromptKind
from ...imaging.volume import Volume
from ...inference.load import load
from ...models.backbone import Windows
from ...vocabulary import Modality
from ..jobs import TrainJob
from .base import RunFacts, source_scans
from .wrapped import WrappedAnswerer

PROFILE = "intensity.json"


class _ProfileFile(Document):
    """intensity.json."""

    modality: Modality | None
    values: list[float]


@dataclass(frozen=True)
class PercentileRival:
    """See the module; it takes no settings."""

    name: str = "percentile"
    summary: str = "the base on scans whose intensities are matched to those that it was trained on"
    trained: bool = True
    on_base: bool = True
    mark: str = "percentile 1"

    def check(self, settings: Mapping[str, Any]) -> None:
        """See Rival."""
        if settings:
            raise ValueError(f"it takes no settings, and these hold {', '.join(settings)}")

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return True

    def train(self, job: TrainJob, stores: Mapping[str, Store], folder: Path, device: str) -> RunFacts:
        """See Rival: the profile of the replayed scans."""
        started = time.monotonic()
        profile = IntensityProfile.of(source_scans(job, stores, self.name))
        write_json(folder / PROFILE, {"modality": profile.modality, "values": profile.values.tolist()})
        return {"steps": 0, "seconds": time.monotonic() - started, "source_scans": len(job.replay)}

    def load(self, settings: Mapping[str, Any], folder: Path | None, device: str, base: str) -> Answerer:
        """See Rival."""
        if folder is None:
            raise RecipeError("scans can be matched only after the profile of others was taken.")
        profile_file = read_json(folder / PROFILE, _ProfileFile, error=RecipeError)
        profile = IntensityProfile(np.asarray(profile_file.values), profile_file.modality)
        return MatchedAnswerer(NetworkAnswerer(load(base, device=device)), profile)


@dataclass(frozen=True)
class MatchedAnswerer(WrappedAnswerer):
    """A network that sees scans of other modalities with the intensities of its own.

    Attributes:
        profile: that scans of another modality are given.
    """

    profile: IntensityProfile

    def open(self, volume: Volume, *, windows: Windows | None, context: ContextChoice) -> Dialogue:
        """See Answerer."""
        matched = volume if volume.modality == self.profile.modality else self.profile.match(volume)
        return self.network.open(matched, windows=windows, context=context)
