"""SAM's mask decoder in two dimensions.

Source: Kirillov et al. 2023, arXiv:2304.02643.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..two_way_transformer import Mlp, TwoWayTransformer, take
from .config import MASKS, SamConfig
from .layers import LayerNorm2d


class SamMaskDecoder(nn.Module):
    """Image tokens and prompt tokens to masks and predicted overlaps."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        width = config.out
        self.transformer = TwoWayTransformer(
            config.decoder_depth, width, config.decoder_heads, config.decoder_mlp, downsample=2
        )
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASKS, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp(width, width, width // 8) for _ in range(MASKS))
        self.iou_prediction_head = Mlp(width, config.iou_hidden, MASKS)

    def forward(
        self,
        image: Tensor,
        code: Tensor,
        sparse: Tensor,
        dense: Tensor,
        rows: Tensor,
        present: Tensor | None = None,
        *,
        adapt: Callable[[Tensor], Tensor] | None = None,
        blend: Callable[[Tensor], Tensor] | None = None,
        fuse: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode P prompts.

        Args:
            image: (B, C, g, g) embeddings.
            code: (C, g, g) position code of the grid.
            sparse: (P, T, C) prompt tokens.
            dense: (P, C, g, g), or (1, C, 1, 1).
            rows: (P,) int64, the image that each prompt reads.
            present: (P, T) bool, False where a prompt token is filler that nothing may see; None when all are real.
            adapt, blend, fuse: what an adapter does with mask tokens, mask vectors and image tokens (see Hooks).

        Returns:
            Logits (P, 4, 4 g, 4 g) and predicted overlaps (P, 4); the first answers one mask, the others are
            alternatives.
        """
        height, width = image.shape[-2:]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(len(sparse), -1, -1), sparse], dim=1)
        placed = (take(image, rows) + dense).flatten(2).transpose(1, 2)
        if fuse is not None:
            placed = fuse(placed)
        seen = None if present is None else functional.pad(present, (1 + MASKS, 0), value=True)
        tokens, placed = self.transformer(placed, code.flatten(1).T, tokens, None, seen)
        mask_tokens = tokens[:, 1 : 1 + MASKS]
        if adapt is not None:
            mask_tokens = adapt(mask_tokens)
        features = self.output_upscaling(placed.transpose(1, 2).unflatten(2, (height, width)))
        vectors = torch.stack(
            [network(mask_tokens[:, number]) for number, network in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        if blend is not None:
            vectors = blend(vectors)
        logits = torch.einsum("pmc,pchw->pmhw", vectors, features)
        return logits, self.iou_prediction_head(tokens[:, 0])
