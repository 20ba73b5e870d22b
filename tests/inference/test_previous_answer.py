"""An earlier answer told back: untouched on its own view, at its own place on any other."""

import pytest
import torch

from segevolution.inference.frame_prompt import FramePrompt, collate
from segevolution.inference.previous_answer import OUTSIDE, PreviousAnswer, stacked
from segevolution.inference.windows import VoxelBlock


def ramp(view: VoxelBlock, size: tuple[int, int, int]) -> PreviousAnswer:
    """Logits that are 1 d + 10 h + 100 w of the frame."""
    axes = [
        low + (torch.arange(side) + 0.5) * (high - low) / side - 0.5
        for low, high, side in zip(view.start, view.stop, size, strict=True)
    ]
    d, h, w = torch.meshgrid(*axes, indexing="ij")
    return PreviousAnswer(view, d + 10 * h + 100 * w)


def test_on_its_own_view_it_is_the_same_tensor() -> None:
    previous = ramp(VoxelBlock((2, 3, 4), (10, 11, 12)), (4, 4, 4))
    assert previous.on(previous.view, (4, 4, 4)) is previous.logits


@pytest.mark.parametrize("size", [(4, 4, 4), (8, 2, 16), (3, 5, 7)])
def test_on_another_view_it_keeps_its_place_and_is_nothing_beyond(size: tuple[int, int, int]) -> None:
    previous = ramp(VoxelBlock((0, -4, 8), (16, 12, 24)), (16, 16, 16))
    view = VoxelBlock((4, -8, 12), (12, 4, 28))
    carried, expected = previous.on(view, size), ramp(view, size).logits
    d, h, w = (
        low + (torch.arange(side) + 0.5) * (high - low) / side
        for low, high, side in zip(view.start, view.stop, size, strict=True)
    )
    along_d, along_h, along_w = (d >= 0) & (d <= 16), (h >= -4) & (h <= 12), (w >= 8) & (w <= 24)
    covered = along_d[:, None, None] & along_h[None, :, None] & along_w[None, None]
    inner = covered & ((h > -3.4) & (h < 11.4))[None, :, None] & ((w > 8.6) & (w < 23.4))[None, None]
    assert covered.any()
    assert not covered.all()
    torch.testing.assert_close(carried[inner], expected[inner])
    assert (carried[~covered] == OUTSIDE).all()


def test_a_batch_says_who_has_one() -> None:
    one = PreviousAnswer(VoxelBlock.whole((8, 8, 8)), torch.ones(4, 4, 4))
    batch = collate([FramePrompt("liver"), FramePrompt("liver", previous=one)], [0, 0], torch.device("cpu"))
    assert batch.masks is not None
    assert batch.masks.shape == (2, 1, 4, 4, 4)
    assert batch.masks[0].isnan().all()
    assert (batch.masks[1] == 1).all()
    assert collate([FramePrompt("liver")], [0], torch.device("cpu")).masks is None
    assert stacked([None, None], torch.device("cpu")) is None
