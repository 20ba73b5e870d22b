"""Small parts of SAM's networks, in two or three dimensions."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ChannelNorm(nn.Module):
    """Layer norm over the channels (axis 1) of each place."""

    def __init__(self, channels: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.epsilon = epsilon

    def forward(self, values: Tensor) -> Tensor:
        """(B, C, ...) -> the same shape."""
        mean = values.mean(1, keepdim=True)
        variance = (values - mean).square().mean(1, keepdim=True)
        normal = (values - mean) / torch.sqrt(variance + self.epsilon)
        places = (-1, *[1] * (values.dim() - 2))
        scaled: Tensor = self.weight.view(places) * normal + self.bias.view(places)
        return scaled


class SamMlp(nn.Module):
    """Two linear layers with exact GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, values: Tensor) -> Tensor:
        """(..., W) -> the same shape."""
        changed: Tensor = self.lin2(functional.gelu(self.lin1(values)))
        return changed


def mask_downscaling(convolution: type[nn.Conv2d] | type[nn.Conv3d], channels: int, out: int) -> nn.Sequential:
    """What embeds a mask: two halvings, then `out` channels; (P, 1, 4 g, ...) -> (P, out, g, ...).

    Args:
        convolution: of the mask's dimensions.
        channels: after the second halving.
        out: channels of the image tokens.
    """
    return nn.Sequential(
        convolution(1, channels // 4, 2, 2),
        ChannelNorm(channels // 4),
        nn.GELU(),
        convolution(channels // 4, channels, 2, 2),
        ChannelNorm(channels),
        nn.GELU(),
        convolution(channels, out, 1),
    )
