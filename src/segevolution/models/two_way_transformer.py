"""The two-way transformer of SAM's mask decoder, in any number of dimensions: tokens and image attend to one another.

Source: Kirillov et al. 2023, arXiv:2304.02643. Image tokens of the first block are projected once an image,
not once a prompt, since until there they do not depend on the prompt.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import attention


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks and a last attention from tokens to image."""

    def __init__(self, depth: int, width: int, heads: int, mlp: int, downsample: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(width, heads, mlp, downsample, first=number == 0) for number in range(depth)
        )
        self.final_attn_token_to_image = Attention(width, heads, downsample)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(
        self, image: Tensor, code: Tensor, tokens: Tensor, rows: Tensor | None, present: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Decode P prompts.

        Args:
            image: (B, N, C) image tokens; (P, N, C) when `rows` is None.
            code: (N, C) position code of the grid.
            tokens: (P, T, C) output and prompt tokens; they are their own position codes.
            rows: (P,) int64, the row of `image` that each prompt reads.
            present: (P, T) bool, False where a token is filler that nothing may see; None when all are real.

        Returns:
            Tokens (P, T, C) and image tokens (P, N, C).
        """
        keys = None if present is None else present[:, None, None, :]
        start = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, start, code, rows, keys)
            rows = None
        mixed = self.final_attn_token_to_image(tokens + start, image + code, image)
        return self.norm_final_attn(tokens + mixed), image


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, tokens to image, MLP, image to tokens; each followed by a layer norm."""

    def __init__(self, width: int, heads: int, mlp: int, downsample: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, downsample)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TokenMlp(width, mlp)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, downsample)

    def forward(
        self, tokens: Tensor, image: Tensor, start: Tensor, code: Tensor, rows: Tensor | None, keys: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """See TwoWayTransformer; the first block has neither position codes nor a residual in its self-attention."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens, keys)
        else:
            placed = tokens + start
            tokens = tokens + self.self_attn(placed, placed, tokens, keys)
        tokens = self.norm1(tokens)
        coded = image + code
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + start, coded, image, key_rows=rows))
        tokens = self.norm3(tokens + self.mlp(tokens))
        mixed = self.cross_attn_image_to_token(coded, tokens + start, tokens, keys, query_rows=rows)
        return tokens, self.norm4(take(image, rows) + mixed)


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than that of its tokens."""

    def __init__(self, width: int, heads: int, downsample: int = 1) -> None:
        super().__init__()
        self.heads = heads
        inner = width // downsample
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        keys: Tensor | None = None,
        query_rows: Tensor | None = None,
        key_rows: Tensor | None = None,
    ) -> Tensor:
        """(P, Q, C), (P, K, C), (P, K, C) -> (P, Q, C).

        Args:
            keys: (P, 1, 1, K) bool, False where a key must not be seen.
            query_rows, key_rows: (P,), which row to take of a side that has one row an image.
        """
        q = self._split(take(self.q_proj(query), query_rows))
        k = self._split(take(self.k_proj(key), key_rows))
        v = self._split(take(self.v_proj(value), key_rows))
        mixed = attention(q, k, v, keys)
        joined: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return joined

    def _split(self, tokens: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        return tokens.view(batch, count, self.heads, width // self.heads).transpose(1, 2)


class TokenMlp(nn.Module):
    """Two linear layers with ReLU between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        changed: Tensor = self.lin2(functional.relu(self.lin1(tokens)))
        return changed


class Mlp(nn.Module):
    """Three linear layers with ReLU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        sizes = ((inputs, hidden), (hidden, hidden), (hidden, outputs))
        self.layers = nn.ModuleList(nn.Linear(inner, outer) for inner, outer in sizes)

    def forward(self, values: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        for layer in self.layers[:-1]:
            values = functional.relu(layer(values))
        outputs: Tensor = self.layers[-1](values)
        return outputs


def take(values: Tensor, rows: Tensor | None) -> Tensor:
    """`values[rows]`, without a copy where there is only one row; `values` itself when `rows` is None."""
    if rows is None:
        return values
    if values.shape[0] == 1:
        return values.expand(len(rows), *values.shape[1:])
    return torch.index_select(values, 0, rows)
