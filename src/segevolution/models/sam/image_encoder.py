"""SAM's image encoder: a vision transformer with windows and relative positions, and SAM-Med2D's adapters.

Sources: Kirillov et al. 2023, arXiv:2304.02643; Li et al. 2022, arXiv:2203.16527; Cheng et al. 2023, arXiv:2308.16184.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..sam_layers import SamMlp
from .config import SamConfig
from .layers import neck

_EPSILON = 1e-6  # of a block's layer norms


class SamImageEncoder(nn.Module):
    """(B, 3, S, S) -> (B, C, g, g)."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, config.grid, config.grid, config.width))
        self.patch_embed = PatchEmbedding2d(config.patch, config.width)
        self.blocks = nn.ModuleList(
            SamBlock(config, 0 if number in config.global_blocks else config.window) for number in range(config.depth)
        )
        self.neck = neck(config.width, config.out)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, C, g, g)."""
        values = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            values = block(values)
        embedded: Tensor = self.neck(values.permute(0, 3, 1, 2))
        return embedded


class PatchEmbedding2d(nn.Module):
    """A linear map of each patch."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, g, g, W)."""
        patches: Tensor = self.proj(images).permute(0, 2, 3, 1)
        return patches


class SamBlock(nn.Module):
    """Attention in windows (or, with window 0, over the whole image) and a perceptron, each beside a shortcut."""

    def __init__(self, config: SamConfig, window: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, _EPSILON)
        self.attn = RelativeAttention(config.width, config.heads, window or config.grid)
        self.norm2 = nn.LayerNorm(config.width, _EPSILON)
        self.mlp = SamMlp(config.width, config.mlp)
        if config.adapters:
            self.Adapter = BottleneckAdapter(config.width)
        self.window = window
        self.adapted = config.adapters  # False answers as SAM-Med2D without its adapters does

    def forward(self, values: Tensor) -> Tensor:
        """(B, g, g, W) -> the same shape."""
        inside = self.norm1(values)
        if self.window:
            windows, padded = split_windows(inside, self.window)
            inside = join_windows(self.attn(windows), self.window, padded, values.shape[1:3])
        else:
            inside = self.attn(inside)
        values = values + inside
        normal = self.norm2(values)
        changed: Tensor = values + self.mlp(normal)
        if self.adapted:
            changed = changed + self.Adapter(normal)
        return changed


class RelativeAttention(nn.Module):
    """Multi-head attention with decomposed relative positions along each axis.

    Positions are told by the unscaled queries.
    """

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, values: Tensor) -> Tensor:
        """(B, h, w, W) -> the same shape."""
        batch, h, w, width = values.shape
        qkv = self.qkv(values).reshape(batch, h * w, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)  # (B, heads, h * w, d)
        along_h, along_w = self._relative(query, h, w)
        bias = (along_h[..., None] + along_w[..., None, :]).reshape(batch, self.heads, h * w, h * w)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, h, w, width))
        return projected

    def _relative(self, query: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
        """(B, heads, h * w, d) -> (B, heads, h * w, h) and (B, heads, h * w, w)."""
        placed = query.unflatten(2, (h, w))
        along_h = torch.einsum("bnhwd,hkd->bnhwk", placed, _table(self.rel_pos_h, h))
        along_w = torch.einsum("bnhwd,wkd->bnhwk", placed, _table(self.rel_pos_w, w))
        return along_h.flatten(2, 3), along_w.flatten(2, 3)


class BottleneckAdapter(nn.Module):
    """SAM-Med2D's adapter: channels weighed by their means, then a coarser map of them added, then a norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.channel = nn.Sequential(
            nn.Linear(width, width // 4, bias=False), nn.ReLU(), nn.Linear(width // 4, width, bias=False), nn.Sigmoid()
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, 2, 1, bias=False),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, 2, 1, bias=False),
            nn.ReLU(),
        )

    def forward(self, values: Tensor) -> Tensor:
        """(B, g, g, W) with an even g -> the same shape."""
        weighed = values * self.channel(values.mean((1, 2)))[:, None, None]
        coarse = self.spatial(weighed.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        normal: Tensor = self.norm(values + coarse)
        return normal


def split_windows(values: Tensor, window: int) -> tuple[Tensor, tuple[int, int]]:
    """(B, h, w, W) -> windows (B * n, window, window, W), zeros below and right; and the padded (h, w)."""
    batch, h, w, width = values.shape
    padded = functional.pad(values, (0, 0, 0, -w % window, 0, -h % window))
    tall, wide = padded.shape[1:3]
    parts = padded.reshape(batch, tall // window, window, wide // window, window, width)
    return parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, window, window, width), (tall, wide)


def join_windows(windows: Tensor, window: int, padded: tuple[int, int], shape: tuple[int, ...]) -> Tensor:
    """What `split_windows` split, together again and cut to (h, w)."""
    tall, wide = padded
    parts = windows.reshape(-1, tall // window, wide // window, window, window, windows.shape[-1])
    whole = parts.permute(0, 1, 3, 2, 4, 5).reshape(-1, tall, wide, windows.shape[-1])
    return whole[:, : shape[0], : shape[1]]


def _table(positions: Tensor, side: int) -> Tensor:
    """(2 S - 1, d) -> (side, side, d): the entry for each pair of places, query first."""
    places = torch.arange(side, device=positions.device)
    return positions[places[:, None] - places[None] + (len(positions) - 1) // 2]
