"""A 2-D network through a volume: which slices are asked, what each is told, where walks end."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from segevolution.data.windows import FramedCase, ViewSettings
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import PromptKind
from segevolution.imaging.simulated_prompts import PromptSettings
from segevolution.imaging.volume import Volume
from segevolution.inference.frame_prompt import FramePrompt
from segevolution.inference.previous_answer import OUTSIDE, PreviousAnswer
from segevolution.inference.strategies import strategy_of
from segevolution.inference.strategies.base import Answer, OpenImage, StrategyOptions
from segevolution.inference.windows import VoxelBlock
from segevolution.models.backbone import Features, Masks, PromptBatch
from segevolution.models.spec import Spec
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.training.batches import CaseGroup, SampleSettings, StepDataset
from segevolution.vocabulary import Context, Modality

SHAPE = (14, 40, 48)
OBJECT = VoxelBlock((4, 12, 20), (10, 26, 34))


class Recorded(TinyBackbone):
    """Keeps what it was given."""

    def __init__(self, **spec: object) -> None:
        super().__init__(VARIANTS["slices"])
        self.spec = replace(self.spec, **spec)  # type: ignore[arg-type]
        self.asked: list[PromptBatch] = []
        self.images: list[Tensor] = []
        self.eval()

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        self.images.extend(images.clone())
        return super()._encode(images, modalities)

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        self.asked.append(prompts)
        return super()._decode(features, prompts, contexts, multimask=multimask)


def image(*blocks: VoxelBlock) -> Tensor:
    values = torch.full(SHAPE, 0.1)
    for block in blocks:
        values[block.slices] = 1.0
    return values


def opened(network: TinyBackbone, values: Tensor) -> OpenImage:
    return strategy_of(network.spec).open(network, values, 0.0, None, StrategyOptions())


def ask(before: OpenImage, prompt: FramePrompt) -> Answer:
    (answer,) = before.answers([prompt], [Context()])
    return answer


def slices_with(answer: Answer) -> list[int]:
    return torch.nonzero((answer.logits > 0).any(dim=2).any(dim=1)).flatten().tolist()


def test_a_box_is_asked_in_its_own_slices_and_nothing_is_answered_outside() -> None:
    network = Recorded()
    tall = VoxelBlock((0, *OBJECT.start[1:]), (14, *OBJECT.stop[1:]))
    answer = ask(opened(network, image(tall)), FramePrompt(box=OBJECT))
    assert answer.windows == 6
    assert slices_with(answer) == list(range(4, 10))
    assert (answer.logits[:4] == OUTSIDE).all()
    boxes = torch.cat([batch.boxes for batch in network.asked if batch.boxes is not None])
    assert len(boxes) == 6
    sides = torch.tensor([0, 12 * 32 / 40, 20 * 32 / 48, 0, 25 * 32 / 40, 33 * 32 / 48])
    assert (boxes - sides).abs().max() <= 1.0  # slices of 40 x 48 in a window of 32 x 32
    assert (boxes[:, [0, 3]] == 0).all()


def test_a_point_is_carried_from_slice_to_slice_until_nothing_is_left() -> None:
    network = Recorded()
    answer = ask(opened(network, image(OBJECT)), FramePrompt(points=((6.0, 19.0, 27.0),), labels=(1,)))
    assert slices_with(answer) == list(range(4, 10))
    assert answer.windows == 6
    first, second = network.asked[:2]
    assert first.masks is None
    assert second.masks is not None
    assert (second.masks > 0).any()  # the mask of the slice beside it
    assert second.points is not None
    expected = torch.tensor([0.0, 18.5 * 32 / 40, 26.5 * 32 / 48])
    assert (second.points[0, 0] - expected).abs().max() < 1.5  # in its middle


def test_the_middle_of_a_slice_is_found_within_the_slice() -> None:
    network = Recorded()
    wide = VoxelBlock((4, 10, 4), (10, 16, 44))
    ask(opened(network, image(wide)), FramePrompt(points=((6.0, 12.0, 10.0),), labels=(1,)))
    points = network.asked[1].points
    assert points is not None
    h = float(points[0, 0, 1]) * 40 / 32
    assert 11 <= h <= 14


def test_two_points_meet_half_way() -> None:
    network = Recorded()
    long = VoxelBlock((1, *OBJECT.start[1:]), (13, *OBJECT.stop[1:]))
    before = opened(network, image(long))
    answer = ask(before, FramePrompt(points=((2.0, 19.0, 27.0), (11.0, 19.0, 27.0)), labels=(1, 1)))
    assert slices_with(answer) == list(range(1, 13))
    assert answer.windows == 12  # each slice once
    ends = [batch for batch in network.asked if len(batch) == 1]
    assert len(ends) >= 10


def test_a_mask_that_changes_its_area_more_than_fourfold_ends_the_walk() -> None:
    thin = VoxelBlock((4, 18, 26), (10, 22, 30))
    flood = VoxelBlock((7, 2, 2), (14, 38, 46))
    network = Recorded()
    answer = ask(opened(network, image(thin, flood)), FramePrompt(points=((5.0, 19.0, 27.0),), labels=(1,)))
    assert 5 in slices_with(answer)
    assert 12 not in slices_with(answer)


def test_a_network_of_boxes_walks_by_boxes() -> None:
    network = Recorded(accepts=frozenset({PromptKind.POINT, PromptKind.BOX}), previous=None)
    prompt = FramePrompt(points=((6.0, 19.0, 27.0),), labels=(1,))
    answer = ask(opened(network, image(OBJECT)), prompt)
    assert answer.previous is None
    assert all(batch.masks is None for batch in network.asked)
    network.asked.clear()
    network.spec = replace(network.spec, accepts=frozenset({PromptKind.BOX}))
    answer = ask(opened(network, image(OBJECT)), prompt)
    assert network.asked[1].points is None
    assert network.asked[1].boxes is not None
    assert slices_with(answer) == list(range(4, 10))


def test_a_negative_point_takes_part_in_its_own_slice_only() -> None:
    spot = (8.0, 19.0, 27.0)
    plain = ask(opened(Recorded(), image(OBJECT)), FramePrompt(box=OBJECT))
    less = ask(opened(Recorded(), image(OBJECT)), FramePrompt(points=(spot,), labels=(0,), box=OBJECT))
    assert less.logits[8, 19, 27] < plain.logits[8, 19, 27]
    others = [number for number in range(14) if number != 8]
    torch.testing.assert_close(less.logits[others], plain.logits[others])


def test_an_earlier_answer_is_told_back_to_each_of_its_slices() -> None:
    network = Recorded()
    before = opened(network, image(OBJECT))
    first = ask(before, FramePrompt(box=OBJECT))
    assert first.previous is not None
    assert first.previous.view == VoxelBlock((4, 0, 0), (10, 40, 48))
    encoded = before.counts.encodings
    network.asked.clear()
    ask(before, FramePrompt(box=OBJECT, previous=first.previous))
    assert before.counts.encodings == encoded
    masks = torch.cat([batch.masks for batch in network.asked if batch.masks is not None])
    torch.testing.assert_close(masks[:, 0, 0], first.previous.logits)


def test_a_mask_to_begin_with_is_asked_in_its_own_slices() -> None:
    network = Recorded()
    mask = torch.full(SHAPE, -8.0)
    mask[VoxelBlock((5, *OBJECT.start[1:]), (8, *OBJECT.stop[1:])).slices] = 8.0
    answer = ask(opened(network, image(OBJECT)), FramePrompt(previous=PreviousAnswer(VoxelBlock.whole(SHAPE), mask)))
    assert slices_with(answer) == [5, 6, 7]


def test_a_slice_that_keeps_its_proportions_is_padded_at_its_end_and_answered_in_the_same_place() -> None:
    stretched, kept = Recorded(), Recorded(keep_aspect=True)
    for network in (stretched, kept):
        before = strategy_of(network.spec).open(network, image(OBJECT), -1.0, None, StrategyOptions())
        answer = ask(before, FramePrompt(box=OBJECT))
        truth = torch.zeros(SHAPE, dtype=torch.bool)
        truth[OBJECT.slices] = True
        found = answer.logits > 0
        assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    last = kept.images[-1][0, 0]
    rows = 32 * 40 / 48
    assert (last[int(rows) + 1 :] == -1).all()
    assert (last[: int(rows) - 1] > 0).all()
    assert (stretched.images[-1] > 0).all()


@pytest.mark.parametrize(
    ("spacing", "axis", "thick"),
    [((1, 1, 5), None, 2), ((5, 1, 1), None, 0), ((1, 5, 1), None, 1), ((1, 1, 5), "y", 1)],
)
def test_slices_lie_across_the_thickest_voxels_or_as_the_network_says(
    spacing: tuple[float, ...], axis: str | None, thick: int
) -> None:
    grid = Grid((10, 11, 12), np.diag([-spacing[0], *spacing[1:], 1.0]))
    volume = Volume(np.random.default_rng(0).normal(100, 9, grid.shape), grid, Modality.MRI)
    spec = replace(TinyBackbone(VARIANTS["slices"]).spec, intensity="z_score", axis=axis)  # type: ignore[arg-type]
    framed = strategy_of(spec).prepare(volume, spec)
    places = grid.to_mm(framed.voxels(np.vstack([np.zeros(3), np.eye(3)])))
    d, h, w = places[1:] - places[0]
    assert np.flatnonzero(np.abs(d) > 1e-6).tolist() == [thick]
    if thick == 2:  # as radiology shows it: rows go to the back, columns to the patient's left
        assert h[1] < 0
        assert w[0] < 0
    else:  # rows go down
        assert h[2] < 0


@pytest.mark.parametrize("keep_aspect", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_training_view_is_a_slice_whose_labels_lie_on_its_image(seed: int, keep_aspect: bool) -> None:
    values = image(OBJECT)
    labels = (values > 0.5).numpy().astype(np.uint8)
    case = FramedCase("a", None, values.numpy().astype(np.float16), labels, {"liver": (1,)})
    spec: Spec = Recorded(keep_aspect=keep_aspect).spec
    view = strategy_of(spec).view(case, spec, np.random.default_rng(seed), ViewSettings(still=0.3, scale=0.2))
    assert view.image.shape == view.labels.shape == spec.window
    assert view.labels.any()
    found, truth = view.image > 0.55, view.labels == 1
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.9


def test_a_training_box_is_the_section_of_the_whole_structures_box_as_a_person_gives_it() -> None:
    values = image(*(VoxelBlock((d, 8 + d, 20), (d + 1, 20 + d, 34)) for d in range(4, 10)))  # slanted: 12 to 29
    labels = (values > 0.5).numpy().astype(np.uint8)
    case = FramedCase("a", None, values.numpy().astype(np.float16), labels, {"liver": (1,)})
    spec = Recorded().spec
    view = strategy_of(spec).view(case, spec, np.random.default_rng(0), ViewSettings(still=1))
    (low, high), shown = view.outlines["liver"], np.argwhere(view.labels)
    scale = np.array(spec.window[1:]) / SHAPE[1:]
    np.testing.assert_allclose(low[1:], np.array([12, 20]) * scale, atol=1)
    np.testing.assert_allclose(high[1:], np.array([29, 34]) * scale, atol=1)
    assert high[1] - low[1] > shown[:, 1].max() + 1 - shown[:, 1].min()
    sample = SampleSettings(views=1, structures=1, prompts=1)
    prompts = PromptSettings(combinations={"box": 1.0}, exact_boxes=1.0)
    settings = {"sample": sample, "prompt": prompts, "view": ViewSettings(still=1)}
    batch = StepDataset([CaseGroup((case,))], spec, 1, 0, **settings)[0]
    assert batch.prompts.boxes is not None
    assert batch.prompts.boxes[0].tolist() == [*map(float, low), *(stop - 1.0 for stop in high)]


def test_propagated_a_box_is_told_to_its_middle_slice_and_each_next_one_hears_of_the_mask_before() -> None:
    network = Recorded(accepts=frozenset({PromptKind.BOX}), previous=None)
    slanted = image(*(VoxelBlock((d, 8 + d, 20), (d + 1, 20 + d, 34)) for d in range(4, 10)))
    options = StrategyOptions(windows="propagate")
    before = strategy_of(network.spec).open(network, slanted, 0.0, None, options)
    box = VoxelBlock((4, 12, 20), (10, 26, 34))
    (answer,) = before.answers([FramePrompt(box=box)], [Context()])
    assert answer.windows == 6
    assert not (answer.logits[:4] > 0).any()
    assert not (answer.logits[10:] > 0).any()
    told = [float(asked.boxes[0, 1]) for asked in network.asked]  # the upper edge, in window pixels
    assert len(told) == 6
    middle, after, last, *down = told
    assert after > middle - 4
    assert last > after  # the slant goes on beyond what the person's box says
    assert down[-1] < middle
    constant = ask(opened(network, slanted), FramePrompt(box=box))
    assert not torch.equal(constant.logits, answer.logits)


def test_propagated_a_slice_where_nothing_was_found_passes_the_persons_box_on() -> None:
    network = Recorded(accepts=frozenset({PromptKind.BOX}), previous=None)
    before = strategy_of(network.spec).open(
        network, torch.zeros(SHAPE), 0.0, None, StrategyOptions(windows="propagate")
    )
    list(before.answers([FramePrompt(box=OBJECT)], [Context()]))
    first = network.asked[0].boxes
    assert first is not None
    assert all(torch.equal(asked.boxes, first) for asked in network.asked)
