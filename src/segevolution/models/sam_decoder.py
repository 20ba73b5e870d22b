"""SAM's mask decoder, in two or three dimensions, and the places where an adapter enters it.

Source: Kirillov et al. 2023, arXiv:2304.02643.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..vocabulary import Context
from .backbone import Hooks
from .sam_layers import ChannelNorm
from .two_way_transformer import Mlp, TwoWayTransformer, take

MASKS = 4  # mask tokens: one for an unambiguous answer, three alternatives

_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")
_LAYER = "mask_decoder.transformer.layers.*"
_CROSS = (f"{_LAYER}.cross_attn_*", "mask_decoder.transformer.final_attn_token_to_image")
DECODER_LAYERS = {
    "decoder.self_attention": tuple(f"{_LAYER}.self_attn.{part}" for part in _PROJECTIONS),
    "decoder.cross_attention": tuple(f"{cross}.{part}" for cross in _CROSS for part in _PROJECTIONS),
    "decoder.mlp": (f"{_LAYER}.mlp.*",),
}
"""Groups of its layers for `Spec.layer_groups`, of a network that calls it `mask_decoder`."""

DECODER_PARAMETERS = {
    "decoder": ("mask_decoder.**",),
    "mask_tokens": ("mask_decoder.mask_tokens.weight", "mask_decoder.iou_token.weight"),
}
"""Groups of its parameters for `Spec.parameter_groups`."""


@dataclass(frozen=True)
class Entrances:
    """What an adapter does within one decoding (see Hooks); None leaves the decoder as it is.

    Attributes:
        fuse: image tokens (P, N, C) -> the same shape.
        adapt: mask tokens (P, 4, C) -> the same shape.
        blend: mask vectors (P, 4, c) -> the same shape.
    """

    fuse: Callable[[Tensor], Tensor] | None = None
    adapt: Callable[[Tensor], Tensor] | None = None
    blend: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(cls, hooks: Hooks, contexts: Sequence[Context]) -> "Entrances":
        """The hooks of a network for one decoding; what `fuse` says is handed on to the others."""
        state: dict[str, Any] = {}
        fuse, mask_tokens, mask_vectors = hooks.fuse, hooks.mask_tokens, hooks.mask_vectors

        def fused(tokens: Tensor) -> Tensor:
            assert fuse is not None
            tokens, state["fused"] = fuse(tokens, contexts)
            return tokens

        def adapted(tokens: Tensor) -> Tensor:
            assert mask_tokens is not None
            return mask_tokens(tokens, contexts, state.get("fused"))

        def blended(vectors: Tensor) -> Tensor:
            assert mask_vectors is not None
            return mask_vectors(vectors, contexts, state.get("fused"))

        return cls(
            None if fuse is None else fused,
            None if mask_tokens is None else adapted,
            None if mask_vectors is None else blended,
        )


NO_ENTRANCES = Entrances()


class SamMaskDecoder(nn.Module):
    """Image tokens and prompt tokens to masks and predicted overlaps.

    Args:
        width: C, channels of a token.
        depth, heads, mlp: of the two-way transformer.
        iou_hidden: channels of the head that predicts the overlap.
        dimensions: 2 or 3.
    """

    def __init__(self, width: int, depth: int, heads: int, mlp: int, iou_hidden: int, dimensions: int) -> None:
        super().__init__()
        upscaling: type[nn.ConvTranspose2d | nn.ConvTranspose3d]
        upscaling = nn.ConvTranspose2d if dimensions == 2 else nn.ConvTranspose3d
        self.transformer = TwoWayTransformer(depth, width, heads, mlp, downsample=2)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(MASKS, width)
        self.output_upscaling = nn.Sequential(
            upscaling(width, width // 4, 2, 2),
            ChannelNorm(width // 4),
            nn.GELU(),
            upscaling(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(Mlp(width, width, width // 8) for _ in range(MASKS))
        self.iou_prediction_head = Mlp(width, iou_hidden, MASKS)

    def forward(
        self,
        image: Tensor,
        code: Tensor,
        sparse: Tensor,
        dense: Tensor,
        rows: Tensor,
        present: Tensor | None = None,
        entrances: Entrances = NO_ENTRANCES,
    ) -> tuple[Tensor, Tensor]:
        """Decode P prompts.

        Args:
            image: (B, C, *grid) embeddings.
            code: (C, *grid) position code of the grid.
            sparse: (P, T, C) prompt tokens.
            dense: (P, C, *grid), or (1, C, 1, ...).
            rows: (P,) int64, the image that each prompt reads.
            present: (P, T) bool, False where a prompt token is filler that nothing may see; None when all are real.
            entrances: where an adapter enters.

        Returns:
            Logits (P, 4, ...) at four times the grid and predicted overlaps (P, 4); the first answers one mask, the
            others are alternatives.
        """
        own_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own_tokens.expand(len(sparse), -1, -1), sparse], dim=1)
        placed = (take(image, rows) + dense).flatten(2).transpose(1, 2)
        if entrances.fuse is not None:
            placed = entrances.fuse(placed)
        visible_tokens = None if present is None else functional.pad(present, (1 + MASKS, 0), value=True)
        tokens, placed = self.transformer(placed, code.flatten(1).T, tokens, None, visible_tokens)
        mask_tokens = tokens[:, 1 : 1 + MASKS]
        if entrances.adapt is not None:
            mask_tokens = entrances.adapt(mask_tokens)
        features = self.output_upscaling(placed.transpose(1, 2).unflatten(2, image.shape[2:]))
        vectors = torch.stack(
            [network(mask_tokens[:, number]) for number, network in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        if entrances.blend is not None:
            vectors = entrances.blend(vectors)
        logits = torch.einsum("pmc,pc...->pm...", vectors, features)
        return logits, self.iou_prediction_head(tokens[:, 0])
