"""Prior fusion: image tokens and prior tokens read each other; adapted image tokens and posterior tokens come out.

The image leaves as `image + up(...)`, where the linear layer `up` starts at zero: before the first step it leaves bit
for bit as it came, and `up` has gradients at that step, everything before it from the next one on.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from ...models.two_way_transformer import Attention, TokenMlp

Kind = Literal["joint", "hermes"]
Fused = tuple[Tensor, Tensor, Tensor]


class Fusion(nn.Module, ABC):
    """What both ways share: an optional narrower width on the way in, the zero layer on the way out.

    Args:
        channels: C, of the network's image tokens.
        width: w, of the priors and of all that happens in here.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Identity() if width == channels else nn.Linear(channels, width)
        self.up = zero_linear(width, channels)

    def forward(self, image: Tensor, modality: Tensor, structure: Tensor) -> Fused:
        """(P, N, C), (P, M, w), (P, T, w) -> adapted image (P, N, C), posteriors (P, M, w) and (P, T, w)."""
        change, modality, structure = self.mix(self.down(image), modality, structure)
        adapted: Tensor = image + self.up(change).to(image.dtype)
        return adapted, modality, structure

    @abstractmethod
    def mix(self, image: Tensor, modality: Tensor, structure: Tensor) -> Fused:
        """The blocks, all at width w; returns what is to be added to the image, and the posteriors."""


class JointFusion(Fusion):
    """The study's: full self-attention over image, modality and structure tokens with a learned vector a group.

    Source: Mihailov et al. 2024, SergheiMihailov/adapt_med_seg, which added the blocks' output to the image at once.
    """

    def __init__(self, channels: int, width: int, blocks: int, heads: int, mlp: int) -> None:
        super().__init__(channels, width)
        self.groups = nn.Parameter(torch.zeros(3, width))
        self.blocks = nn.ModuleList(JointBlock(width, heads, mlp) for _ in range(blocks))

    def mix(self, image: Tensor, modality: Tensor, structure: Tensor) -> Fused:
        """See Fusion.mix."""
        parts = (image, modality, structure)
        tokens = torch.cat([part + group for part, group in zip(parts, self.groups, strict=True)], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        fused, modality, structure = tokens.split([part.shape[1] for part in parts], dim=1)
        return fused, modality, structure


class JointBlock(nn.Module):
    """Self-attention, then two linear layers with ReLU between; each with residual and layer norm after it."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.norm1 = nn.LayerNorm(width)
        self.mlp = TokenMlp(width, mlp)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(P, L, w) -> (P, L, w)."""
        tokens = self.norm1(tokens + self.attention(tokens, tokens, tokens))
        mixed: Tensor = self.norm2(tokens + self.mlp(tokens))
        return mixed


class HermesFusion(Fusion):
    """Hermes': priors attend to the image, then the image to what they became; nothing attends to its own kind.

    Source: Gao et al. 2024, arXiv:2306.02416, which fuses at five places of a U-Net; here it is one.
    """

    def __init__(self, channels: int, width: int, blocks: int, heads: int, mlp: int) -> None:
        super().__init__(channels, width)
        self.blocks = nn.ModuleList(HermesBlock(width, heads, mlp) for _ in range(blocks))

    def mix(self, image: Tensor, modality: Tensor, structure: Tensor) -> Fused:
        """See Fusion.mix."""
        start, priors = image, torch.cat([modality, structure], dim=1)
        for block in self.blocks:
            image, priors = block(image, priors)
        modality, structure = priors.split([modality.shape[1], structure.shape[1]], dim=1)
        return image - start, modality, structure


class HermesBlock(nn.Module):
    """Two cross-attentions, each followed by a feed-forward layer; norms before, residuals around each."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.to_priors = CrossAttention(width, heads, mlp)
        self.to_image = CrossAttention(width, heads, mlp)

    def forward(self, image: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """(P, N, w) and (P, M + T, w) -> the same."""
        priors = self.to_priors(priors, image)
        return self.to_image(image, priors), priors


class CrossAttention(nn.Module):
    """Tokens read others, then two linear layers with GELU between."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width)
        self.norm_read = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        for name in ("q_proj", "k_proj", "v_proj"):
            self.attention.set_submodule(name, nn.Linear(width, width, bias=False))
        self.norm_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp), nn.GELU(), nn.Linear(mlp, width))

    def forward(self, tokens: Tensor, others: Tensor) -> Tensor:
        """(P, A, w) reads (P, B, w) -> (P, A, w)."""
        read = self.norm_read(others)
        tokens = tokens + self.attention(self.norm_query(tokens), read, read)
        changed: Tensor = tokens + self.mlp(self.norm_mlp(tokens))
        return changed


FUSIONS: dict[Kind, type[JointFusion] | type[HermesFusion]] = {"joint": JointFusion, "hermes": HermesFusion}


def zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear layer that starts by answering zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
