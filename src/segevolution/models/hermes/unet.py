"""The residual U-Net of Hermes-R, under the names of its published code. Source: Gao et al. 2024, arXiv:2306.02416."""

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPSILON = 1e-4


class ActivatedConv(nn.Module):
    """A convolution of what an instance norm and ReLU made of its input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1, bias=False)

    def forward(self, active: Tensor) -> Tensor:
        """(B, inputs, d, h, w), activated already -> (B, outputs, d, h, w)."""
        answer: Tensor = self.conv(active)
        return answer


def activated(values: Tensor) -> Tensor:
    """ReLU of the instance norm, which has no parameters."""
    return functional.relu(functional.instance_norm(values, eps=_EPSILON))


class PreActivationBlock(nn.Module):
    """Two activated convolutions beside a shortcut, which is an activated convolution where channels change."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ActivatedConv(inputs, outputs)
        self.conv2 = ActivatedConv(outputs, outputs)
        self.shortcut = ActivatedConv(inputs, outputs) if inputs != outputs else None

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, d, h, w)."""
        active = activated(values)
        beside = values if self.shortcut is None else self.shortcut(active)
        answer: Tensor = self.conv2(activated(self.conv1(active))) + beside
        return answer


class InputBlock(nn.Module):
    """A bare convolution and a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(1, width, 3, padding=1, bias=False)
        self.conv2 = PreActivationBlock(width, width)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, D, H, W) -> (B, c, D, H, W)."""
        answer: Tensor = self.conv2(self.conv1(images))
        return answer


class DownStep(nn.Module):
    """To half the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.MaxPool3d(2), PreActivationBlock(inputs, outputs), PreActivationBlock(outputs, outputs)
        )

    def forward(self, values: Tensor) -> Tensor:
        """(B, inputs, d, h, w) -> (B, outputs, d / 2, h / 2, w / 2)."""
        answer: Tensor = self.conv(values)
        return answer


class UpStep(nn.Module):
    """To the resolution of a skip, which is joined; corners stay on corners."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(PreActivationBlock(inputs + skip, outputs), PreActivationBlock(outputs, outputs))

    def forward(self, values: Tensor, skip: Tensor) -> Tensor:
        """(B, inputs, d, h, w) and (B, skip, d', h', w') -> (B, outputs, d', h', w')."""
        larger = functional.interpolate(values, skip.shape[2:], mode="trilinear", align_corners=True)
        answer: Tensor = self.conv(torch.cat([skip, larger.to(skip.dtype)], dim=1))
        return answer
