"""SAM-Med3D's image encoder: a vision transformer over cubes, with windows and relative positions.

Two habits of the published code are trained into the weights and kept: windows larger than the grid are filled with
zeros that take part in the attention, and relative positions are added along the wrong axes (see `CubicAttention`).

Source: Wang et al. 2023, arXiv:2310.15161. Axes are (x, y, z) of the patient.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..sam_layers import ChannelNorm, SamMlp
from .config import SamMed3dConfig

_EPSILON = 1e-6  # of a block's layer norms


class SamMed3dImageEncoder(nn.Module):
    """(B, 1, S, S, S) -> (B, C, g, g, g)."""

    def __init__(self, config: SamMed3dConfig) -> None:
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, *[config.grid] * 3, config.width))
        self.patch_embed = PatchEmbedding3d(config.patch, config.width)
        self.blocks = nn.ModuleList(
            CubicBlock(config, 0 if number in config.global_blocks else config.window) for number in range(config.depth)
        )
        self.neck = nn.Sequential(
            nn.Conv3d(config.width, config.out, 1, bias=False),
            ChannelNorm(config.out),
            nn.Conv3d(config.out, config.out, 3, padding=1, bias=False),
            ChannelNorm(config.out),
        )

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, S, S, S) -> (B, C, g, g, g)."""
        values = self.patch_embed(images) + self.pos_embed
        for block in self.blocks:
            values = block(values)
        embedded: Tensor = self.neck(values.permute(0, 4, 1, 2, 3))
        return embedded


class PatchEmbedding3d(nn.Module):
    """A linear map of each patch."""

    def __init__(self, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv3d(1, width, patch, patch)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1, S, S, S) -> (B, g, g, g, W)."""
        patches: Tensor = self.proj(images).permute(0, 2, 3, 4, 1)
        return patches


class CubicBlock(nn.Module):
    """Attention in windows (or, with window 0, over the whole image) and a perceptron, each beside a shortcut."""

    def __init__(self, config: SamMed3dConfig, window: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, _EPSILON)
        self.attn = CubicAttention(config.width, config.heads, window or config.grid)
        self.norm2 = nn.LayerNorm(config.width, _EPSILON)
        self.mlp = SamMlp(config.width, config.mlp)
        self.window = window

    def forward(self, values: Tensor) -> Tensor:
        """(B, g, g, g, W) -> the same shape."""
        inside, side, grid = self.norm1(values), self.window, values.shape[1]
        if not side:
            inside = self.attn(inside)
        elif side >= grid:
            margin = (0, side - grid)
            inside = self.attn(functional.pad(inside, (0, 0, *margin, *margin, *margin)), asked=grid)
        else:
            windows, padded = _split(inside, side)
            inside = _joined(self.attn(windows), side, padded)[:, :grid, :grid, :grid]
        values = values + inside
        changed: Tensor = values + self.mlp(self.norm2(values))
        return changed


class CubicAttention(nn.Module):
    """Multi-head attention whose logits hear of relative positions, by the unscaled queries.

    For the query at (d, h, w) and the key at (a, b, c), with D, H and W for the tables `rel_pos_d/h/w` from -n + 1 on,
    the published code adds q[d, h, w] . D[d - c] + q[d, h, a] . H[h - c] + q[d, h, b] . W[b - c], where a textbook
    would add q[d, h, w] . (D[d - a] + H[h - b] + W[w - c]).
    """

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_d = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_h = nn.Parameter(torch.zeros(2 * side - 1, width // heads))
        self.rel_pos_w = nn.Parameter(torch.zeros(2 * side - 1, width // heads))

    def forward(self, values: Tensor, asked: int | None = None) -> Tensor:
        """Attend over cubes.

        Args:
            values: (B, n, n, n, W).
            asked: along each axis, how many of the first places are answered; None answers all. The rest is attended
                to, and nobody reads what it would say.

        Returns:
            (B, asked, asked, asked, W).
        """
        batch, side, _, _, width = values.shape
        first = side if asked is None else asked
        qkv = self.qkv(values).unflatten(-1, (3, self.heads, -1)).permute(4, 0, 5, 1, 2, 3, 6)
        query, key, value = qkv.unbind(0)  # (B, heads, n, n, n, d)
        bias = self._relative(query, first)
        mixed = functional.scaled_dot_product_attention(
            query[:, :, :first, :first, :first].flatten(2, 4), key.flatten(2, 4), value.flatten(2, 4), attn_mask=bias
        )
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, first, first, first, width))
        return projected

    def _relative(self, query: Tensor, first: int) -> Tensor:
        """(B, heads, n, n, n, d) -> (B, heads, first^3, n^3)."""
        inner_query = query[:, :, :first, :first]
        along_d = torch.einsum("...dhwe,dce->...dhwc", inner_query[..., :first, :], _table(self.rel_pos_d)[:first])
        along_h = torch.einsum("...dhae,hce->...dhac", inner_query, _table(self.rel_pos_h)[:first])
        along_w = torch.einsum("...dhbe,bce->...dhbc", inner_query, _table(self.rel_pos_w))
        everywhere = along_h.unsqueeze(-2) + along_w.unsqueeze(-3)  # (..., d, h, a, b, c)
        bias = along_d[..., None, None, :] + everywhere.unsqueeze(-4)  # (..., d, h, w, a, b, c)
        return bias.flatten(-3).flatten(2, 4)


def _table(positions: Tensor) -> Tensor:
    """(2 n - 1, d) -> (n, n, d): the entry for each pair of places, query first."""
    side = (len(positions) + 1) // 2
    places = torch.arange(side, device=positions.device)
    return positions[places[:, None] - places[None] + side - 1]


def _split(values: Tensor, side: int) -> tuple[Tensor, int]:
    """(B, g, g, g, W) -> cubes (B * n, side, side, side, W), zeros at the end of each axis; and the padded g."""
    margin = (0, -values.shape[1] % side)
    padded = functional.pad(values, (0, 0, *margin, *margin, *margin))
    batch, long, width = len(values), padded.shape[1], values.shape[-1]
    count = long // side
    parts = padded.reshape(batch, count, side, count, side, count, side, width)
    return parts.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(-1, side, side, side, width), long


def _joined(windows: Tensor, side: int, long: int) -> Tensor:
    """What `_split` split, together again with its padding."""
    count, width = long // side, windows.shape[-1]
    parts = windows.reshape(-1, count, count, count, side, side, side, width)
    return parts.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, long, long, long, width)
