"""Sizes of the SAM family's networks, and the published ones."""

from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

from ...errors import CheckpointError
from ..network_config import NetworkConfig

Encoder = Literal["vit", "tiny_vit"]
Preparation = Literal["sam", "sam_med2d", "medsam", "lite_medsam"]

# Of the colours of SAM's training photographs, from 0 to 255.
COLOUR_MEANS = (123.675, 116.28, 103.53)
COLOUR_DEVIATIONS = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class SamConfig(NetworkConfig):
    """Sizes of one network.

    Attributes:
        preparation: how a slice becomes its input: resized by the rule of sam.py, scaled by `Sam.scaled`.
        encoder: "vit" (plain vision transformer) or "tiny_vit" (LiteMedSAM's).
        image: side of the square input, in pixels.
        patch: side of a token, in pixels; the tiny encoder's are 4.
        width: channels of the plain encoder.
        depth: blocks of the plain encoder.
        heads: of its attention.
        mlp: channels inside its perceptrons.
        window: tokens along a side of a block's window.
        global_blocks: blocks that attend over the whole image.
        adapters: whether each block has SAM-Med2D's adapter.
        out: C, channels of image tokens and prompt tokens.
        mask_channels: inside the embedding of a mask prompt.
        decoder_depth, decoder_heads, decoder_mlp: of the two-way transformer.
        iou_hidden: channels of the head that predicts the overlap.

    Raises:
        CheckpointError: sizes that cannot be.
    """

    described: ClassVar[str] = "a SAM network"

    preparation: Preparation = "sam"
    encoder: Encoder = "vit"
    image: int = 1024
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    window: int = 14
    global_blocks: tuple[int, ...] = (2, 5, 8, 11)
    adapters: bool = False
    out: int = 256
    mask_channels: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp: int = 2048
    iou_hidden: int = 256

    def __post_init__(self) -> None:
        sizes = [value for value in asdict(self).values() if isinstance(value, int) and not isinstance(value, bool)]
        if not all(1 <= size <= 16384 for size in sizes):
            raise CheckpointError("a SAM network's sizes must be whole numbers from 1 to 16384.")
        if self.image % self.patch or self.width % self.heads or self.out % (2 * self.decoder_heads) or self.out % 8:
            raise CheckpointError(
                f"a SAM network cannot have images of {self.image} in patches of {self.patch}, {self.width} channels "
                f"in {self.heads} heads and {self.out} in {self.decoder_heads}; sides and heads must divide evenly."
            )

    @property
    def grid(self) -> int:
        """Tokens along a side of the encoded image."""
        return self.image // self.patch

    @property
    def lowres(self) -> int:
        """Pixels along a side of the decoder's masks."""
        return 4 * self.grid


SAM_VIT_B = SamConfig()
"""Segment Anything, ViT-B (Kirillov et al. 2023, arXiv:2304.02643); MedSAM's weights have the same shapes."""

MEDSAM = SamConfig(preparation="medsam")
"""Ma et al. 2024, Nature Communications 15:654."""

SAM_MED2D = SamConfig(preparation="sam_med2d", image=256, adapters=True)
"""Cheng et al. 2023, arXiv:2308.16184."""

LITE_MEDSAM = SamConfig(preparation="lite_medsam", encoder="tiny_vit", image=256, patch=4)
"""LiteMedSAM of the MedSAM authors: TinyViT (Wu et al. 2022, arXiv:2207.10666), the decoder of SAM."""
