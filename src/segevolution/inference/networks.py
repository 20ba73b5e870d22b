"""Networks that are loaded once and answer any number of scans."""

from dataclasses import dataclass, field
from pathlib import Path

from ..adapters.shipped import NONE, ShippedExpert, expert_for
from ..models.backbone import BackboneModule
from ..vocabulary import Modality
from .calibration import Calibration
from .confidence import calibration_of
from .load import load


@dataclass
class Networks:
    """Networks by model and adapter, each loaded when it is first asked for.

    Attributes:
        device: as for `load`.
    """

    device: str = "auto"
    _loaded: dict[ShippedExpert, tuple[BackboneModule, Calibration]] = field(default_factory=dict, repr=False)

    def get(self, which: ShippedExpert) -> tuple[BackboneModule, Calibration]:
        """A network ready to answer and what is known of its answers; raises as `load` does."""
        if which not in self._loaded:
            backbone = load(which.model, adapter=which.adapter, device=self.device)
            self._loaded[which] = backbone, calibration_of(which.model, which.adapter)
        return self._loaded[which]

    def __contains__(self, which: object) -> bool:
        return which in self._loaded


def answering(model: str, adapter: str | Path | None, modality: Modality | None) -> tuple[ShippedExpert, bool]:
    """What answers a scan: what was asked for, or the expert that ships for its modality; and whether it is the latter.

    Args:
        model, adapter: as a request says them; no adapter lets an expert answer, "none" does not.
        modality: of the volume.
    """
    expert = expert_for(model, modality) if adapter is None else None
    if expert is not None:
        return expert, True
    return ShippedExpert(model, None if adapter in (None, NONE) else str(adapter)), False
