"""Logits that are carried to the frame by planes are bit for bit those that are carried in one piece."""

import numpy as np
import pytest
import torch

from segevolution.inference import stretched_logits
from segevolution.inference.stretched_logits import StretchedLogits, stretched
from segevolution.inference.windows import VoxelBlock

# More planes, fewer, as many, one more, twice as many, one, a window's.
SHAPES = [
    *(((16, 12, 12), (45, 30, 31)), ((4, 5, 7), (330, 9, 8)), ((24, 9, 9), (7, 20, 9)), ((6, 8, 5), (6, 13, 22))),
    *(((7, 5, 5), (8, 9, 9)), ((12, 4, 4), (96, 9, 9)), ((1, 4, 4), (9, 6, 6)), ((2, 4, 4), (3, 6, 6))),
    *(((9, 4, 4), (1, 6, 6)), ((32, 64, 64), (67, 90, 70)), ((13, 3, 3), (117, 4, 4))),
]


@pytest.fixture(autouse=True)
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame counts as large."""
    monkeypatch.setattr(stretched_logits, "WHOLE", 0)
    monkeypatch.setattr(stretched_logits, "PLANES", 5)


@pytest.mark.parametrize(("source", "target"), SHAPES)
def test_planes_are_those_of_one_interpolation_bit_for_bit(
    source: tuple[int, int, int], target: tuple[int, int, int]
) -> None:
    coarse = torch.randn(source, generator=torch.Generator().manual_seed(0)) * 20
    whole = stretched(coarse, target)
    parts = list(StretchedLogits(coarse, target).parts())
    assert [part.start for part, _ in parts] == list(range(0, target[0], 5))
    assert torch.equal(torch.cat([logits for _, logits in parts]), whole)
    assert torch.equal(StretchedLogits(coarse, target).above(), whole > 0)


def test_planes_are_the_same_for_many_depths() -> None:
    generator = np.random.default_rng(0)
    for _ in range(60):
        depth, planes = (int(value) for value in generator.integers((1, 1), (40, 160)))
        coarse = torch.from_numpy(generator.normal(0, 20, (depth, 2, 3)).astype(np.float32))
        parts = [logits for _, logits in StretchedLogits(coarse, (planes, 5, 4)).parts()]
        assert torch.equal(torch.cat(parts), stretched(coarse, (planes, 5, 4))), (depth, planes)


def test_a_region_stands_in_the_parts_as_it_does_in_the_whole() -> None:
    coarse = torch.randn((4, 4, 4), generator=torch.Generator().manual_seed(0))
    region = VoxelBlock((3, 2, 1), (14, 8, 9))
    logits = StretchedLogits(coarse, (17, 9, 10), region, torch.full(region.shape, 7.0))
    whole = logits.whole()
    assert (whole == 7).sum() == np.prod(region.shape)
    assert torch.equal(torch.cat([planes for _, planes in logits.parts()]), whole)
    assert torch.equal(torch.cat([planes for _, planes in logits.parts(2, 15)]), whole[2:15])
