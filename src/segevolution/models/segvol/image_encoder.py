"""The image encoder: a plain pre-norm 3-D vision transformer without class token or dropout.

Names follow MONAI's ViT, since the published checkpoints do. Source: Dosovitskiy et al. 2021, arXiv:2010.11929.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..attention import attention
from ..backbone import Triple
from .config import SegVolConfig
from .stem import Stem


class ImageEncoder(nn.Module):
    """(B, 1, D, H, W) -> tokens (B, N, C), and the stem's high-resolution maps where the decoder asks for them."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(config)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.mlp) for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Tokens run over the grid in (D, H, W) order, W fastest; maps are at 2 and 4 times the grid, or none."""
        tokens, skips = self.patch_embedding(images)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens), skips


class PatchEmbedding(nn.Module):
    """Patches to tokens, by one linear layer or by a stem, plus learned position embeddings."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        depth, height, width = config.grid
        self.position_embeddings = nn.Parameter(torch.empty(1, depth * height * width, config.width))
        nn.init.trunc_normal_(self.position_embeddings, std=0.02, a=-2.0, b=2.0)
        self.high_resolution = config.high_resolution
        if config.stem is None:
            voxels = config.patch[0] * config.patch[1] * config.patch[2]
            self.patch_embeddings = nn.Sequential(Patches(config.patch), nn.Linear(voxels, config.width))
        else:
            self.stem = Stem(config.stem, config.stem_steps, config.width)

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """See ImageEncoder."""
        if not hasattr(self, "stem"):
            return self.patch_embeddings(images) + self.position_embeddings, ()
        tokens, maps = self.stem(images)
        skips = (maps[-1], maps[-2]) if self.high_resolution else ()
        return tokens + self.position_embeddings, skips


class Patches(nn.Module):
    """(B, c, D, H, W) -> (B, N, voxels of a patch in (d, h, w, channel) order)."""

    def __init__(self, patch: Triple) -> None:
        super().__init__()
        self.patch = patch

    def forward(self, images: Tensor) -> Tensor:
        """Cut into patches; the sides must be whole numbers of them."""
        batch, channels, depth, height, width = images.shape
        pd, ph, pw = self.patch
        cut = images.reshape(batch, channels, depth // pd, pd, height // ph, ph, width // pw, pw)
        return cut.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, -1, pd * ph * pw * channels)


class TransformerBlock(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = BlockMlp(width, mlp)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> the same shape."""
        tokens = tokens + self.attn(self.norm1(tokens))
        changed: Tensor = self.mlp(self.norm2(tokens))
        return tokens + changed


class SelfAttention(nn.Module):
    """Multi-head self-attention with one fused projection, without bias, split as query, key, value."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> the same shape."""
        batch, count, width = tokens.shape
        split = self.qkv(tokens).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attention(query, key, value)
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(batch, count, width))
        return joined


class BlockMlp(nn.Module):
    """Two linear layers with the exact GELU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        changed: Tensor = self.linear2(functional.gelu(self.linear1(tokens)))
        return changed
