"""SAM-Med3D's prompt encoder: clicks become tokens, an earlier answer becomes a map.

Source: Wang et al. 2023, arXiv:2310.15161. Coordinates are voxels (x, y, z) of the cubic input.
"""

import math

import torch
from torch import Tensor, nn

from ..backbone import ABSENT, PADDING
from ..sam_layers import mask_downscaling
from .config import SamMed3dConfig


class SamMed3dPromptEncoder(nn.Module):
    """Clicks to tokens (P, T, C), earlier answers to dense embeddings (P, C, g, g, g)."""

    def __init__(self, config: SamMed3dConfig) -> None:
        super().__init__()
        self.image, self.grid = config.image, config.grid
        self.pe_layer = CubicPositionCode(config.out // 3)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, config.out) for _ in range(2))
        self.not_a_point_embed = nn.Embedding(1, config.out)
        self.mask_downscaling = mask_downscaling(nn.Conv3d, config.mask_channels, config.out)
        self.no_mask_embed = nn.Embedding(1, config.out)  # published, and never trained: a mask always comes along

    def sparse(self, points: Tensor | None, labels: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
        """Tokens of clicks, each row's followed by one that says "not a point".

        Args:
            points, labels: (P, N, 3) voxels and (P, N): 1 positive, 0 negative, -1 "not a point", -2 filler that is
                not seen; None = no clicks.
            count: P.

        Returns:
            Tokens (P, T, C), and (P, T) which of them are real.
        """
        empty = self.not_a_point_embed.weight
        if points is None or labels is None:
            return empty.new_zeros(count, 0, empty.shape[1]), empty.new_zeros(count, 0, dtype=torch.bool)
        present = labels != ABSENT
        code = self.pe_layer((points.to(empty) + 0.5) / self.image)
        kind = labels[..., None]
        code = torch.where(kind <= PADDING, empty, code)
        negative, positive = (embedding.get_parameter("weight") for embedding in self.point_embeddings)
        tokens = code + (kind == 0) * negative + (kind == 1) * positive
        tokens = torch.cat([tokens, empty.expand(count, 1, -1)], dim=1)
        return tokens, torch.cat([present, present.any(dim=1, keepdim=True)], dim=1)

    def dense(self, masks: Tensor | None) -> Tensor:
        """Logits (P, 1, 4 g, 4 g, 4 g) -> (P, C, g, g, g); (1, C, 1, 1, 1), which nobody trained, without any."""
        if masks is None:
            return self.no_mask_embed.weight[..., None, None, None]
        embedded: Tensor = self.mask_downscaling(masks)
        return embedded

    def grid_code(self) -> Tensor:
        """(C, g, g, g), the position code of the image tokens: the first two axes exchanged, as published."""
        side = (torch.arange(self.grid, device=self.no_mask_embed.weight.device) + 0.5) / self.grid
        first, second, third = torch.meshgrid(side, side, side, indexing="ij")
        code: Tensor = self.pe_layer(torch.stack([second, first, third], dim=-1)).permute(3, 0, 1, 2)
        return code


class CubicPositionCode(nn.Module):
    """Random Fourier features of places in the unit cube: sine, cosine, and the sine again, as published."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.positional_encoding_gaussian_matrix: Tensor
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, features))

    def forward(self, places: Tensor) -> Tensor:
        """(..., 3) in [0, 1] -> (..., C)."""
        waves = 2 * math.pi * ((2 * places - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([waves.sin(), waves.cos(), waves.sin()], dim=-1)
