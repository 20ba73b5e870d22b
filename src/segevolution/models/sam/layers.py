"""Small parts that the SAM family's networks share."""

import torch
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel (B, C, H, W)."""

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        mean = values.mean(1, keepdim=True)
        variance = (values - mean).square().mean(1, keepdim=True)
        normal = (values - mean) / torch.sqrt(variance + self.epsilon)
        scaled: Tensor = self.weight[:, None, None] * normal + self.bias[:, None, None]
        return scaled


def neck(width: int, out: int) -> nn.Sequential:
    """What brings an encoder's channels to the decoder's: 1x1, norm, 3x3, norm."""
    return nn.Sequential(
        nn.Conv2d(width, out, 1, bias=False),
        LayerNorm2d(out),
        nn.Conv2d(out, out, 3, padding=1, bias=False),
        LayerNorm2d(out),
    )
