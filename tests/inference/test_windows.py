"""Blocks, regions and windows: what is looked at, whatever the sizes."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segevolution.inference.windows import Focus, VoxelBlock, focus_around, region_around, scan, tight, windows_over
from segevolution.models.backbone import Triple

sides = st.tuples(*[st.integers(1, 40)] * 3)


@st.composite
def block_in(draw: st.DrawFn, shape: Triple) -> VoxelBlock:
    starts = [draw(st.integers(0, side - 1)) for side in shape]
    stops = [draw(st.integers(start + 1, side)) for start, side in zip(starts, shape, strict=True)]
    return VoxelBlock((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))


@settings(deadline=None)
@given(st.data(), sides, sides)
def test_a_region_holds_its_block_lies_inside_and_is_a_window_where_it_can(
    data: st.DataObject, shape: Triple, window: Triple
) -> None:
    block = data.draw(block_in(shape))
    region = region_around(block, window, shape)
    assert region.holds(block)
    assert VoxelBlock.whole(shape).holds(region)
    for grown, side, wanted, length in zip(region.shape, block.shape, window, shape, strict=True):
        assert grown == min(max(side, wanted), length)


@settings(deadline=None)
@given(st.data(), sides, sides)
def test_windows_cover_a_region_and_show_nothing_beyond_it(data: st.DataObject, shape: Triple, window: Triple) -> None:
    region = data.draw(block_in(shape))
    seen = np.zeros(shape, bool)
    for look in windows_over(region, window):
        assert look.view.shape == window
        assert region.holds(look.content)
        assert look.view.holds(look.content)
        seen[look.content.slices] = True
    assert seen[region.slices].all()
    assert seen.sum() == np.prod(region.shape)


def test_a_window_is_cut_with_zeros_where_it_shows_nothing() -> None:
    image = torch.arange(1.0, 61).reshape(3, 4, 5)
    (look,) = windows_over(VoxelBlock((1, 0, 2), (3, 4, 5)), (4, 4, 4))
    cut = look.cut(image)
    assert cut.shape == (4, 4, 4)
    assert torch.equal(cut[1:3, :, :3], image[1:3, :, 2:])
    assert cut[0].sum() == cut[3].sum() == cut[:, :, 3].sum() == 0


def test_the_last_window_of_an_axis_is_moved_back() -> None:
    starts = scan((8, 70, 90), (8, 32, 32))
    assert [start[2] for start in starts[:5]] == [0, 16, 32, 48, 58]
    assert sorted({start[1] for start in starts}) == [0, 16, 32, 38]
    assert {start[0] for start in starts} == {0}
    assert [start[0] for start in scan((11, 1, 1), (7, 1, 1))] == [0, 3, 4]


def test_a_tight_block_is_the_smallest_that_holds_the_mask() -> None:
    mask = torch.zeros(4, 5, 6, dtype=torch.bool)
    assert tight(mask) is None
    mask[1, 2, 3] = mask[2, 4, 3] = True
    assert tight(mask) == VoxelBlock((1, 2, 3), (3, 5, 4))


@settings(deadline=None)
@given(st.data(), sides, sides)
def test_a_focus_holds_its_block_and_lies_inside(data: st.DataObject, shape: Triple, window: Triple) -> None:
    block = data.draw(block_in(shape))
    region = focus_around(block, window, shape)
    assert region.holds(block)
    assert VoxelBlock.whole(shape).holds(region)
    assert all(
        2 * grown >= min(side, 2 * length) for grown, side, length in zip(region.shape, window, shape, strict=True)
    )


def test_a_focus_keeps_the_proportions_of_the_image() -> None:
    small = focus_around(VoxelBlock((40, 100, 30), (44, 120, 40)), (32, 96, 96), (96, 256, 320))
    long = focus_around(VoxelBlock((10, 100, 30), (60, 120, 40)), (32, 96, 96), (96, 256, 320))
    assert small.shape == (36, 96, 120)  # three eighths
    assert long.shape == (84, 224, 280)  # 50 of 96 need 75, or seven eighths


def test_a_focus_carries_an_answer_back_onto_what_it_cut() -> None:
    image = torch.zeros(20, 30, 40)
    image[6:14, 8:20, 10:26] = 1
    look = Focus.on(VoxelBlock((4, 4, 4), (16, 28, 36)), (24, 12, 16))
    seen = look.cut(image)
    assert seen.shape == (24, 12, 16)
    back = look.carry(seen - 0.5) > 0
    wrong = back != (image[look.content.slices] > 0)
    assert wrong.float().mean() < 0.05
