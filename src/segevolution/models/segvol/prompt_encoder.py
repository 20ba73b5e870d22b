"""Points, boxes and text as tokens; positions by random Fourier features (SAM, Kirillov et al. 2023).

A batch may mix prompts of different kinds: each row's missing tokens are marked, and the decoder never sees them,
so a prompt gets the same answer in any company.
"""

import math
from typing import cast

import torch
from torch import Tensor, nn

from ..backbone import ABSENT, PADDING, PromptBatch
from .config import SegVolConfig


class PromptEncoder(nn.Module):
    """Prompts to tokens of the decoder's width, and the position code of the token grid."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        width = config.width
        self.window, self.grid, self.coordinates = config.window, config.grid, config.coordinates
        self.pe_layer = FourierCode(width, config.start.fourier)
        # 0 negative point, 1 positive point, 2 and 3 the two corners of a box.
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        if config.unused_mask_downscaling:
            self.mask_downscaling = _unused_mask_downscaling(width)

    def forward(self, prompts: PromptBatch, text: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens in the order points, padding point, box corners, text.

        Args:
            prompts: P prompts in window voxels.
            text: (P, C) aligned text tokens, read where `prompts.structures` has a name; None = no text at all.

        Returns:
            Tokens (P, T, C) and which are real (P, T) bool. Kinds that no row has take no place.
        """
        device = self.not_a_point_embed.weight.device
        tokens: list[Tensor] = [self.not_a_point_embed.weight.new_zeros(len(prompts), 0, self.pe_layer.width)]
        present = [torch.zeros(len(prompts), 0, dtype=torch.bool, device=device)]
        has_box, corners = self._boxes(prompts)
        if prompts.points is not None and prompts.labels is not None:
            labels = prompts.labels.to(device)
            real = labels != ABSENT
            columns = real.any(0).nonzero()[:, 0]
            if len(columns):
                points = prompts.points.to(device).index_select(1, columns)
                tokens.append(self._points(points, labels.index_select(1, columns)))
                present.append(real.index_select(1, columns))
                lone = real.any(1) & ~has_box
                if lone.any():
                    tokens.append(self.not_a_point_embed.weight.expand(len(prompts), 1, -1))
                    present.append(lone[:, None])
        if corners is not None:
            tokens.append(corners)
            present.append(has_box[:, None].expand(-1, 2))
        if text is not None:
            tokens.append(text[:, None, :])
            present.append(named(prompts, device)[:, None])
        return torch.cat(tokens, dim=1), torch.cat(present, dim=1)

    def grid_code(self) -> Tensor:
        """(N, C): position code of each token, W fastest.

        The published code stacks normalised coordinates as (H, D, W), a quirk that its weights are used to.
        """
        device = self.not_a_point_embed.weight.device
        depth, height, width = (
            (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side for side in self.grid
        )
        d, h, w = torch.meshgrid(depth, height, width, indexing="ij")
        code: Tensor = self.pe_layer(torch.stack([h, d, w], dim=-1).flatten(0, 2))
        return code

    def no_mask(self) -> Tensor:
        """(1, C): added to every image token, since SegVol takes no mask as a prompt."""
        return self.no_mask_embed.weight

    def _points(self, points: Tensor, labels: Tensor) -> Tensor:
        labels = labels.clamp(min=PADDING)
        kinds = torch.cat([self.not_a_point_embed.weight, self._kind(0), self._kind(1)])
        code = self._code(points).masked_fill((labels == PADDING)[..., None], 0.0)
        return code + kinds[labels + 1]

    def _boxes(self, prompts: PromptBatch) -> tuple[Tensor, Tensor | None]:
        device = self.not_a_point_embed.weight.device
        if prompts.boxes is None:
            return torch.zeros(len(prompts), dtype=torch.bool, device=device), None
        boxes = prompts.boxes.to(device)
        has_box = ~boxes.isnan().any(1)
        if not has_box.any():
            return has_box, None
        corners = boxes.nan_to_num().reshape(-1, 2, 3)
        return has_box, self._code(corners) + torch.cat([self._kind(2), self._kind(3)])

    def _kind(self, number: int) -> Tensor:
        return cast(nn.Embedding, self.point_embeddings[number]).weight

    def _code(self, coordinates: Tensor) -> Tensor:
        depth, height, width = self.window
        centred = coordinates.float() + 0.5
        if self.coordinates == "matching":
            centred = centred[..., [1, 0, 2]]
        # Published: (d, h, w) is divided by the sides (H, D, W), yet not reordered as the grid's code is.
        code: Tensor = self.pe_layer(centred / centred.new_tensor([height, depth, width]))
        return code


class FourierCode(nn.Module):
    """Coordinates in [0, 1]^3 -> sine and cosine of random projections.

    Args:
        width: of the code; half are sines.
        spread: standard deviations of the first and the last column of the matrix, log-spaced between.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int, spread: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.width = width
        matrix = torch.empty(3, width // 2)
        if not matrix.is_meta:  # an outline has shapes alone; drawing on it would import torch's compiler
            low, high = (math.log(value) for value in spread)
            matrix = matrix.normal_() * torch.linspace(low, high, width // 2).exp()
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    def forward(self, coordinates: Tensor) -> Tensor:
        """(..., 3) -> (..., width), float32 even under autocast, where phases would be lost."""
        matrix = self.positional_encoding_gaussian_matrix.float()
        with torch.autocast(matrix.device.type, enabled=False):
            phase = 2 * math.pi * ((2 * coordinates.float() - 1) @ matrix)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)


def named(prompts: PromptBatch, device: torch.device) -> Tensor:
    """(P,) bool: which prompts have text."""
    return torch.tensor([structure is not None for structure in prompts.structures], device=device)


def _unused_mask_downscaling(width: int) -> nn.Sequential:
    """Parameters that the published checkpoint carries and its code never reads, frozen."""
    unused = nn.Sequential(
        nn.Conv2d(1, 4, 2, stride=2),
        nn.GroupNorm(1, 4),
        nn.GELU(),
        nn.Conv2d(4, 16, 2, stride=2),
        nn.GroupNorm(1, 16),
        nn.GELU(),
        nn.Conv2d(16, width, 1),
    )
    return unused.requires_grad_(False)
