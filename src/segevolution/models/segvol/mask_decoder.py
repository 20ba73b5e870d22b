"""The mask decoder of SAM in three dimensions, with SegVol's text alignment.

Sources: Kirillov et al. 2023, arXiv:2304.02643; Du et al. 2024, arXiv:2311.13385.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..two_way_transformer import Mlp, TwoWayTransformer, take
from .config import SegVolConfig
from .dense_prompts import DenseEmbedding
from .upscaling import HighResolution, Upscaling, dot, from_cells

MASKS = 4
"""Mask tokens: one for an unambiguous answer, three alternatives."""


class MaskDecoder(nn.Module):
    """Image tokens and prompt tokens to masks and predicted overlaps."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        width = config.width
        self.grid = config.grid
        self.transformer = TwoWayTransformer(
            config.decoder_depth, width, config.decoder_heads, config.decoder_mlp, config.decoder_downsample
        )
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASKS, width)
        self.output_upscaling = Upscaling(width, config.grid)
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp(width, width, width // 8) for _ in range(MASKS))
        self.iou_prediction_head = Mlp(width, config.iou_hidden, MASKS)
        self.txt_align_upscaled_embedding = nn.Linear(width, width // 8)
        if config.stem is not None and config.high_resolution:
            channels = (config.stem.channels[-1], config.stem.channels[-2])
            self.high_resolution = HighResolution(channels, width, config.grid)
        with torch.no_grad():
            self.iou_token.weight.mul_(config.start.tokens)
            self.mask_tokens.weight.mul_(config.start.tokens)

    def forward(
        self,
        image: Tensor,
        code: Tensor,
        sparse: Tensor,
        present: Tensor,
        *,
        rows: Tensor,
        shared: bool,
        skips: tuple[Tensor, ...] = (),
        dense: DenseEmbedding | None = None,
        text: Tensor | None = None,
        texts: Tensor | None = None,
        multimask: bool = False,
        adapt: Callable[[Tensor], Tensor] | None = None,
        blend: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode P prompts.

        Args:
            image: (B, N, C) where `shared`, else (P, N, C): image tokens plus dense embedding.
            code: (N, C), position code of the grid.
            sparse, present: (P, T, C) prompt tokens and (P, T) bool, which of them are real.
            rows: (P,) int64, the image that each prompt reads.
            shared: whether image tokens are still the same for all prompts of an image.
            skips: the encoder's high-resolution maps, one row an image.
            dense: dense prompts.
            text, texts: (P, C) text tokens and (P,) bool, which prompts have one.
            multimask: return the three alternatives instead of the one mask.
            adapt: changes the mask tokens (P, 4, C) before the hypernetworks.
            blend: changes the vectors (P, M, C / 8) whose inner product with the upscaled features is the logits.

        Returns:
            Logits (P, M, 4d, 4h, 4w) and predicted overlaps (P, M), float32.
        """
        own_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own_tokens.expand(len(sparse), -1, -1), sparse.to(own_tokens.dtype)], dim=1)
        visible_tokens = None if bool(present.all()) else functional.pad(present, (1 + MASKS, 0), value=True)
        tokens, image = self.transformer(image, code, tokens, rows if shared else None, visible_tokens)
        mask_tokens = tokens[:, 1 : 1 + MASKS]
        if adapt is not None:
            mask_tokens = adapt(mask_tokens)
        mask_numbers = range(1, MASKS) if multimask else range(1)
        vectors = torch.stack([self.output_hypernetworks_mlps[i](mask_tokens[:, i]) for i in mask_numbers], dim=1)
        if text is not None and texts is not None:
            # The text's own dot product with the features, as a part of each mask's vector.
            vectors = vectors + torch.where(texts[:, None], self.txt_align_upscaled_embedding(text), 0.0)[:, None]
        if blend is not None:
            vectors = blend(vectors)
        features = self._upscale(image, rows, skips, dense)
        logits = from_cells(dot(features, vectors).float(), self.grid)
        iou = self.iou_prediction_head(tokens[:, 0]).float()
        return logits, iou[:, list(mask_numbers)]

    def _upscale(self, image: Tensor, rows: Tensor, skips: tuple[Tensor, ...], dense: DenseEmbedding | None) -> Tensor:
        middle: list[Tensor] = []
        fine = None
        if skips:
            maps = self.high_resolution(skips)
            coarse, fine = (feature_map if len(feature_map) == 1 else take(feature_map, rows) for feature_map in maps)
            middle.append(coarse)
        if dense is not None:
            middle.append(dense.middle)
        upscaled: Tensor = self.output_upscaling(image, tuple(middle), fine, None if dense is None else dense.fine)
        return upscaled
