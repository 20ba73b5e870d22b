import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segevolution.errors import VolumeError
from segevolution.metrics import dice, iou, precision, sensitivity, volume_difference

masks = arrays(np.bool_, (3, 4, 2))


def half_overlapping_boxes() -> tuple[np.ndarray, np.ndarray]:
    predicted, truth = np.zeros((2, 10, 6, 4), bool)
    predicted[2:6, 1:5, 1:3] = True  # 32 voxels
    truth[4:8, 1:5, 1:3] = True  # 32 voxels, 16 shared
    return predicted, truth


def test_half_overlapping_boxes_score_as_counted_by_hand():
    predicted, truth = half_overlapping_boxes()
    assert dice(predicted, truth) == 32 / 64
    assert iou(predicted, truth) == 16 / 48
    assert sensitivity(predicted, truth) == 0.5
    assert precision(predicted, truth) == 0.5


def test_sensitivity_and_precision_tell_too_large_from_too_small():
    predicted, truth = half_overlapping_boxes()
    everything = predicted | truth
    assert (sensitivity(everything, truth), precision(everything, truth)) == (1.0, 32 / 48)
    assert (sensitivity(truth, everything), precision(truth, everything)) == (32 / 48, 1.0)


def test_volume_difference_is_in_millilitres_and_signed():
    predicted, truth = half_overlapping_boxes()
    spacing = (2.0, 2.5, 10.0)  # 50 cubic mm a voxel
    assert volume_difference(predicted, truth, spacing) == 0
    assert volume_difference(predicted | truth, truth, spacing) == pytest.approx(16 * 50 / 1000)
    assert volume_difference(truth, predicted | truth, spacing) == pytest.approx(-16 * 50 / 1000)


def test_two_empty_masks_have_no_overlap_to_speak_of():
    empty = np.zeros((3, 3, 3), bool)
    assert all(math.isnan(metric(empty, empty)) for metric in (dice, iou, sensitivity, precision))


def test_one_empty_mask_scores_zero_where_something_was_asked():
    empty, full = np.zeros((3, 3, 3)), np.ones((3, 3, 3))
    assert dice(empty, full) == dice(full, empty) == iou(empty, full) == iou(full, empty) == 0
    assert sensitivity(empty, full) == 0
    assert math.isnan(precision(empty, full))
    assert precision(full, empty) == 0
    assert math.isnan(sensitivity(full, empty))


def test_label_values_count_as_foreground_whatever_their_type():
    label = np.array([[0, 3], [7, 0]], np.int16)
    assert dice(label, label > 0) == 1
    assert dice(label.astype(np.float32), [[0, 1], [1, 0]]) == 1


@settings(deadline=None)
@given(masks, masks)
def test_overlap_is_a_symmetric_fraction_and_iou_follows_from_dice(a, b):
    found = dice(a, b)
    assert found == dice(b, a) or math.isnan(found)
    if a.any() or b.any():
        assert 0 <= found <= 1
        assert iou(a, b) == pytest.approx(found / (2 - found))
    if a.any():
        assert dice(a, a) == iou(a, a) == sensitivity(a, a) == precision(a, a) == 1


def test_masks_of_two_shapes_are_refused_with_both_shapes():
    with pytest.raises(VolumeError, match=r"\(2, 3\).*\(3, 2\)"):
        dice(np.ones((2, 3)), np.ones((3, 2)))


@given(st.sampled_from([(1.0, 1.0), (1.0, 1.0, 0.0), (1.0, -1.0, 1.0), (1.0, math.nan, 1.0), (1.0, math.inf, 1.0)]))
def test_spacing_that_does_not_fit_is_refused(spacing):
    with pytest.raises(VolumeError, match="spacing"):
        volume_difference(np.ones((2, 2, 2)), np.ones((2, 2, 2)), spacing)
