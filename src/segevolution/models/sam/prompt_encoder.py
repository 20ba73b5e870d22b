"""SAM's prompt encoder: points and boxes become tokens, a mask becomes a map.

Source: Kirillov et al. 2023, arXiv:2304.02643. Coordinates are (x, y) pixels of the padded square input.
"""

import math

import torch
from torch import Tensor, nn

from ..sam_layers import mask_downscaling
from .config import SamConfig

_FILLER = -1  # the label of a token that says "not a point"


class SamPromptEncoder(nn.Module):
    """Prompts to tokens (P, T, C) and dense embeddings (P, C, g, g)."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.image, self.grid = config.image, config.grid
        self.pe_layer = PositionCode(config.out // 2)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, config.out) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, config.out)
        self.mask_downscaling = mask_downscaling(nn.Conv2d, config.mask_channels, config.out)
        self.no_mask_embed = nn.Embedding(1, config.out)

    def dense(self, masks: Tensor | None) -> Tensor:
        """(P, 1, 4 g, 4 g) -> (P, C, g, g); (1, C, 1, 1) without a mask."""
        if masks is None:
            return self.no_mask_embed.weight[..., None, None]
        embedded: Tensor = self.mask_downscaling(masks)
        return embedded

    def grid_code(self) -> Tensor:
        """(C, g, g), the position code of the image tokens."""
        side = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        rows, columns = torch.meshgrid(side, side, indexing="ij")
        code: Tensor = self.pe_layer(torch.stack([columns, rows], dim=-1)).permute(2, 0, 1)
        return code

    def _kind(self, number: int) -> Tensor:
        """(1, C), what marks a token: 0 a negative point, 1 a positive one, 2 and 3 a box's corners."""
        return self.point_embeddings.get_parameter(f"{number}.weight")

    def box_tokens(self, boxes: Tensor) -> Tensor:
        """(P, 4) x0, y0, x1, y1 -> (P, 2, C), the two corners."""
        corners: Tensor = self.pe_layer((boxes.reshape(-1, 2, 2) + 0.5) / self.image)
        return corners + torch.cat([self._kind(2), self._kind(3)])

    def point_tokens(self, points: Tensor, labels: Tensor) -> Tensor:
        """(P, N, 2) pixels and (P, N): 1 positive, 0 negative, -1 filler -> (P, N, C)."""
        code = self.pe_layer((points + 0.5) / self.image)
        labels = labels[..., None]
        code = torch.where(labels == _FILLER, self.not_a_point_embed.weight, code)
        return code + (labels == 0) * self._kind(0) + (labels == 1) * self._kind(1)


class PositionCode(nn.Module):
    """Random Fourier features of places in the unit square (Tancik et al. 2020, arXiv:2006.10739)."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.positional_encoding_gaussian_matrix: Tensor
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, features))

    def forward(self, places: Tensor) -> Tensor:
        """(..., 2) in [0, 1] -> (..., C)."""
        waves = 2 * math.pi * ((2 * places - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([waves.sin(), waves.cos()], dim=-1)
