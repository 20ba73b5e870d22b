"""Sizes of an automatic U-Net."""

from dataclasses import dataclass
from typing import ClassVar

from ...errors import CheckpointError
from ...imaging.grid import Triple, triple
from ..network_config import NetworkConfig

LARGEST_SIDE, MOST_CHANNELS, MOST_STAGES = 1024, 2048, 9


@dataclass(frozen=True)
class UnetConfig(NetworkConfig):
    """One network, with what it asks of its inputs.

    Attributes:
        window: (D, H, W) voxels that it sees at once.
        spacing: (x, y, z) millimetres that its images have.
        structures: names of its classes, background not counted.
        features: channels of each stage.
        kernels: sides (d, h, w) of the convolutions of each stage.
        strides: (d, h, w) of the first convolution of each stage; the first is (1, 1, 1).
        intensity: a name in `imaging.intensity.NORMALISERS`.

    Raises:
        CheckpointError: sizes that cannot be.
    """

    described: ClassVar[str] = "an automatic U-Net"

    window: Triple
    spacing: tuple[float, float, float]
    structures: tuple[str, ...]
    features: tuple[int, ...]
    kernels: tuple[Triple, ...]
    strides: tuple[Triple, ...]
    intensity: str = "z_score"

    def __post_init__(self) -> None:
        for name in ("kernels", "strides"):  # lists, where they come from a file
            object.__setattr__(self, name, tuple(triple(sides) for sides in getattr(self, name)))
        stages = len(self.features)
        if not 3 <= stages <= MOST_STAGES or len(self.kernels) != stages or len(self.strides) != stages:
            raise CheckpointError(
                f"an automatic U-Net has 3 to {MOST_STAGES} stages, each with its features, kernel and stride."
            )
        if not all(1 <= channels <= MOST_CHANNELS for channels in self.features):
            raise CheckpointError(f"the features {self.features} must be whole numbers from 1 to {MOST_CHANNELS}.")
        if not all(side in (1, 3) for kernel in self.kernels for side in kernel):
            raise CheckpointError("the sides of an automatic U-Net's kernels are 1 or 3.")
        if self.strides[0] != (1, 1, 1) or not all(step in (1, 2) for stride in self.strides for step in stride):
            raise CheckpointError("the strides of an automatic U-Net are 1 or 2, those of its first stage 1.")
        if not self.structures:
            raise CheckpointError("an automatic U-Net needs the name of at least one structure.")
        steps = self.steps
        if not all(
            step <= side <= LARGEST_SIDE and side % step == 0 for side, step in zip(self.window, steps, strict=True)
        ):
            raise CheckpointError(
                f"the window {self.window} must be multiples of {steps}, up to {LARGEST_SIDE} voxels a side."
            )

    @property
    def steps(self) -> Triple:
        """Voxels of the window that one voxel of the last stage stands for, along (D, H, W)."""
        total = [1, 1, 1]
        for stride in self.strides:
            total = [step * factor for step, factor in zip(total, stride, strict=True)]
        return triple(total)
