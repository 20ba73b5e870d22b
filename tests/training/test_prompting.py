"""Prompts as a person or a coarse answer gives them."""

import numpy as np
import pytest

from segevolution.training.prompting import PromptSettings, coarse_mask, draw_box, draw_points


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
        assert (box[:3] <= box[3:]).all()
        assert (box >= 0).all()
        assert (box[3:] < mask.shape).all()


def test_positive_points_lie_inside_and_negative_ones_outside(mask):
    for seed in range(20):
        points, labels = draw_points(mask, np.random.default_rng(seed), PromptSettings())
        inside = mask[tuple(points.astype(int).T)]
        assert inside.tolist() == [label == 1 for label in labels]
