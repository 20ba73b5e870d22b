"""Scaled dot-product attention, in the form that is fastest to learn through."""

import torch
from torch import Tensor
from torch.nn import functional

_LARGEST = 2**24
"""Scores that are kept for the gradient, at most."""


def attention(query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None) -> Tensor:
    """softmax(q k / sqrt(c)) v for (P, heads, Q, c), (P, heads, K, c) and (P, heads, K, c): (P, heads, Q, c).

    PyTorch's fused kernel has a gradient in bfloat16 on CPUs that takes two to three times as long as plain products
    do; those are taken where something is learned so, and scores are few enough to be kept.

    Args:
        seen: broadcast to (P, heads, Q, K) bool, False where a key must not be seen; at least one of a row is True.
    """
    learns = torch.is_grad_enabled() and query.requires_grad
    few = query.shape[:-1].numel() * key.shape[-2] <= _LARGEST
    if not (learns and few and query.device.type == "cpu" and query.dtype == torch.bfloat16):
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=seen)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if seen is not None:
        scores = scores.masked_fill(~seen, -torch.inf)
    mixed: Tensor = scores.softmax(-1).to(value.dtype) @ value
    return mixed
