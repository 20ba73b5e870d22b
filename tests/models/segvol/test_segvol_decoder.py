"""The decoder's short cuts give what the long way gives."""

import pytest
import torch
from torch.nn import functional

from segevolution.models.segvol.upscaling import Upscaling, from_cells, to_cells
from segevolution.models.two_way_transformer import Attention, TwoWayTransformer

GRID = (2, 3, 4)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@torch.no_grad()
def test_upscaling_by_cells_equals_transposed_convolutions_in_space() -> None:
    upscaling = Upscaling(32, GRID)
    upscaling[1].weight.normal_()
    upscaling[1].bias.normal_()
    tokens = torch.randn(2, 24, 32)
    maps = tokens.transpose(1, 2).reshape(2, 32, *GRID)
    for layer in upscaling:
        maps = layer(maps)
    torch.testing.assert_close(from_cells(upscaling(tokens), GRID), maps, rtol=1e-4, atol=1e-5)


def test_cells_keep_every_voxel_under_its_token() -> None:
    volume = torch.randn(2, 3, 8, 12, 16)
    cells = to_cells(volume, GRID, 4)
    assert torch.equal(from_cells(cells.flatten(2, 3), GRID), volume)
    token_means = functional.avg_pool3d(volume, 4).flatten(2).transpose(1, 2)
    torch.testing.assert_close(cells.mean(dim=(2, 3)), token_means)
    halves = functional.avg_pool3d(volume, 2)
    torch.testing.assert_close(to_cells(halves, GRID, 2), cells.mean(dim=3))


@torch.no_grad()
def test_images_shared_by_prompts_decode_as_copies_of_them_do() -> None:
    transformer = TwoWayTransformer(2, 16, 2, 32, 2)
    image, code, tokens = torch.randn(2, 24, 16), torch.randn(24, 16), torch.randn(5, 7, 16)
    rows = torch.tensor([1, 0, 1, 1, 0])
    shared = transformer(image, code, tokens, rows, None)
    copied = transformer(image[rows], code, tokens, None, None)
    for found, expected in zip(shared, copied, strict=True):
        torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_hidden_keys_have_no_influence() -> None:
    attention = Attention(16, 2, 2)
    query, keys = torch.randn(1, 3, 16), torch.randn(1, 5, 16)
    seen = torch.tensor([True, True, False, True, False])
    found = attention(query, keys, keys, seen[None, None, None])
    torch.testing.assert_close(found, attention(query, keys[:, seen], keys[:, seen]))
