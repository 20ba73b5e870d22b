"""Sizes of SAM-Med3D, and the published one."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from ...errors import CheckpointError
from ..network_config import NetworkConfig

SPACING = 1.5  # millimetres, along each axis


@dataclass(frozen=True)
class SamMed3dConfig(NetworkConfig):
    """Sizes of one network.

    Attributes:
        image: side of the cubic input, in voxels.
        patch: side of a token, in voxels.
        width: channels of the image encoder.
        depth: its blocks.
        heads: of its attention.
        mlp: channels inside its perceptrons.
        window: tokens along a side of a block's window.
        global_blocks: blocks that attend over the whole image.
        out: C, channels of image tokens and prompt tokens.
        mask_channels: inside the embedding of an earlier answer.
        decoder_depth, decoder_heads, decoder_mlp: of the two-way transformer.
        iou_hidden: channels of the head that was to predict the overlap.

    Raises:
        CheckpointError: sizes that cannot be.
    """

    described: ClassVar[str] = "a SAM-Med3D network"

    image: int = 128
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    out: int = 384
    mask_channels: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    iou_hidden: int = 256

    def __post_init__(self) -> None:
        sizes = [value for value in asdict(self).values() if isinstance(value, int)]
        if not all(1 <= size <= 16384 for size in sizes) or self.image > 512:
            raise CheckpointError(
                "a SAM-Med3D network's sizes must be whole numbers from 1 to 16384, images up to 512."
            )
        if self.image % self.patch or self.width % self.heads or self.mask_channels % 4:
            raise CheckpointError(
                f"a SAM-Med3D network cannot have images of {self.image} in patches of {self.patch}, {self.width} "
                f"channels in {self.heads} heads and {self.mask_channels} for masks; they must divide evenly."
            )
        if self.out % (2 * self.decoder_heads) or self.out % 24:
            raise CheckpointError(
                f"a SAM-Med3D network cannot have {self.out} channels in {self.decoder_heads} heads; they must be a "
                "multiple of 24 and of twice the heads."
            )

    @property
    def grid(self) -> int:
        """Tokens along a side of the encoded image."""
        return self.image // self.patch

    @property
    def lowres(self) -> int:
        """Voxels along a side of the decoder's masks."""
        return 4 * self.grid


SAM_MED3D = SamMed3dConfig()
"""SAM-Med3D (Wang et al. 2023, arXiv:2310.15161), as its "turbo" weights have it."""
