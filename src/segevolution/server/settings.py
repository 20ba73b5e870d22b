"""What a server is told when it starts."""

import math
from dataclasses import dataclass, field
from pathlib import Path

from ..imaging.grid import axis_codes
from ..memory import GIGABYTE, MemoryBudget
from ..models import hub
from ..models.backbone import Windows
from ..vocabulary import Modality
from .faults import SettingError

PORT = 1527  # nnInteractive's
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """How to serve.

    Attributes:
        model: a model's name or folder: what answers unless an adapter is chosen.
        adapters: folders, or names of adapters that ship, that clients may choose beside those that ship for `model`.
        adapter: what answers where a client names nothing: one of `adapters`, "none" for the bare model, or None for
            the only one of `adapters`, else the expert of the volume's modality, else the model.
        device, windows: as for `load` and `Session`.
        host, port: where to listen.
        key: what clients must send; None = nothing.
        sessions: the most at one time, over all protocols.
        idle_seconds: a session without a request for so long is freed.
        liveness_seconds: an nnInteractive session without a heartbeat for so long is freed.
        request_bytes: the largest body of a request.
        volume_bytes: the largest volume, unpacked.
        memory: what all volumes together may take.
        modality, orientation: of volumes that come by a protocol that does not say them; the orientation is that of
            the array's axes (i, j, k).

    Raises:
        SettingError: a number that is not above zero or not finite, or a server beyond loopback without a key.
        VolumeError: the orientation is none.
    """

    model: str = hub.DEFAULT
    adapters: tuple[str | Path, ...] = ()
    adapter: str | None = None
    device: str = "auto"
    windows: Windows | None = None
    host: str = "127.0.0.1"
    port: int = PORT
    key: str | None = field(default=None, repr=False)
    sessions: int = 20
    idle_seconds: float = 600.0
    liveness_seconds: float = 60.0
    request_bytes: int = 2 * 10**9
    volume_bytes: int = 4 * 10**9
    memory: MemoryBudget = field(default_factory=MemoryBudget.of)
    modality: Modality | None = None
    orientation: str = "LPS"

    def __post_init__(self) -> None:
        object.__setattr__(self, "orientation", axis_codes(self.orientation))
        numbers = {
            "--sessions": self.sessions,
            "--idle-minutes": self.idle_seconds / 60,
            "--liveness-seconds": self.liveness_seconds,
            "--max-request-gigabytes": self.request_bytes / GIGABYTE,
            "--max-gigabytes": self.volume_bytes / GIGABYTE,
        }
        for option, number in numbers.items():
            require_positive(option, number)
        if self.key is not None and (not self.key or not self.key.isascii() or not self.key.isprintable()):
            raise SettingError("--key must be printable ASCII letters and signs, at least one.")
        if self.key is None and not self.is_loopback:
            raise SettingError(
                f"--host {self.host} lets other machines in, so --key is needed; give one, or leave --host out."
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in LOOPBACK


def require_positive(option: str, number: float) -> float:
    """The number of an option of `segevolution serve`; SettingError where it is not above zero, or has no end."""
    if not 0 < number < math.inf:
        raise SettingError(f"{option} must be a number above zero, not {number:g}.")
    return number
