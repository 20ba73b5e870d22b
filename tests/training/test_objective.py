"""The objective, term by term, against numbers worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from segevolution.data.windows import FramedCase
from segevolution.models.backbone import Masks, PromptBatch
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batch_builder import TrainingBatch
from segevolution.training.batches import CaseGroup, SampleSettings, StepDataset
from segevolution.training.objective import (
    ObjectiveSettings,
    at_resolution,
    intersection_over_union,
    prompt_loss,
    retain_loss,
    semantic_loss,
)
from segevolution.vocabulary import Context, Modality

LOG3 = math.log(3)  # the logit of a probability of 3/4
HALF, THREE_QUARTERS = math.log(2), -math.log(0.75)  # cross-entropies of a true voxel at p = 1/2 and at p = 3/4


def batch(targets: torch.Tensor, **parts) -> TrainingBatch:
    """A batch with these targets (P, D, H, W) and nothing that the losses do not read."""
    count = len(targets)
    prompts = PromptBatch(torch.zeros(count, dtype=torch.int64), ("liver",) * count)
    contexts = (Context(Modality.CT, "liver"),) * count
    plain = TrainingBatch(None, (Modality.CT,), prompts, contexts, targets, None, None, False)
    return replace(plain, **parts)


def masks(*alternatives: list[float], iou: list[float]) -> Masks:
    """One prompt's alternatives, each voxels along W: logits (1, M, 1, 1, W)."""
    logits = torch.tensor(alternatives)[None, :, None, None]
    return Masks(logits, torch.tensor([iou]), (1, 1, logits.shape[-1]))


def target(*voxels: int) -> torch.Tensor:
    return torch.tensor([[[voxels]]], dtype=torch.bool)


PLAIN = ObjectiveSettings(resolution="decoder", iou=1.0)


def test_the_loss_of_a_prompt_is_cross_entropy_plus_dice():
    parts = prompt_loss(masks([0.0, LOG3], iou=[0.4]), batch(target(0, 1)), PLAIN, 0.0)
    dice = 1 - 2 * 0.75 / (0.5 + 0.75 + 1 + 1)
    assert parts["segmentation"].item() == pytest.approx((HALF + THREE_QUARTERS) / 2 + dice, abs=1e-6)


def test_the_loss_of_overlap_may_be_tversky_s_weighed_by_the_errors_there_are():
    settings = replace(PLAIN, overlap="tversky")
    parts = prompt_loss(masks([LOG3, 0.0], iou=[0.4]), batch(target(1, 0)), settings, 0.0)
    share = 0.5 / (0.5 + 0.25)  # of false positives among the errors
    tversky = 1 - 0.75 / (0.75 + share * 0.5 + (1 - share) * 0.25)
    assert parts["segmentation"].item() == pytest.approx((HALF + THREE_QUARTERS) / 2 + tversky, abs=1e-5)


def test_a_structure_that_is_absent_costs_cross_entropy_only():
    parts = prompt_loss(masks([0.0, -LOG3], iou=[1.0]), batch(target(0, 0)), PLAIN, 0.0)
    assert parts["segmentation"].item() == pytest.approx((HALF + THREE_QUARTERS) / 2, abs=1e-6)


def test_an_absent_structure_that_is_not_drawn_has_the_overlap_of_one():
    """Nothing was asked for in vain and nothing was answered: the predicted overlap should say 1."""
    parts = prompt_loss(masks([-1.0, -1.0], iou=[1.0]), batch(target(0, 0)), PLAIN, 0.0)
    assert parts["iou"].item() == 0


def test_of_three_alternatives_the_best_is_trained():
    right, wrong, unsure = [-LOG3, LOG3], [LOG3, -LOG3], [0.0, 0.0]
    best = prompt_loss(masks(right, iou=[0.0]), batch(target(0, 1)), PLAIN, 0.0)["segmentation"]
    parts = prompt_loss(masks(wrong, right, unsure, iou=[0.0, 1.0, 0.0]), batch(target(0, 1)), PLAIN, 0.0)
    assert parts["segmentation"].item() == pytest.approx(best.item(), abs=1e-7)


def test_each_prompt_has_a_best_alternative_of_its_own():
    right, wrong = [-LOG3, LOG3], [LOG3, -LOG3]
    both = Masks(torch.tensor([[right, wrong], [wrong, right]])[:, :, None, None], torch.zeros(2, 2), (1, 1, 2))
    loss = prompt_loss(both, batch(torch.cat([target(0, 1)] * 2)), PLAIN, 0.0)["segmentation"]
    best = prompt_loss(masks(right, iou=[0.0]), batch(target(0, 1)), PLAIN, 0.0)["segmentation"]
    assert loss.item() == pytest.approx(best.item(), abs=1e-7)


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_the_error_of_the_predicted_overlap_is_squared_and_weighted(weight):
    """The answer covers both voxels, the truth one: their overlap is 1/2, predicted were 0.9 and, once, 0.1."""
    shown = masks([1.0, 1.0], [1.0, 1.0], iou=[0.9, 0.1])
    parts = prompt_loss(shown, batch(target(0, 1)), replace(PLAIN, iou=weight), 0.0)
    assert parts["iou"].item() == pytest.approx(weight * 0.16, abs=1e-7)


def test_the_predicted_overlap_learns_but_does_not_teach_the_mask():
    logits = torch.tensor([[[[[1.0, 1.0]]]]], requires_grad=True)
    parts = prompt_loss(Masks(logits, torch.tensor([[0.9]]), (1, 1, 2)), batch(target(0, 1)), PLAIN, 0.0)
    assert not parts["iou"].requires_grad


@pytest.mark.parametrize(("progress", "power"), [(0.0, 1.0), (0.125, 0.75), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)])
def test_the_weight_of_the_foreground_makes_up_for_its_share_and_is_annealed(progress, power):
    """One voxel of four: at full power it counts three times; half of the run later it counts once."""
    settings = ObjectiveSettings(resolution="decoder", foreground_weight=1.0, anneal=0.5)
    parts = prompt_loss(masks([-LOG3, -LOG3, -LOG3, -LOG3], iou=[0.0]), batch(target(0, 0, 0, 1)), settings, progress)
    weight = 3.0**power
    missed = -math.log(0.25)
    entropy = (3 * THREE_QUARTERS + weight * missed) / (3 + weight)
    dice = 1 - 2 * 0.25 / (4 * 0.25 + 1 + 1)
    assert parts["segmentation"].item() == pytest.approx(entropy + dice, abs=1e-6)


def test_half_the_weight_of_the_foreground_is_half_the_power():
    settings = ObjectiveSettings(resolution="decoder", foreground_weight=0.5)
    parts = prompt_loss(masks([-LOG3] * 4, iou=[0.0]), batch(target(0, 0, 0, 1)), settings, 0.0)
    weight = math.sqrt(3)
    entropy = (3 * THREE_QUARTERS + weight * -math.log(0.25)) / (3 + weight)
    assert parts["segmentation"].item() == pytest.approx(entropy + 1 - 0.5 / 3, abs=1e-6)


def test_absent_structures_get_no_weight_of_the_foreground():
    shown = masks([0.0, -LOG3], iou=[0.0])
    settings = ObjectiveSettings(resolution="decoder", foreground_weight=1.0)
    weighted, plain = (prompt_loss(shown, batch(target(0, 0)), s, 0.0)["segmentation"] for s in (settings, PLAIN))
    assert weighted.item() == plain.item()


def test_the_resolution_is_the_decoders_or_the_windows():
    """At the decoder's the target is its area average (1/2 here); at the window's the logits are spread instead."""
    shown = Masks(torch.zeros(1, 1, 1, 1, 1), torch.tensor([[0.0]]), (1, 1, 2))
    coarse = prompt_loss(shown, batch(target(0, 1)), ObjectiveSettings(resolution="decoder"), 0.0)["segmentation"]
    fine = prompt_loss(shown, batch(target(0, 1)), ObjectiveSettings(resolution="window"), 0.0)["segmentation"]
    assert coarse.item() == pytest.approx(HALF + 1 - 2 * 0.25 / (0.5 + 0.5 + 1), abs=1e-6)
    assert fine.item() == pytest.approx(HALF + 1 - 2 * 0.5 / (1 + 1 + 1), abs=1e-6)


def test_targets_are_averaged_over_the_cells_of_a_coarser_grid():
    fine = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    fine[0, 0, 0, 0] = fine[0, 1, 1, 1] = fine[0, 1, 1, 0] = True
    assert at_resolution(fine, torch.Size((1, 1, 1))).item() == pytest.approx(3 / 8)
    assert at_resolution(fine, torch.Size((2, 1, 1))).flatten().tolist() == pytest.approx([1 / 4, 1 / 2])
    assert torch.equal(at_resolution(fine, torch.Size((2, 2, 2))), fine.float())


def test_overlap_is_intersection_over_union_and_one_where_both_are_empty():
    predicted = torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    truth = torch.tensor([[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    assert intersection_over_union(predicted, truth).tolist() == [0.5, 1.0, 0.0]


def test_what_is_retained_costs_its_divergence_and_its_lost_overlap():
    now, then = torch.tensor([[[[[0.0, LOG3]]]]]), torch.tensor([[[[[0.0, -LOG3]]]]])
    divergence = 0.5 * (0.25 * math.log(0.25 / 0.75) + 0.75 * math.log(0.75 / 0.25))
    overlap = 2 * (0.25 + 0.75 * 0.25) / (0.25 + 0.75**2 + 0.25 + 0.25**2)
    loss = retain_loss(now, then, torch.tensor([2.0]))
    assert loss.item() == pytest.approx(2 * (divergence + 1 - overlap), abs=1e-6)


def test_prompts_are_retained_by_their_own_weights():
    now, then = torch.zeros(2, 1, 1, 1, 2), torch.zeros(2, 1, 1, 1, 2)
    now[1] = LOG3
    one = retain_loss(now[1:], then[1:], torch.tensor([1.0]))
    assert retain_loss(now, then, torch.tensor([5.0, 1.0])).item() == pytest.approx(one.item() / 2, abs=1e-7)


def test_the_semantic_head_learns_what_is_labelled_and_nothing_else():
    logits = torch.tensor([0.0, LOG3]).reshape(1, 2, 1, 1, 1)
    maps = torch.ones(1, 2, 1, 1, 1, dtype=torch.bool)
    shown = batch(target(0), semantic=maps, labelled=torch.tensor([[False, True]]))
    dice = 1 - 2 * 0.75 / (0.75 + 1 + 1)
    assert semantic_loss(logits, shown).item() == pytest.approx(THREE_QUARTERS + dice, abs=1e-6)


def test_the_semantic_head_pays_no_dice_for_what_is_labelled_and_absent():
    maps = torch.zeros(1, 1, 1, 1, 2, dtype=torch.bool)
    shown = batch(target(0, 0), semantic=maps, labelled=torch.tensor([[True]]))
    assert semantic_loss(torch.zeros(1, 1, 1, 1, 2), shown).item() == pytest.approx(HALF, abs=1e-6)


def test_the_semantic_head_compares_with_the_middle_of_each_cell():
    maps = torch.tensor([0, 1, 1, 0], dtype=torch.bool).reshape(1, 1, 1, 1, 4)
    shown = batch(target(0, 0, 0, 0), semantic=maps, labelled=torch.tensor([[True]]))
    logits = torch.tensor([LOG3, -LOG3]).reshape(1, 1, 1, 1, 2)  # cells of two voxels, compared with voxels 1 and 3
    dice = 1 - 2 * 0.75 / (1 + 1 + 1)
    assert semantic_loss(logits, shown).item() == pytest.approx(THREE_QUARTERS + dice, abs=1e-6)


def partly_labelled() -> CaseGroup:
    """A patient without a spleen in a dataset that labels spleens."""
    labels = np.zeros((12, 40, 40), np.uint8)
    labels[3:9, 10:30, 10:30] = 1
    image = np.where(labels == 1, 0.9, 0.2).astype(np.float16)
    return CaseGroup((FramedCase("a", Modality.CT, image, labels, {"liver": (1,)}, ("spleen",)),))


@pytest.mark.parametrize(("share", "times"), [(0.0, 0), (1.0, 8)])
def test_structures_that_a_patient_lacks_are_asked_for_in_vain(share, times):
    sample = SampleSettings(views=1, structures=1, prompts=1, absent=share)
    steps = StepDataset([partly_labelled()], TinyBackbone(TinyConfig(seed=0)).spec, 8, seed=0, sample=sample)
    asked = [
        (name, steps[number].contexts[row], int(steps[number].targets[row].sum()))
        for number in range(8)
        for row, name in enumerate(steps[number].prompts.structures)
        if name == "spleen"
    ]
    assert asked == [("spleen", Context(Modality.CT, "spleen"), 0)] * times
