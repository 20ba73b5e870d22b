"""A training aid, dropped afterwards: a semantic head on the same features that the prompts read."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..models.backbone import Features


class SemanticHead(nn.Module):
    """Features -> one logit map a structure at the resolution of the finest skip map (or of the tokens).

    It teaches the encoder where structures are before prompts have learned to ask for them.

    Args:
        width: channels of the image tokens.
        skip: channels of the finest skip map; 0 without a stem.
        structures: number of output maps.
    """

    def __init__(self, width: int, skip: int, structures: int, hidden: int = 48) -> None:
        super().__init__()
        self.project = nn.Conv3d(width, hidden, 1)
        self.mix = nn.Conv3d(hidden + skip, hidden, 1)
        self.classify = nn.Conv3d(hidden, structures, 1)

    def forward(self, features: Features) -> Tensor:
        """Returns logits (B, S, d, h, w)."""
        maps = self.project(features.tokens.transpose(1, 2).unflatten(2, features.grid))
        if features.skips:
            finest = features.skips[-1]
            maps = functional.interpolate(maps, finest.shape[-3:], mode="trilinear", align_corners=False)
            maps = torch.cat([maps, finest], 1)
        logits: Tensor = self.classify(functional.gelu(self.mix(maps)))
        return logits
