"""A window round the prompt: where it lies, when it moves on, and what it is told."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from segevolution.data.windows import FramedCase, ViewSettings
from segevolution.imaging.prompts import PromptKind
from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.previous_answer import PreviousAnswer
from segevolution.inference.strategies import strategy_of
from segevolution.inference.strategies.base import Answer, OpenImage, StrategyOptions
from segevolution.inference.strategies.click import MOST_WINDOWS
from segevolution.inference.windows import VoxelBlock
from segevolution.models.backbone import Features, Masks, PromptBatch
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.vocabulary import Context

WINDOW = VARIANTS["click"].window  # (16, 24, 24)
AIR = -2.0


class Recorded(TinyBackbone):
    """Keeps the prompts that it was asked."""

    def __init__(self) -> None:
        super().__init__(VARIANTS["click"])
        self.asked: list[PromptBatch] = []
        self.eval()

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        self.asked.append(prompts)
        return super()._decode(features, prompts, contexts, multimask=multimask)


def image(block: VoxelBlock, shape: tuple[int, int, int] = (60, 60, 60)) -> torch.Tensor:
    """z-scores: a bright block on a dim ground."""
    values = torch.full(shape, -0.3)
    values[block.slices] = 4.0
    return values


def opened(values: torch.Tensor, network: TinyBackbone | None = None) -> OpenImage:
    network = network or Recorded()
    return strategy_of(network.spec).open(network, values, AIR, None, StrategyOptions())


def ask(before: OpenImage, prompt: FramePrompt) -> Answer:
    (answer,) = before.answers([prompt], [Context()])
    return answer


def dice(answer: Answer, block: VoxelBlock) -> float:
    truth = torch.zeros(answer.logits.shape, dtype=torch.bool)
    truth[block.slices] = True
    found = answer.logits > 0
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


SMALL = VoxelBlock((26, 24, 20), (34, 36, 32))
LONG = VoxelBlock((26, 24, 4), (34, 36, 56))


def middle(block: VoxelBlock) -> tuple[float, float, float]:
    d, h, w = ((low + high - 1) / 2 for low, high in zip(block.start, block.stop, strict=True))
    return d, h, w


def test_a_structure_inside_the_window_takes_one_look_with_the_prompt_in_its_middle() -> None:
    network = Recorded()
    before = opened(image(SMALL), network)
    answer = ask(before, FramePrompt(points=(middle(SMALL),), labels=(1,)))
    assert (answer.windows, before.counts.encodings) == (1, 1)
    assert dice(answer, SMALL) > 0.8
    (asked,) = network.asked
    assert asked.points is not None
    np.testing.assert_allclose(asked.points[0, 0], np.array(WINDOW) / 2, atol=1)
    assert asked.masks is None


def test_where_the_answer_reaches_the_border_the_window_moves_on_until_it_does_not() -> None:
    network = Recorded()
    prompt = FramePrompt(points=(middle(LONG),), labels=(1,))
    answer = ask(opened(image(LONG), network), prompt)
    assert 3 <= answer.windows <= MOST_WINDOWS + 1
    assert dice(answer, LONG) > 0.75
    later = network.asked[1]
    assert later.masks is not None
    assert (later.masks > 0).any()  # what is known so far
    assert later.labels is not None
    assert (later.labels == 1).any()  # a point that surely lies on it


def test_an_answer_without_end_is_looked_at_a_bounded_number_of_times() -> None:
    answer = ask(opened(torch.full((90, 90, 90), 4.0)), FramePrompt(points=((45.0, 45.0, 45.0),), labels=(1,)))
    assert answer.windows <= MOST_WINDOWS + 1


def test_a_box_larger_than_the_window_is_covered_and_bounds_the_answer() -> None:
    bright = VoxelBlock((20, 10, 0), (40, 50, 60))
    answer = ask(opened(image(bright)), FramePrompt(box=LONG))
    assert dice(answer, LONG) > 0.85
    assert not (answer.logits[: LONG.start[0] - 1] > 0).any()
    assert not (answer.logits[..., LONG.stop[2] + 1 :] > 0).any()


def test_windows_that_overlap_are_averaged() -> None:
    network = Recorded()
    values = image(VoxelBlock((20, 10, 0), (40, 50, 60)))
    answer = ask(opened(values, network), FramePrompt(box=LONG))
    assert answer.windows > 1
    alone = ask(opened(values), FramePrompt(box=SMALL)).logits.max()
    assert answer.logits.max() < 1.3 * alone


def test_a_second_click_in_the_window_is_told_the_earlier_logits_as_they_were_and_encodes_nothing() -> None:
    network = Recorded()
    before = opened(image(SMALL), network)
    first = ask(before, FramePrompt(points=(middle(SMALL),), labels=(1,)))
    assert first.previous is not None
    assert first.previous.logits.shape == network.spec.previous
    near, wrong = (35.0, 33.0, 29.0), (30.0, 28.0, 24.0)  # the first would move the window's middle
    prompt = FramePrompt(points=(middle(SMALL), near, wrong), labels=(1, 1, 0), previous=first.previous)
    second = ask(before, prompt)
    assert before.counts.encodings == 1
    assert second.previous is not None
    assert second.previous.view == first.previous.view
    masks = network.asked[-1].masks
    assert masks is not None
    assert torch.equal(masks[0, 0], first.previous.logits)
    d, h, w = (int(value) for value in wrong)
    assert second.logits[d, h, w] < first.logits[d, h, w]


def test_a_second_click_beside_the_window_moves_it_and_carries_what_is_known() -> None:
    network = Recorded()
    before = opened(image(SMALL), network)
    first = ask(before, FramePrompt(points=(middle(SMALL),), labels=(1,)))
    assert first.previous is not None
    aside = (30.0, 30.0, 38.0)
    second = ask(before, FramePrompt(points=(middle(SMALL), aside), labels=(1, 1), previous=first.previous))
    assert second.previous is not None
    assert second.previous.view != first.previous.view
    masks = network.asked[1].masks
    assert masks is not None
    expected = first.previous.on(second.previous.view, tuple(masks.shape[2:]))
    assert torch.equal(masks[0, 0], expected)


def test_a_mask_to_begin_with_says_where_to_look() -> None:
    network = Recorded()
    mask = torch.full((60, 60, 60), -8.0)
    mask[SMALL.slices] = 8.0
    answer = ask(
        opened(image(SMALL), network), FramePrompt(previous=PreviousAnswer(VoxelBlock.whole(mask.shape), mask))
    )
    assert answer.windows == 1
    assert dice(answer, SMALL) > 0.8


def test_a_lone_negative_point_corrects_an_earlier_answer() -> None:
    before = opened(image(SMALL))
    first = ask(before, FramePrompt(points=(middle(SMALL),), labels=(1,)))
    corrected = ask(before, FramePrompt(points=(middle(SMALL),), labels=(0,), previous=first.previous))
    d, h, w = (int(value) for value in middle(SMALL))
    assert corrected.logits[d, h, w] < first.logits[d, h, w]


def test_a_network_of_boxes_only_stays_where_the_box_is() -> None:
    network = Recorded()
    network.spec = replace(network.spec, accepts=frozenset({PromptKind.BOX}), previous=None)
    answer = ask(opened(image(LONG), network), FramePrompt(box=SMALL))
    assert answer.windows == 1
    assert answer.previous is None
    assert (answer.logits > 0).any()


def test_points_further_apart_than_a_window_are_all_told() -> None:
    network = Recorded()
    ends = ((30.0, 30.0, 6.0), (30.0, 30.0, 52.0))
    answer = ask(opened(image(LONG), network), FramePrompt(points=ends, labels=(1, 1)))
    assert dice(answer, LONG) > 0.75


@pytest.mark.parametrize("seed", range(8))
def test_a_training_view_is_a_window_round_a_structure_with_air_beyond_the_image(seed: int) -> None:
    block = VoxelBlock((0, 0, 0), (6, 8, 8))
    values = image(block, (20, 30, 30)).numpy()
    labels = np.where(values > 1, 1, 0).astype(np.uint8)
    case = FramedCase("a", None, values.astype(np.float16), labels, {"liver": (1,)}, (), AIR, (AIR, 4.0))
    spec = VARIANTS["click"]
    settings = ViewSettings(still=0.5)
    network = TinyBackbone(spec)
    view = strategy_of(network.spec).view(case, network.spec, np.random.default_rng(seed), settings)
    assert view.image.shape == view.labels.shape == WINDOW
    assert (view.labels == 1).any()
    np.testing.assert_array_equal(view.image == 4.0, view.labels == 1)
    beyond = ~np.isin(view.image, [np.float32(4.0), np.float32(np.float16(-0.3))])
    assert beyond.any()
    assert (view.image[beyond] == AIR).all()
