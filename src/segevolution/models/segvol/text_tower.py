"""CLIP's text transformer, under the names that CLIP checkpoints have in the transformers library.

It is written here, and not taken from that library, since the library's import alone costs more than a first answer.
`tests/models/segvol/test_text_tower.py` holds it to the library's numbers, bit for bit, and to its random start.

Source: Radford et al. 2021, arXiv:2103.00020, section 2.4.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-5  # of layer norms


class TextTower(nn.Module):
    """Token ids to one vector a text: the last layer's output at the end-of-text token.

    Args:
        vocabulary: number of token ids.
        width: channels, W.
        mlp: channels inside each layer's perceptron.
        layers: number of layers.
        heads: of each attention.
        positions: longest text, in tokens.
        end: id of the end-of-text token.
    """

    def __init__(
        self, *, vocabulary: int, width: int, mlp: int, layers: int, heads: int, positions: int, end: int
    ) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(vocabulary, width, positions)
        self.encoder = TextLayers(TextLayer(width, mlp, heads) for _ in range(layers))
        self.final_layer_norm = nn.LayerNorm(width, EPSILON)
        self.end = end
        self._draw(width, layers)

    def forward(self, ids: Tensor) -> Tensor:
        """(T, L) int64 -> (T, W). Attention is causal, so what stands behind the end of a text changes nothing."""
        values = self.final_layer_norm(self.encoder(self.embeddings(ids)))
        ends = (ids == self.end).int().argmax(dim=1)
        pooled: Tensor = values[torch.arange(len(values), device=values.device), ends]
        return pooled

    @torch.no_grad()
    def _draw(self, width: int, layers: int) -> None:
        """CLIP's random start, in the library's order of drawing (a first draw of each matrix is replaced)."""
        inside = width**-0.5 * (2 * layers) ** -0.5
        for _ in range(2):
            _draw_all((self.embeddings.token_embedding, self.embeddings.position_embedding), (0.02, 0.02))
        for layer in self.encoder:
            attention, mlp = layer.self_attn, layer.mlp
            projections = (attention.k_proj, attention.v_proj, attention.q_proj, attention.out_proj)
            _draw_all(projections, (0.02,) * 4)
            projections = (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj)
            _draw_all(projections, (inside, inside, inside, width**-0.5))
            _draw_all((mlp.fc1, mlp.fc2), (0.02, 0.02))
            _draw_all((mlp.fc1, mlp.fc2), ((2 * width) ** -0.5, inside))


class TextEmbeddings(nn.Module):
    """Tokens and their positions."""

    def __init__(self, vocabulary: int, width: int, positions: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.position_embedding = nn.Embedding(positions, width)

    def forward(self, ids: Tensor) -> Tensor:
        """(T, L) int64 -> (T, L, W)."""
        places = torch.arange(ids.shape[1], device=ids.device)[None]
        embedded: Tensor = self.token_embedding(ids) + self.position_embedding(places)
        return embedded


class TextLayers(nn.Module):
    """Layers one after another, under the name that CLIP's files have for them."""

    def __init__(self, layers: "Iterable[TextLayer]") -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def __iter__(self) -> "Iterator[TextLayer]":
        return iter(self.layers)  # type: ignore[arg-type]

    def forward(self, values: Tensor) -> Tensor:
        """(T, L, W) -> the same shape."""
        for layer in self.layers:
            values = layer(values)
        return values


class TextLayer(nn.Module):
    """Attention, then a perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, mlp: int, heads: int) -> None:
        super().__init__()
        self.self_attn = CausalAttention(width, heads)
        self.layer_norm1 = nn.LayerNorm(width, EPSILON)
        self.mlp = TextMlp(width, mlp)
        self.layer_norm2 = nn.LayerNorm(width, EPSILON)

    def forward(self, values: Tensor) -> Tensor:
        """(T, L, W) -> the same shape."""
        values = values + self.self_attn(self.layer_norm1(values))
        changed: Tensor = values + self.mlp(self.layer_norm2(values))
        return changed


class CausalAttention(nn.Module):
    """Multi-head self-attention in which a token sees itself and what stands before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, values: Tensor) -> Tensor:
        """(T, L, W) -> the same shape."""
        query, key, value = (
            project(values).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        projected: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return projected


class TextMlp(nn.Module):
    """Two layers with x * sigmoid(1.702 x) between, CLIP's quick GELU."""

    def __init__(self, width: int, mlp: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, mlp)
        self.fc2 = nn.Linear(mlp, width)

    def forward(self, values: Tensor) -> Tensor:
        """(T, L, W) -> the same shape."""
        inner = self.fc1(values)
        outer: Tensor = self.fc2(inner * torch.sigmoid(1.702 * inner))
        return outer


def _draw_all(parts: tuple[nn.Linear | nn.Embedding, ...], deviations: tuple[float, ...]) -> None:
    """Normal weights of these deviations, and biases of zero."""
    for part, deviation in zip(parts, deviations, strict=True):
        nn.init.normal_(part.weight, std=deviation)
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
