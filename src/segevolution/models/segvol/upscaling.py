"""Image tokens to features at four times the grid, kept token by token: all voxels of a token lie side by side.

A transposed convolution with kernel 2 and stride 2 is a matrix product that writes eight voxels for each one, so
nothing has to move in memory until the last, thin mask is laid out in space.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..backbone import Triple


@dataclass(frozen=True)
class SecondStepInputs:
    """Inputs of the second step beside the features of the first.

    Attributes:
        values: (P, N, 8, E).
        weight, bias: (8 * C / 8, E) and (8 * C / 8,).
    """

    values: Tensor
    weight: Tensor
    bias: Tensor


class Upscaling(nn.Sequential):
    """ConvTranspose3d, LayerNorm over the whole tensor, GELU, ConvTranspose3d, GELU: names as published.

    Args:
        width: channels of a token.
        grid: tokens along each axis; the layer norm has one weight for each channel and voxel.
    """

    def __init__(self, width: int, grid: Triple) -> None:
        doubled = tuple(2 * side for side in grid)
        super().__init__(
            nn.ConvTranspose3d(width, width // 4, 2, stride=2),
            nn.LayerNorm((width // 4, *doubled)),
            nn.GELU(),
            nn.ConvTranspose3d(width // 4, width // 8, 2, stride=2),
            nn.GELU(),
        )
        self.grid = grid

    def forward(
        self,
        tokens: Tensor,
        middle: tuple[Tensor, ...] = (),
        fine: Tensor | None = None,
        extra: SecondStepInputs | None = None,
    ) -> Tensor:
        """Upscale.

        Args:
            tokens: (P, N, C).
            middle: added after the first step, each (P or 1, N, 8, C / 4).
            fine: added after the second step, (P or 1, N, 8, 8 * C / 8).
            extra: more inputs of the second step.

        Returns:
            (P, N, 64, C / 8); the 64 voxels of a token are two nested blocks of 2x2x2.
        """
        first, norm = cast(nn.ConvTranspose3d, self[0]), cast(nn.LayerNorm, self[1])
        doubled = functional.linear(tokens, *_as_linear(first)).view(*tokens.shape[:2], 8, -1)
        for addend in middle:
            doubled = _added(doubled, addend)
        weight, bias = (to_cells(values[None], self.grid, 2)[0] for values in (norm.weight, norm.bias))
        doubled = functional.gelu(functional.layer_norm(doubled, weight.shape, weight, bias, norm.eps))
        weight, bias = _as_linear(cast(nn.ConvTranspose3d, self[3]))
        if extra is not None:
            doubled = torch.cat([doubled, extra.values.to(doubled.dtype)], dim=-1)
            weight, bias = torch.cat([weight, extra.weight], dim=1), bias + extra.bias
        upscaled = functional.linear(doubled, weight, bias)
        if fine is not None:
            upscaled = _added(upscaled, fine)
        return functional.gelu(upscaled).view(*upscaled.shape[:2], 64, -1)


def _added(values: Tensor, addend: Tensor) -> Tensor:
    """Their sum, in the place of `values` where nothing is learned: what is learned in place is copied four times."""
    return values + addend if torch.is_grad_enabled() else values.add_(addend)


def _as_linear(convolution: nn.ConvTranspose3d) -> tuple[Tensor, Tensor]:
    """Weight and bias that make the 2x2x2 voxels of the convolution from each voxel: (8 * C', C) and (8 * C',)."""
    weight = convolution.weight.permute(2, 3, 4, 1, 0).reshape(-1, convolution.in_channels)
    return weight, cast(Tensor, convolution.bias).repeat(8)


def to_cells(volume: Tensor, grid: Triple, factor: int) -> Tensor:
    """(B, c, factor*d, factor*h, factor*w) -> voxels under their tokens; factor 2: (B, N, 8, c), 4: (B, N, 8, 8, c)."""
    batch, channels = volume.shape[:2]
    d, h, w = grid
    # Channels-last first: then channels move as blocks, on the way there and back.
    rows = volume.contiguous(memory_format=torch.channels_last_3d).permute(0, 2, 3, 4, 1)
    if factor == 2:
        split = rows.reshape(batch, d, 2, h, 2, w, 2, channels)
        return split.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, d * h * w, 8, channels)
    split = rows.reshape(batch, d, 2, 2, h, 2, 2, w, 2, 2, channels)
    return split.permute(0, 1, 4, 7, 2, 5, 8, 3, 6, 9, 10).reshape(batch, d * h * w, 8, 8, channels)


def from_cells(cells: Tensor, grid: Triple) -> Tensor:
    """(B, N, 64, c) -> (B, c, 4d, 4h, 4w): the way back from two nested blocks of 2x2x2."""
    d, h, w = grid
    split = cells.reshape(len(cells), d, h, w, 2, 2, 2, 2, 2, 2, -1)
    return split.permute(0, 10, 1, 4, 7, 2, 5, 8, 3, 6, 9).reshape(len(cells), -1, 4 * d, 4 * h, 4 * w)


class HighResolution(nn.Module):
    """Maps of the encoder's stem for the two upscaling steps (SAM 2's mask decoder, Ravi et al. 2024).

    Args:
        channels: of the maps at twice and at four times the token grid.
        width: of the tokens.
    """

    def __init__(self, channels: tuple[int, int], width: int, grid: Triple) -> None:
        super().__init__()
        self.grid = grid
        self.to_middle = nn.Conv3d(channels[0], width // 4, 1)
        self.to_fine = nn.Conv3d(channels[1], width // 8, 1)

    def forward(self, skips: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        """Two maps (B, c, d', h', w') -> (B, N, 8, C / 4) and (B, N, 8, C): one row an image."""
        middle = to_cells(self.to_middle(skips[0]), self.grid, 2)
        fine = to_cells(self.to_fine(skips[1]), self.grid, 4)
        return middle, fine.flatten(3)


def dot(features: Tensor, vectors: Tensor) -> Tensor:
    """(P, N, V, c) and (P, M, c) -> (P, N, V, M)."""
    products = features.flatten(1, 2) @ vectors.to(features.dtype).transpose(1, 2)
    return products.view(*features.shape[:3], -1)
