"""Priors and image tokens read each other at one place of the network, under the names of Hermes' published code."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HEAD, MODALITY_TOKENS


class PriorFusion(nn.Module):
    """The priors of one place, and the blocks in which they and the image read each other.

    Args:
        width: channels of the image there, and of the priors.
        blocks: how many.
        tasks: rows of the table of tasks; one more is for the null task, the last.
        modalities: rows of the table of modalities, the last for the unknown.
    """

    def __init__(self, width: int, blocks: int, tasks: int, modalities: int) -> None:
        super().__init__()
        self.task_prior = nn.Parameter(torch.empty(tasks + 1, width))
        self.modality_prior = nn.Parameter(torch.empty(modalities, MODALITY_TOKENS, width))
        nn.init.xavier_uniform_(self.task_prior)
        nn.init.xavier_uniform_(self.modality_prior)
        self.attn_layers = nn.ModuleList(FusionBlock(width) for _ in range(blocks))

    def priors(self, tasks: Tensor, modalities: Tensor) -> Tensor:
        """Rows (B, T) and (B,) of the tables, -1 the last one -> tokens (B, T + 10, width), tasks first."""
        return torch.cat([self.task_prior[tasks], self.modality_prior[modalities]], dim=1)

    def forward(self, features: Tensor, tasks: Tensor, modalities: Tensor) -> tuple[Tensor, Tensor]:
        """(B, width, d, h, w) -> the same after fusion, and the posterior tokens (B, T + 10, width)."""
        tokens, priors = features.flatten(2).transpose(1, 2), self.priors(tasks, modalities)
        for block in self.attn_layers:
            tokens, priors = block(tokens, priors)
        return tokens.transpose(1, 2).reshape(features.shape), priors


class FusionBlock(nn.Module):
    """Priors read the image, then the image reads what they became; no token reads its own kind."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.prior_aggregate_block = NormedReading(width)
        self.prior_ffn = NormedFeedForward(width)
        self.feat_aggregate_block = NormedReading(width)
        self.feat_ffn = NormedFeedForward(width)

    def forward(self, tokens: Tensor, priors: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, width) of the image and (B, M, width) -> the same."""
        priors = priors + self.prior_aggregate_block(priors, tokens)
        priors = priors + self.prior_ffn(priors)
        tokens = tokens + self.feat_aggregate_block(tokens, priors)
        tokens = tokens + self.feat_ffn(tokens)
        return tokens, priors


class NormedReading(nn.Module):
    """Cross-attention with a norm for each of its two inputs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-5)
        self.norm2 = nn.LayerNorm(width, eps=1e-5)
        self.fn = HeadwiseAttention(width)

    def forward(self, readers: Tensor, read: Tensor) -> Tensor:
        """(B, A, width) reads (B, M, width) -> (B, A, width)."""
        answer: Tensor = self.fn(self.norm1(readers), self.norm2(read))
        return answer


class HeadwiseAttention(nn.Module):
    """As many heads of 32 channels as the width holds whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD
        inner = self.heads * HEAD
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width)

    def forward(self, readers: Tensor, read: Tensor) -> Tensor:
        """(B, A, width) reads (B, M, width) -> (B, A, width)."""
        keys, values = self.to_kv(read).chunk(2, dim=-1)
        query, keys, values = (
            part.unflatten(-1, (self.heads, HEAD)).transpose(1, 2) for part in (self.to_q(readers), keys, values)
        )
        mixed = functional.scaled_dot_product_attention(query, keys, values)
        answer: Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return answer


class NormedFeedForward(nn.Module):
    """A norm and a perceptron four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-4)
        self.fn = GeluPerceptron(width, 4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, N, width) -> (B, N, width)."""
        answer: Tensor = self.fn(self.norm(tokens))
        return answer


class GeluPerceptron(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        answer: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return answer
