"""Clicks in turn: the deepest voxel of the largest error, on the side that corrects it, never by chance."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from segevolution.errors import PromptError
from segevolution.imaging.simulated_prompts import Click, deepest_voxel, next_click

_masks = arrays(bool, (5, 6, 7))
_spacings = st.tuples(*[st.sampled_from([0.5, 1.0, 3.0])] * 3)


def block(*ranges: tuple[int, int], shape: tuple[int, int, int] = (20, 20, 20)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*span) for span in ranges)] = True
    return mask


def test_without_an_answer_the_click_lies_in_the_middle_of_the_structure() -> None:
    truth = block((3, 10), (5, 12), (4, 11))
    assert next_click(np.zeros_like(truth), truth, (1, 1, 1)) == Click((6, 8, 7), positive=True)


def test_what_is_too_much_gets_a_negative_click_where_it_is_the_larger_error() -> None:
    truth = block((0, 4), (0, 4), (0, 4))
    answer = block((10, 15), (10, 15), (10, 15))
    assert next_click(answer, truth, (1, 1, 1)) == Click((12, 12, 12), positive=False)
    assert next_click(truth, answer, (1, 1, 1)) == Click((12, 12, 12), positive=True)


def test_equal_errors_are_mended_by_what_is_missing() -> None:
    one, other = block((0, 3), (0, 3), (0, 3)), block((10, 13), (10, 13), (10, 13))
    assert next_click(one, other, (1, 1, 1)) == Click((11, 11, 11), positive=True)


def test_the_largest_error_counts_not_the_sum_of_many_small_ones() -> None:
    specks = block((0, 20), (0, 20), (0, 1))
    specks[::2], specks[:, ::2] = False, False
    missing = block((8, 11), (8, 11), (8, 11))
    assert specks.sum() > missing.sum()
    assert next_click(specks, missing, (1, 1, 1)) == Click((9, 9, 9), positive=True)


def test_voxels_that_share_an_edge_only_are_two_errors() -> None:
    truth = block((2, 4), (2, 4), (2, 4)) | block((4, 7), (4, 7), (2, 4))
    click = next_click(np.zeros_like(truth), truth, (1, 1, 1))
    assert click is not None
    assert click.point[0] >= 4


def test_depth_is_in_millimetres() -> None:
    truth = block((5, 16), (5, 10), (9, 12))
    thin, thick = (deepest_voxel(truth, (1, 1, spacing)) for spacing in (1.0, 9.0))
    assert thin == (6, 6, 10)  # z is the shortest way out; the first of the voxels two steps from it
    assert thick == (7, 7, 9)  # now y is, so that every z is as deep


def test_beyond_the_array_is_outside() -> None:
    assert deepest_voxel(np.ones((5, 7, 9), bool), (1, 1, 1)) == (2, 2, 2)


@settings(deadline=None)
@given(_masks, _masks, _spacings)
def test_a_click_lies_in_an_error_on_the_side_that_corrects_it(
    answer: np.ndarray, truth: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    click = next_click(answer, truth, spacing)
    if (answer == truth).all():
        assert click is None
        return
    assert click is not None
    place = tuple(map(int, click.point))
    assert truth[place] == click.positive != answer[place]
    sizes = []
    for error in (truth & ~answer, answer & ~truth):
        labels, _ = ndimage.label(error)
        sizes.append(np.bincount(labels.ravel())[1:].max(initial=0))
        if error[place]:
            own = labels == labels[place]
            assert own.sum() == sizes[-1]
            depth = ndimage.distance_transform_edt(np.pad(own, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
            assert depth[place] == pytest.approx(depth.max())
    assert sizes[0 if click.positive else 1] == max(sizes)


@settings(deadline=None)
@given(_masks, _spacings)
def test_clicks_in_turn_end_where_each_one_mends_its_error(
    truth: np.ndarray, spacing: tuple[float, float, float]
) -> None:
    """A model that mends exactly the clicked component needs as many clicks as there are components."""
    answer = np.zeros_like(truth)
    labels, count = ndimage.label(truth)
    for _ in range(count):
        click = next_click(answer, truth, spacing)
        assert click is not None
        answer |= labels == labels[tuple(map(int, click.point))]
    assert next_click(answer, truth, spacing) is None


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PromptError, match="must agree"):
        next_click(np.zeros((2, 2, 2)), np.zeros((3, 2, 2)), (1, 1, 1))
    with pytest.raises(PromptError, match="mask is empty"):
        deepest_voxel(np.zeros((2, 2, 2)), (1, 1, 1))
