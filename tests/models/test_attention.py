"""Attention by plain products is what PyTorch's fused kernel gives, and so are its gradients."""

import pytest
import torch
from torch.nn import functional

from segevolution.models import attention as module
from segevolution.models.attention import attention


def _sides(seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((2, 3, 40, 8), (2, 3, 12, 8), (2, 3, 12, 8))
    return tuple(torch.randn(shape, generator=generator).bfloat16().requires_grad_() for shape in shapes)


@pytest.mark.parametrize("masked", [False, True])
def test_products_and_the_fused_kernel_agree(masked, monkeypatch):
    seen = None
    if masked:
        seen = torch.ones(2, 1, 1, 12, dtype=torch.bool)
        seen[0, ..., 5:] = False
    monkeypatch.setattr(module.functional, "scaled_dot_product_attention", _refused)
    sides = _sides()
    mixed = attention(*sides, seen)
    mixed.float().square().sum().backward()
    monkeypatch.undo()
    exact = tuple(side.detach().float().requires_grad_() for side in sides)
    expected = functional.scaled_dot_product_attention(*exact, attn_mask=seen)
    expected.square().sum().backward()
    torch.testing.assert_close(mixed.float(), expected, atol=0.02, rtol=0.02)
    for side, right in zip(sides, exact, strict=True):
        torch.testing.assert_close(side.grad.float(), right.grad, atol=0.05, rtol=0.05)


def test_what_is_not_learned_so_goes_through_the_fused_kernel(monkeypatch):
    sides = _sides()
    called = []

    def fused(*arguments, **_):
        called.append(arguments[0].dtype)
        return arguments[0]

    monkeypatch.setattr(module.functional, "scaled_dot_product_attention", fused)
    with torch.no_grad():
        attention(*sides)
    attention(*(side.detach() for side in sides))
    attention(*(side.detach().float().requires_grad_() for side in sides))
    monkeypatch.setattr(module, "_LARGEST", 2 * 3 * 40 * 12 - 1)
    attention(*sides)
    assert called == [torch.bfloat16, torch.bfloat16, torch.float32, torch.bfloat16]


def _refused(*_arguments, **_options):
    raise AssertionError("the fused kernel was asked")
