"""Prompts carried as coordinates: nothing vanishes, and boxes go where a resized label would put them."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segevolution.imaging.framing import frame, resize_nearest
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt
from segevolution.imaging.volume import Volume
from segevolution.inference.frame_prompt import FramePrompt, collate, resized, seen_from, to_frame_prompt
from segevolution.inference.windows import VoxelBlock, tight
from segevolution.models.backbone import ABSENT, NEGATIVE, PADDING, POSITIVE, Triple

sides = st.tuples(*[st.integers(1, 60)] * 3)


@settings(deadline=None)
@given(st.data(), sides, sides)
def test_a_resized_box_is_the_box_of_the_resized_label(data: st.DataObject, source: Triple, target: Triple) -> None:
    starts = [data.draw(st.integers(0, side - 1)) for side in source]
    stops = [data.draw(st.integers(low + 1, side)) for low, side in zip(starts, source, strict=True)]
    box = VoxelBlock((starts[0], starts[1], starts[2]), (stops[0], stops[1], stops[2]))
    label = np.zeros(source, bool)
    label[box.slices] = True
    carried = resized(FramePrompt(box=box), source, target).box
    assert carried is not None
    assert not carried.empty
    assert VoxelBlock.whole(target).holds(carried)
    expected = tight(torch.from_numpy(resize_nearest(label, target)))
    if expected is not None:
        assert carried == expected


@settings(deadline=None)
@given(st.data(), sides, sides)
def test_a_resized_point_keeps_its_relative_place(data: st.DataObject, source: Triple, target: Triple) -> None:
    point = tuple(float(data.draw(st.integers(0, side - 1))) for side in source)
    ((d, h, w),) = resized(FramePrompt(points=(point,), labels=(1,)), source, target).points  # type: ignore[arg-type]
    relative = (np.array([d, h, w]) + 0.5) / target
    np.testing.assert_allclose(relative, (np.array(point) + 0.5) / source, atol=1e-12)


def test_a_prompt_in_the_cropped_margin_moves_to_the_frames_border() -> None:
    array = np.zeros((12, 10, 8))
    array[4:9, 3:7, 2:6] = np.random.default_rng(0).uniform(0.5, 1, (5, 4, 4))
    framed = frame(Volume(array, Grid((12, 10, 8), np.eye(4))), "foreground")
    depth, height, width = framed.image.shape
    assert (depth, height, width) < (8, 10, 12)
    prompt = to_frame_prompt(Prompt.make(framed.grid, points=[(0, 0, 0), (11, 9, 7)], box=(0, 0, 0, 11, 9, 7)), framed)
    assert prompt.points == ((0, 0, 0), (depth - 1, height - 1, width - 1))
    assert prompt.box == VoxelBlock.whole(framed.image.shape)


VIEW = VoxelBlock((2, 4, 4), (10, 36, 36))
PART = VoxelBlock((3, 10, 12), (6, 20, 22))


def test_a_window_is_told_the_points_inside_it_with_their_labels() -> None:
    prompt = FramePrompt(points=((4, 12, 13), (1, 12, 13), (9.4, 35, 35), (9.6, 35, 35)), labels=(1, 1, 0, 1))
    told = seen_from(prompt, VIEW, PART, PART)
    np.testing.assert_allclose(told.points, [(2, 8, 9), (7.4, 31, 31)])
    assert told.labels == (POSITIVE, NEGATIVE)
    assert told.box == PART.shift(VIEW.start, -1)


def test_a_window_that_sees_the_whole_mask_is_told_the_persons_box_cut_to_the_window() -> None:
    own = VoxelBlock((0, 8, 8), (7, 30, 50))
    told = seen_from(FramePrompt(box=own), VIEW, PART, PART)
    assert told.box == VoxelBlock((0, 4, 4), (5, 26, 32))
    elsewhere = VoxelBlock((0, 0, 0), (2, 3, 3))
    assert seen_from(FramePrompt(box=elsewhere), VIEW, PART, PART).box == PART.shift(VIEW.start, -1)
    larger = VoxelBlock((3, 10, 12), (6, 20, 60))
    assert seen_from(FramePrompt(box=own), VIEW, PART, larger).box == PART.shift(VIEW.start, -1)


def test_a_positive_point_beside_the_coarse_mask_widens_the_box() -> None:
    prompt = FramePrompt(points=((4, 12, 30), (4, 12, 33)), labels=(1, 0))
    told = seen_from(prompt, VIEW, PART, PART)
    assert told.box == PART.join(VoxelBlock((4, 12, 30), (5, 13, 31))).shift(VIEW.start, -1)


def test_text_alone_brings_no_box_and_a_silent_window_gets_one_padding_point() -> None:
    assert seen_from(FramePrompt("liver"), VIEW, PART, PART) == FramePrompt("liver")
    told = seen_from(FramePrompt(points=((0, 0, 0),), labels=(1,)), VIEW, None, None)
    assert (told.points, told.labels, told.box) == (((-1, -1, -1),), (PADDING,), None)


def test_a_batch_marks_what_a_prompt_lacks() -> None:
    prompts = [
        FramePrompt("liver"),
        FramePrompt(points=((1, 2, 3), (4, 5, 6)), labels=(1, 0)),
        FramePrompt(box=VoxelBlock((1, 2, 3), (4, 6, 8))),
    ]
    batch = collate(prompts, [0, 0, 1], torch.device("cpu"))
    assert batch.structures == ("liver", None, None)
    assert batch.image_index.tolist() == [0, 0, 1]
    assert batch.labels is not None
    assert batch.labels.tolist() == [[ABSENT, ABSENT], [1, 0], [ABSENT, ABSENT]]
    assert batch.boxes is not None
    assert batch.boxes.isnan().all(dim=1).tolist() == [True, True, False]
    assert batch.boxes[2].tolist() == [1, 2, 3, 3, 5, 7]
    alone = collate(prompts[:1], [0], torch.device("cpu"))
    assert alone.points is alone.labels is alone.boxes is None
