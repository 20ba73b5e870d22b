"""Several masks as one label map: each voxel has one owner."""

import tracemalloc

import numpy as np
import pytest

from segevolution.errors import PromptError
from segevolution.imaging.framing import Frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt
from segevolution.inference.labelmap import LabelMapBuilder, LabelMasks, label_map
from segevolution.inference.segmentation import Segmentation

SHAPE = (6, 5, 4)
GRID = Grid(SHAPE, np.diag([-1.0, 1, 2, 1]))
# The frame leaves out the planes x = 0 and x = 5.
FRAME = Frame(np.ones((4, 5, 4), np.float32), (0, 0, 1), GRID.canonical()[1], GRID)


def answer(height: float, low: int, high: int, *, keep: bool = True) -> Segmentation:
    """Foreground in planes low..high-1 of the file's x axis, everywhere the same logit."""
    mask = np.zeros(SHAPE, bool)
    mask[low:high] = True
    logits = np.where(FRAME.crop(mask), height, -1).astype(np.float16)
    return Segmentation(mask, GRID, Prompt(GRID, "liver"), "liver", 0.9, logits if keep else None)


def test_a_voxel_that_two_claim_goes_to_the_higher_logit() -> None:
    found = [answer(1.0, 1, 4), answer(3.0, 3, 5), answer(2.0, 2, 5)]
    labels = label_map(found, FRAME)
    assert labels.shape == SHAPE
    assert labels.dtype == np.uint8
    claimed = [labels[x].max() for x in range(6)]
    assert claimed == [0, 1, 3, 2, 2, 0]
    np.testing.assert_array_equal(labels > 0, found[0].mask | found[1].mask | found[2].mask)


def test_the_order_of_the_structures_only_names_the_labels() -> None:
    found = [answer(1.0, 1, 4), answer(3.0, 3, 5)]
    first, second = label_map(found, FRAME), label_map(found[::-1], FRAME)
    np.testing.assert_array_equal(first == 1, second == 2)


def test_one_mask_needs_no_logits_but_several_do() -> None:
    np.testing.assert_array_equal(label_map([answer(1.0, 2, 5, keep=False)], FRAME) == 1, answer(1.0, 2, 5).mask)
    with pytest.raises(PromptError, match="keep_logits"):
        label_map([answer(1.0, 2, 5), answer(1.0, 2, 5, keep=False)], FRAME)


def test_answers_folded_in_one_after_another_make_the_same_map_with_any_values() -> None:
    found = [answer(1.0, 1, 4), answer(3.0, 3, 5), answer(2.0, 2, 5)]
    builder = LabelMapBuilder(FRAME, len(found))
    assert [builder.add(each) for each in found] == [1, 2, 3]
    expected = label_map(found, FRAME)
    np.testing.assert_array_equal(builder.labels(), expected)
    named = builder.labels({1: 5, 2: 300, 3: 7})
    np.testing.assert_array_equal(named, np.array([0, 5, 300, 7], np.uint16)[expected])
    masks = LabelMasks(named, [5, 300, 7])
    assert len(masks) == 3
    for label, mask in enumerate(masks, start=1):
        np.testing.assert_array_equal(mask, expected == label)


def test_what_is_kept_does_not_grow_with_the_answers() -> None:
    shape = (40, 40, 40)
    grid = Grid(shape, np.eye(4))
    frame = Frame(np.ones(shape, np.float32), (0, 0, 0), grid.canonical()[1], grid)
    builder = LabelMapBuilder(frame, 100)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(20):
        mask = np.zeros(shape, bool)
        mask[number : number + 9] = True
        logits = np.full(shape, number, np.float16)
        builder.add(Segmentation(mask, grid, Prompt(grid, "liver"), "liver", 0.9, logits))
        del mask, logits
    assert tracemalloc.get_traced_memory()[0] - before < np.prod(shape)  # bytes, where one mask has so many
    tracemalloc.stop()
