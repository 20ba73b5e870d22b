"""Scribbles run along the middle of a structure, lassos loosely round it; both in one slice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segevolution.errors import PromptError
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import PromptKind
from segevolution.imaging.regions import Region
from segevolution.imaging.simulated_prompts import (
    SIMULATED_KINDS,
    draw_lasso,
    draw_scribble,
    prompt_from_mask,
    prompt_generator,
)

_masks = arrays(bool, (6, 7, 5)).filter(lambda mask: bool(mask.any()))


def tube() -> np.ndarray:
    """A bent thick line in slices 4 to 6 of z."""
    mask = np.zeros((40, 50, 10), bool)
    mask[5:14, 5:45, 4:7] = True
    mask[5:35, 36:45, 4:7] = True
    return mask


@settings(deadline=None)
@given(_masks, st.integers(0, 2**32))
def test_a_scribble_is_one_line_of_the_mask_in_one_slice(mask: np.ndarray, seed: int) -> None:
    region = draw_scribble(mask, (1, 1, 3), np.random.default_rng(seed))
    assert region.labels.all()
    assert len(np.unique(region.voxels[:, 2])) == 1
    assert mask[tuple(region.voxels.T)].all()
    _, parts = ndimage.label(region.mask((6, 7, 5)), np.ones((3, 3, 3)))
    assert parts == 1


@settings(deadline=None)
@given(_masks, st.integers(0, 2**32))
def test_a_lasso_is_one_whole_piece_of_one_slice_that_meets_the_mask(mask: np.ndarray, seed: int) -> None:
    region = draw_lasso(mask, (1, 1, 3), np.random.default_rng(seed))
    drawn = region.mask((6, 7, 5))
    assert region.labels.all()
    assert len(np.unique(region.voxels[:, 2])) == 1
    assert (drawn & mask).any()
    plane = drawn[:, :, region.voxels[0, 2]]
    assert ndimage.label(plane)[1] == 1
    np.testing.assert_array_equal(ndimage.binary_fill_holes(plane), plane)


def test_a_scribble_follows_the_bend_in_the_middle_of_a_tube() -> None:
    mask, lengths = tube(), []
    depth = ndimage.distance_transform_edt(np.pad(mask[:, :, 5], 1))[1:-1, 1:-1]
    for seed in range(12):
        region = draw_scribble(mask, (1, 1, 3), np.random.default_rng(seed))
        depths = depth[tuple(region.voxels[:, :2].T)]
        assert np.median(depths) >= 4  # of 5 at most
        lengths.append(len(region))
    assert min(lengths) >= 15
    assert max(lengths) >= 40


def test_a_lasso_lies_loosely_round_the_slice() -> None:
    mask, overlaps = tube(), []
    for seed in range(12):
        region = draw_lasso(mask, (1, 1, 3), np.random.default_rng(seed))
        plane = region.mask((40, 50, 10))[:, :, region.voxels[0, 2]]
        truth = mask[:, :, 5]
        overlaps.append(2 * (plane & truth).sum() / (plane.sum() + truth.sum()))
    assert min(overlaps) > 0.7
    assert max(overlaps) < 1.0
    assert np.mean(overlaps) < 0.97


def test_slices_are_cut_across_the_thickest_voxels() -> None:
    mask = np.ones((6, 7, 5), bool)
    for axis, spacing in enumerate([(4.0, 1.0, 1.0), (1.0, 4.0, 1.0), (1.0, 1.0, 4.0)]):
        for draw in (draw_scribble, draw_lasso):
            region = draw(mask, spacing, np.random.default_rng(0))
            assert len(np.unique(region.voxels[:, axis])) == 1


def test_larger_slices_are_drawn_more_often() -> None:
    mask = np.zeros((9, 9, 2), bool)
    mask[:, :, 0] = True
    mask[4, 4, 1] = True
    slices = [draw_lasso(mask, (1, 1, 2), np.random.default_rng(seed)).voxels[0, 2] for seed in range(60)]
    assert 50 < slices.count(0) <= 60


def test_a_prompt_from_a_mask_may_hold_them_and_the_earlier_kinds_stay_as_they_were() -> None:
    mask = tube()
    grid = Grid((40, 50, 10), np.diag([1.0, 1.0, 3.0, 1.0]))
    earlier = {PromptKind.TEXT, PromptKind.POINT, PromptKind.BOX}
    plain, more = (
        prompt_from_mask(mask, grid, kinds, "aorta", prompt_generator(0, "a", "b", "aorta"), positive=3, jitter=2)
        for kinds in (earlier, SIMULATED_KINDS)
    )
    assert more.kinds == SIMULATED_KINDS
    assert more.only(earlier) == plain
    assert isinstance(more.scribbles, Region)


def test_an_empty_mask_gives_no_stroke() -> None:
    for draw in (draw_scribble, draw_lasso):
        with pytest.raises(PromptError, match="mask is empty"):
            draw(np.zeros((3, 3, 3), bool), (1, 1, 1), np.random.default_rng(0))
