"""nnU-Net's residual encoder U-Net, under the names that its checkpoints have.

Source: Isensee et al. 2024, arXiv:2404.09556, as nnInteractive uses it: 3^3 kernels, stride 2 from the second stage on,
instance norms, one convolution a decoder stage, a head at each resolution.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import CLASSES, INPUTS


class ConvBlock3d(nn.Module):
    """Convolution, instance norm and, where it is followed by one, leaky ReLU."""

    def __init__(
        self, inputs: int, outputs: int, side: int = 3, stride: int = 1, *, bias: bool = True, active: bool = True
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, side, stride, side // 2, bias=bias)
        self.norm = nn.InstanceNorm3d(outputs, eps=1e-5, affine=True)
        self.active = active

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, ...) at the stride's resolution."""
        normal: Tensor = self.norm(self.conv(values))
        return functional.leaky_relu(normal, 0.01) if self.active else normal


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is pooled where they stride and mapped where channels change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = ConvBlock3d(inputs, outputs, stride=stride)
        self.conv2 = ConvBlock3d(outputs, outputs, active=False)
        steps: list[nn.Module] = [nn.AvgPool3d(stride, stride)] if stride > 1 else []
        if inputs != outputs:
            steps.append(ConvBlock3d(inputs, outputs, 1, bias=False, active=False))
        self.skip = nn.Sequential(*steps)

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, ...) at the stride's resolution."""
        answer: Tensor = self.conv2(self.conv1(values)) + self.skip(values)
        return functional.leaky_relu(answer, 0.01)


class ResidualStage(nn.Module):
    """Blocks at one resolution; the first one steps down to it."""

    def __init__(self, inputs: int, outputs: int, count: int, stride: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(ResidualBlock(outputs if number else inputs, outputs, 1 if number else stride) for number in range(count))
        )

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, ...) at the stride's resolution."""
        answer: Tensor = self.blocks(values)
        return answer


class StackedConvs(nn.Module):
    """Convolutions one after another, here always one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(ConvBlock3d(inputs, outputs))

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, d, h, w)."""
        answer: Tensor = self.convs(values)
        return answer


class ResidualEncoder(nn.Module):
    """A stem and stages, each at half the resolution of the one before."""

    def __init__(self, features: Sequence[int], blocks: Sequence[int]) -> None:
        super().__init__()
        self.stem = StackedConvs(INPUTS, features[0])
        self.stages = nn.ModuleList(
            ResidualStage(features[max(0, number - 1)], outputs, count, 2 if number else 1)
            for number, (outputs, count) in enumerate(zip(features, blocks, strict=True))
        )

    def forward(self, values: Tensor) -> list[Tensor]:
        """(B, 8, D, H, W) -> the answer of each stage, finest first."""
        values, answers = self.stem(values), []
        for stage in self.stages:
            values = stage(values)
            answers.append(values)
        return answers


class UNetDecoder(nn.Module):
    """Steps up, each joined with the encoder's answer there; a head at each resolution, the finest last."""

    def __init__(self, features: Sequence[int]) -> None:
        super().__init__()
        pairs = [(features[number + 1], features[number]) for number in reversed(range(len(features) - 1))]
        self.transpconvs = nn.ModuleList(nn.ConvTranspose3d(deep, wide, 2, 2) for deep, wide in pairs)
        self.stages = nn.ModuleList(StackedConvs(2 * wide, wide) for _, wide in pairs)
        self.seg_layers = nn.ModuleList(nn.Conv3d(wide, CLASSES, 1) for _, wide in pairs)

    def forward(self, skips: Sequence[Tensor]) -> Tensor:
        """The encoder's answers, finest first -> logits (B, 2, D, H, W)."""
        values = skips[-1]
        for number, (up, stage) in enumerate(zip(self.transpconvs, self.stages, strict=True)):
            values = stage(torch.cat([up(values), skips[-2 - number]], dim=1))
        logits: Tensor = self.seg_layers[-1](values)
        return logits
