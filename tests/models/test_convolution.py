"""The convolution that asks oneDNN for what torch would do slowly on a processor."""

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from segevolution.adapters.low_rank import LowRankLayer, Update
from segevolution.models.convolution import Conv3d

SLOW = "aten::slow_conv3d"
needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")


def both(inputs: int, outputs: int, side: int = 3, **settings) -> tuple[Conv3d, nn.Conv3d]:
    """Ours and torch's, of the same parameters."""
    ours, plain = Conv3d(inputs, outputs, side, **settings), nn.Conv3d(inputs, outputs, side, **settings)
    plain.load_state_dict(ours.state_dict())
    return ours, plain


def asked(layer: nn.Module, maps: torch.Tensor) -> set[str]:
    """Names of torch's operators that answered."""
    with torch.no_grad(), profile(activities=[ProfilerActivity.CPU]) as seen:
        layer(maps)
    return {event.key for event in seen.key_averages()}


@needs_onednn
def test_one_image_of_many_channels_is_not_done_by_the_slow_kernel():
    ours, plain = both(48, 16, padding=1)
    maps = torch.rand(1, 48, 16, 24, 24)
    assert SLOW in asked(plain, maps)  # else torch has learned it, and this layer is not needed any more
    assert SLOW not in asked(ours, maps)


@pytest.mark.parametrize("shape", [(1, 48, 16, 24, 24), (1, 1, 32, 96, 96), (2, 8, 16, 32, 32)], ids=str)
@pytest.mark.parametrize("settings", [{"padding": 1}, {"padding": 1, "stride": (1, 2, 2), "bias": False}], ids=str)
def test_answers_and_gradients_are_those_of_torch(shape, settings):
    torch.manual_seed(0)
    layers = both(shape[1], 12, **settings)
    maps = torch.randn(shape)
    results = []
    for layer in layers:
        given = maps.clone().requires_grad_()
        answer = layer(given)
        answer.square().mean().backward()
        results.append((answer.detach(), given.grad, layer.weight.grad))
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padding_mode", ["circular", "zeros"])
@pytest.mark.parametrize("padding", ["same", 1])
def test_other_paddings_are_torchs_own(padding_mode, padding):
    ours, plain = both(48, 4, padding=padding, padding_mode=padding_mode)
    maps = torch.rand(1, 48, 16, 24, 24)
    torch.testing.assert_close(ours(maps), plain(maps), rtol=1e-4, atol=1e-5)


def test_autocast_and_double_stay_as_they_are():
    ours, plain = both(48, 4, padding=1)
    maps = torch.rand(1, 48, 16, 24, 24)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(maps).dtype == plain(maps).dtype == torch.bfloat16
    assert torch.equal(ours.double()(maps.double()), plain.double()(maps.double()))


def test_small_maps_are_torchs_own_to_the_last_bit():
    ours, plain = both(4, 4, padding=1)
    maps = torch.rand(1, 4, 8, 8, 8)
    assert torch.equal(ours(maps), plain(maps))


@needs_onednn
def test_an_adapter_on_it_is_as_fast():
    layer = LowRankLayer(Conv3d(48, 48, 3, padding=1, bias=False))
    layer.add("default", Update(rank=16, alpha=16, rank_stabilised=False, dropout=0.0))
    assert SLOW not in asked(layer, torch.rand(1, 48, 16, 24, 24))
