"""The image's own way back from tokens to voxels: convolutions that join what tokens know with what the stem sees.

Without it the mask decoder's two upscaling steps add the stem's maps voxel by voxel, and no layer looks at a voxel's
neighbours after the transformer. With it every prompt of an image reads maps that were decoded once, as the queries of
MaskFormer read its pixel decoder's (Cheng et al. 2021, arXiv:2107.06278); its steps are those of a U-Net.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..backbone import Triple
from .config import PixelDecoderConfig
from .stem import StemStage


class PixelDecoder(nn.Module):
    """Tokens and the stem's last two maps to changed maps of the same shapes.

    It adds to the stem's maps, and begins by adding nothing: a network without one that gets one answers as before.

    Args:
        config: channels at twice and at four times the token grid.
        width: channels of a token.
        skips: channels of the stem's maps, the coarser first.
    """

    def __init__(self, config: PixelDecoderConfig, width: int, skips: tuple[int, int]) -> None:
        super().__init__()
        inputs = (width, *config.channels[:-1])
        self.reduce = nn.ModuleList(nn.Conv3d(i, o, 1) for i, o in zip(inputs, config.channels, strict=True))
        self.stages = nn.ModuleList(
            StemStage(o + skip, o, (1, 1, 1), config.groups) for o, skip in zip(config.channels, skips, strict=True)
        )
        self.project = nn.ModuleList(_nothing(o, skip) for o, skip in zip(config.channels, skips, strict=True))

    def forward(self, tokens: Tensor, grid: Triple, skips: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Decode an image once, for all prompts.

        Args:
            tokens: (B, N, C), W fastest.
            grid: (d, h, w), N = d * h * w.
            skips: (B, c, 2d, 2h, 2w) and (B, c', 4d, 4h, 4w).

        Returns:
            Two maps of the shapes of `skips`.
        """
        maps = tokens.transpose(1, 2).unflatten(2, grid)
        changed = []
        for reduce, stage, project, skip in zip(self.reduce, self.stages, self.project, skips, strict=True):
            larger = functional.interpolate(reduce(maps), skip.shape[-3:], mode="nearest")
            maps = stage(torch.cat([larger, skip], 1))
            changed.append(skip + project(maps))
        return tuple(changed)


def _nothing(inputs: int, outputs: int) -> nn.Conv3d:
    """A 1 x 1 x 1 convolution that gives zeros until it has learned something."""
    layer = nn.Conv3d(inputs, outputs, 1)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer
