"""Prompts as training draws them: like a person, or like a coarse answer."""

import numpy as np
import pytest

from segevolution.imaging.simulated_prompts import PromptSettings
from segevolution.imaging.simulated_prompts.boxes import draw_box
from segevolution.imaging.simulated_prompts.masks import coarse_mask
from segevolution.imaging.simulated_prompts.points import draw_points


@pytest.fixture
def mask():
    mask = np.zeros((16, 40, 40), bool)
    mask[4:12, 8:30, 10:32] = True
    return mask


def test_a_coarse_mask_is_imperfect_but_the_same_thing(mask):
    overlaps = []
    for seed in range(40):
        coarse = coarse_mask(mask, np.random.default_rng(seed))
        assert coarse.shape == mask.shape
        overlaps.append(2 * (coarse & mask).sum() / (coarse.sum() + mask.sum()))
    assert min(overlaps) > 0.4
    assert np.mean(overlaps) < 0.97


def test_of_a_speck_something_is_left():
    speck = np.zeros((16, 40, 40), bool)
    speck[3, 17, 21] = True
    assert all(coarse_mask(speck, np.random.default_rng(seed)).any() for seed in range(40))


def test_boxes_are_never_inverted_and_stay_inside(mask):
    wild = PromptSettings(box_jitter=2.0, exact_boxes=0.0)
    for seed in range(100):
        box = draw_box(mask, np.random.default_rng(seed), wild)
        low, high = np.array(box.low), np.array(box.high)
        assert (low <= high).all()
        assert (low >= 0).all()
        assert (high < mask.shape).all()


def test_positive_points_lie_inside_and_negative_ones_outside(mask):
    for seed in range(20):
        points, labels = draw_points(mask, np.random.default_rng(seed), PromptSettings())
        inside = mask[tuple(np.array(points, int).T)]
        assert inside.tolist() == [label == 1 for label in labels]


def test_in_a_small_window_boxes_stay_inside_and_points_lie_where_their_labels_say():
    corner = np.zeros((6, 10, 10), bool)
    corner[0:2, 8:10, 4:5] = True
    for seed in range(200):
        box = draw_box(corner, np.random.default_rng(seed), PromptSettings(box_jitter=2.0, exact_boxes=0))
        assert (np.array(box.low) <= box.high).all()
        assert (np.array(box.low) >= 0).all()
        assert (np.array(box.high) < corner.shape).all()
        points, labels = draw_points(corner, np.random.default_rng(seed), PromptSettings())
        assert labels[0] == 1
        assert [int(corner[tuple(map(int, point))]) for point in points] == list(labels)
