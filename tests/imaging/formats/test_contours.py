"""Contours and voxels: the rule of what lies inside, and that tracing is its exact inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path as Polygon

from segevolution.errors import OversizeError
from segevolution.imaging.formats.contour_filling import voxels_inside
from segevolution.imaging.formats.contour_tracing import outline
from segevolution.memory import GIGABYTE, MemoryBudget

_BUDGET = MemoryBudget(GIGABYTE)
_SQUARE = [(0.5, 0.5), (5.5, 0.5), (5.5, 5.5), (0.5, 5.5)]
_INNER = [(1.5, 1.5), (4.5, 1.5), (4.5, 4.5), (1.5, 4.5)]
_INMOST = [(2.5, 2.5), (3.5, 2.5), (3.5, 3.5), (2.5, 3.5)]


def _filled(contours: list[object], shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(voxels_inside([np.array(c, float) for c in contours], shape, _BUDGET, "x").T)] = True
    return mask


@settings(deadline=None, max_examples=60)
@given(arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_mask_that_is_traced_and_filled_is_the_same_mask(mask: np.ndarray) -> None:
    rings = outline(mask)
    assert len(rings) == 0 or np.array_equal(_filled(rings, mask.shape), mask)
    assert bool(rings) == bool(mask.any())
    assert all(len(ring) >= 4 for ring in rings)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_each_ring_is_filled_alone_as_a_program_that_knows_no_holes_does_it(seed: int) -> None:
    mask = np.random.default_rng(seed).random((14, 12)) < 0.6
    union = np.zeros(mask.shape, bool)
    for ring in outline(mask):
        one = _filled([ring], mask.shape)
        assert not (union & one).any()
        union |= one
    np.testing.assert_array_equal(union, mask)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_inside_is_what_an_independent_rule_calls_inside(seed: int) -> None:
    draw = np.random.default_rng(seed)
    angles = np.sort(draw.random(12)) * 2 * np.pi
    corners = 6 + draw.uniform(2, 9, 12)[:, None] * np.column_stack([np.cos(angles), np.sin(angles)]) + 0.01
    centres = np.argwhere(np.ones((13, 13)))
    expected = Polygon(np.vstack([corners, corners[:1]]), closed=True).contains_points(centres).reshape(13, 13)
    np.testing.assert_array_equal(_filled([corners], (13, 13)), expected)


def test_a_contour_inside_another_is_a_hole_and_one_inside_that_is_full_again() -> None:
    assert _filled([_SQUARE], (7, 7)).sum() == 25
    assert _filled([_SQUARE, _INNER], (7, 7)).sum() == 16
    assert _filled([_INMOST, _SQUARE, _INNER], (7, 7)).sum() == 17


def test_a_keyhole_is_a_hole_whichever_way_its_ring_runs() -> None:
    for inner in (_INNER, _INNER[::-1]):
        ring = [*_SQUARE, _SQUARE[0], *inner, inner[0], _SQUARE[0]]
        assert _filled([ring], (7, 7)).sum() == 16


def test_neighbours_whose_border_runs_through_centres_share_no_voxel_and_leave_none_out() -> None:
    left = _filled([[(0, 0), (3, 0), (3, 6), (0, 6)]], (7, 7))
    right = _filled([[(3, 0), (6, 0), (6, 6), (3, 6)]], (7, 7))
    assert not (left & right).any()
    assert (left | right).sum() == 36


def test_what_lies_beyond_the_plane_is_cut_off() -> None:
    assert _filled([[(-50, -50), (50, -50), (50, 2.5), (-50, 2.5)]], (7, 5)).sum() == 21
    assert not _filled([[(-9, 1), (-3, 1), (-3, 4)]], (7, 5)).any()
    assert not _filled([[(1, 90), (3, 90), (3, 95)]], (7, 5)).any()


def test_contours_that_need_more_memory_than_there_is_are_refused() -> None:
    zigzag = np.column_stack([np.arange(4000) % 7, np.arange(4000) % 2 * 900.0])
    with pytest.raises(OversizeError, match="of memory"):
        voxels_inside([zigzag], (1000, 1000), MemoryBudget(10**6), "x.dcm")
