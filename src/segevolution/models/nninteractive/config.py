"""Sizes of nnInteractive's network, and the official ones."""

from dataclasses import dataclass
from typing import ClassVar

from ...errors import CheckpointError
from ...imaging.grid import Triple
from ..network_config import NetworkConfig

INPUTS, CLASSES = 8, 2  # image, earlier answer, six channels of prompts; background and foreground


@dataclass(frozen=True)
class NnInteractiveConfig(NetworkConfig):
    """Sizes of one network and how its prompts are drawn.

    Attributes:
        patch: (D, H, W) voxels that it sees at once.
        features: channels of each stage.
        blocks: residual blocks of each stage.
        point_radius: of a point, in voxels.
        decay: of a prompt for each one that came after it.

    Raises:
        CheckpointError: sizes that cannot be.
    """

    described: ClassVar[str] = "nnInteractive"

    patch: Triple = (192, 192, 192)
    features: tuple[int, ...] = (32, 64, 128, 256, 320, 320)
    blocks: tuple[int, ...] = (1, 3, 4, 6, 6, 6)
    point_radius: int = 4
    decay: float = 0.98

    def __post_init__(self) -> None:
        sizes = (*self.features, *self.blocks)
        if len(self.features) != len(self.blocks) or not 2 <= len(self.features) <= 8:
            raise CheckpointError("nnInteractive's network needs 2 to 8 stages, each with its features and its blocks.")
        if not all(1 <= size <= 2048 for size in sizes) or not 1 <= self.point_radius <= 64:
            raise CheckpointError("nnInteractive's sizes must be whole numbers from 1 to 2048, its points up to 64.")
        step = 2 ** (len(self.features) - 1)
        if len(self.patch) != 3 or any(side < step or side % step or side > 512 for side in self.patch):
            raise CheckpointError(f"nnInteractive's patch {self.patch} must be multiples of {step}, up to 512.")
        if not 0.5 <= self.decay <= 1:
            raise CheckpointError(f"nnInteractive's prompts cannot fade by {self.decay}; give 0.5 to 1.")


OFFICIAL = NnInteractiveConfig()
"""nnInteractive v1.0 (Isensee et al. 2025, arXiv:2503.08373): 102,355,818 parameters."""
