import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segevolution.errors import PromptError
from segevolution.imaging.grid import Grid
from segevolution.imaging.simulated_prompts import jittered_box, prompt_from_mask, sample_points, tight_box

_GRID = Grid((5, 6, 7), np.diag([0.75, 1.5, 3.0, 1.0]))
_masks = arrays(bool, (5, 6, 7)).filter(lambda mask: mask.any())


@settings(deadline=None)
@given(_masks)
def test_the_tight_box_holds_all_of_the_mask_and_cannot_shrink(mask: np.ndarray) -> None:
    box, where = tight_box(mask), np.argwhere(mask)
    assert box.low == tuple(where.min(axis=0))
    assert box.high == tuple(where.max(axis=0))


@settings(deadline=None)
@given(_masks, st.integers(0, 12), st.integers(0, 2**32))
def test_a_jittered_box_stays_inside_is_never_inverted_and_moves_no_further_than_said(
    mask: np.ndarray, amount: int, seed: int
) -> None:
    box, tight = jittered_box(mask, _GRID, amount, "voxel", np.random.default_rng(seed)), tight_box(mask)
    low, high = np.array(box.low), np.array(box.high)
    assert (low >= 0).all()
    assert (low <= high).all()
    assert (high < _GRID.shape).all()
    assert (low >= np.array(tight.low) - amount).all()
    assert (high <= np.array(tight.high) + amount).all()


def test_jitter_of_zero_is_the_tight_box() -> None:
    mask = np.zeros(_GRID.shape, bool)
    mask[1:3, 2:5, 3] = True
    for unit in ("voxel", "mm"):
        assert jittered_box(mask, _GRID, 0, unit, np.random.default_rng(0)) == tight_box(mask)


def test_jitter_in_millimetres_moves_thick_slices_by_fewer_voxels() -> None:
    grid = Grid((41, 41, 41), np.diag([0.5, 1.0, 3.0, 1.0]))
    mask = np.zeros(grid.shape, bool)
    mask[20, 20, 20] = True
    rng = np.random.default_rng(0)
    corners = np.array([[box.low, box.high] for box in (jittered_box(mask, grid, 4, "mm", rng) for _ in range(400))])
    assert np.abs(corners - 20).max(axis=(0, 1)).tolist() == [8, 4, 1]


def test_jitter_of_voxels_reaches_its_bounds_on_every_axis() -> None:
    grid = Grid((41, 41, 41), np.diag([0.5, 1.0, 3.0, 1.0]))
    mask = np.zeros(grid.shape, bool)
    mask[15:25, 15:25, 15:25] = True
    rng = np.random.default_rng(0)
    boxes = [jittered_box(mask, grid, 3, "voxel", rng) for _ in range(200)]
    lows, highs = np.array([box.low for box in boxes]), np.array([box.high for box in boxes])
    assert lows.min(axis=0).tolist() == [12] * 3
    assert lows.max(axis=0).tolist() == [18] * 3
    assert highs.min(axis=0).tolist() == [21] * 3
    assert highs.max(axis=0).tolist() == [27] * 3


@settings(deadline=None)
@given(_masks, st.integers(0, 12), st.integers(0, 12), st.integers(0, 2**32))
def test_points_are_distinct_and_on_the_side_their_label_says(
    mask: np.ndarray, positive: int, negative: int, seed: int
) -> None:
    points, labels = sample_points(mask, positive, negative, np.random.default_rng(seed))
    assert len(set(points)) == len(points) == len(labels)
    assert labels.count(1) == min(positive, mask.sum())
    assert labels.count(0) == min(negative, (~mask).sum())
    for point, label in zip(points, labels, strict=True):
        assert mask[tuple(int(value) for value in point)] == bool(label)


def test_background_points_are_found_even_where_little_background_is_left() -> None:
    mask = np.ones((40, 40, 40), bool)
    mask[3, 4, 5] = mask[6, 7, 8] = False
    points, labels = sample_points(mask, 1, 5, np.random.default_rng(0))
    assert labels == (1, 0, 0)
    assert set(points[1:]) == {(3, 4, 5), (6, 7, 8)}


def test_a_seed_gives_the_same_prompt_and_another_seed_another() -> None:
    mask = np.random.default_rng(3).random(_GRID.shape) > 0.6

    def make(seed: int) -> dict[str, object]:
        rng = np.random.default_rng(seed)
        return prompt_from_mask(mask, _GRID, {"point", "box"}, "liver", rng, positive=3, negative=2, jitter=1).to_json()

    assert make(5) == make(5)
    assert make(5) != make(6)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_combination_of_kinds_says_just_what_was_asked(count: int) -> None:
    mask = np.zeros(_GRID.shape, np.uint8)
    mask[1:3, 2:5, 3] = 1
    for kinds in itertools.combinations(("text", "point", "box"), count):
        prompt = prompt_from_mask(mask, _GRID, kinds, "liver", np.random.default_rng(0), negative=2)
        assert (prompt.text == "liver") == ("text" in kinds)
        assert prompt.labels == ((1, 0, 0) if "point" in kinds else ())
        assert (prompt.box == tight_box(mask)) == ("box" in kinds)


def test_an_empty_mask_gives_no_prompt() -> None:
    empty = np.zeros(_GRID.shape, bool)
    rng = np.random.default_rng(0)
    for attempt in (
        lambda: tight_box(empty),
        lambda: jittered_box(empty, _GRID, 1, "voxel", rng),
        lambda: sample_points(empty, 1, 1, rng),
        lambda: prompt_from_mask(empty, _GRID, {"text"}, "liver", rng),
    ):
        with pytest.raises(PromptError, match="mask is empty"):
            attempt()


def test_what_cannot_be_made_is_refused() -> None:
    mask, rng = np.ones(_GRID.shape, bool), np.random.default_rng(0)
    with pytest.raises(PromptError, match="mask cannot be made from a mask; known kinds are box, lasso"):
        prompt_from_mask(mask, _GRID, {"text", "mask"}, "liver", rng)
    with pytest.raises(PromptError, match="must agree"):
        prompt_from_mask(mask[:2], _GRID, {"text"}, "liver", rng)
    with pytest.raises(PromptError, match="zero or more"):
        jittered_box(mask, _GRID, -1, "mm", rng)
