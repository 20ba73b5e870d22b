"""A convolutional stem in place of the linear patch embedding: early convolutions help transformers see better.

Source: Xiao et al., NeurIPS 2021, arXiv:2106.14881. Its maps before the last halvings serve the mask decoder as
high-resolution features.
"""

import torch
from torch import Tensor, nn

from ..backbone import Triple
from ..convolution import Conv3d
from .config import StemConfig


class Stem(nn.Module):
    """Stages of two 3x3x3 convolutions each, the first of a stage strided, then a strided projection to tokens.

    Args:
        config: channels of the stages.
        steps: strides between the stages and, last, of the projection.
        width: channels of a token.
    """

    def __init__(self, config: StemConfig, steps: tuple[Triple, ...], width: int) -> None:
        super().__init__()
        inputs = (1, *config.channels[:-1])
        strides = ((1, 1, 1), *steps[:-1])
        self.stages = nn.ModuleList(
            StemStage(inner, outer, stride, config.groups)
            for inner, outer, stride in zip(inputs, config.channels, strides, strict=True)
        )
        self.projection = Conv3d(config.channels[-1], width, kernel_size=steps[-1], stride=steps[-1])

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 1, D, H, W) -> tokens (B, N, C), W fastest, and the map of each stage, finest first."""
        maps = []
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return self.projection(images).flatten(2).transpose(1, 2), maps


class StemStage(nn.Sequential):
    """Twice: convolution, group normalisation, ReLU; the first convolution is strided.

    On CPUs convolutions of few channels are two to three times faster channels-last, group normalisation much
    slower: so the memory format changes between them.
    """

    def __init__(self, inputs: int, outputs: int, stride: Triple, groups: int) -> None:
        super().__init__(
            Conv3d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.GroupNorm(groups, outputs),
            nn.ReLU(inplace=True),
            Conv3d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(groups, outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, c, D, H, W) -> (B, c', D', H', W')."""
        for convolution, norm, activation in (tuple(self)[:3], tuple(self)[3:]):
            maps = convolution(maps.contiguous(memory_format=torch.channels_last_3d))
            maps = activation(norm(maps.contiguous()))
        return maps
