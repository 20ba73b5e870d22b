"""The promptable objective: BCE plus Dice for every prompt, all decoded from one encoding a view.

SegVol (Du et al. 2024, arXiv:2311.13385) sums BCE and Dice over six prompt combinations of each structure. Here it
is their mean over all prompts of a step, which AdamW cannot tell apart, so that any number of prompts will do.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from ..models.backbone import Masks
from ..ranges import Share, Strength, Weight
from ..vocabulary import Modality
from .batch_builder import TrainingBatch
from .losses import bce_loss, dice_loss, tversky_loss


@dataclass(frozen=True)
class ObjectiveSettings:
    """Weights of the objective.

    Attributes:
        resolution: "window" upsamples logits first, as SegVol does; "decoder" compares at the decoder's own
            resolution with area-averaged targets, several times cheaper.
        foreground_weight: how much of the imbalance between background and foreground the BCE makes up for at
            the start, as a power (0 none, 1 all); it falls linearly to 0 over `anneal` of the run.
        anneal: share of the run.
        overlap: which loss stands beside the BCE, "dice" or Hermes' "tversky".
        iou: weight of the squared error of the predicted IoU.
        retain: modality -> weight of staying with what the network said before an adapter entered it, on views of that
            modality; for what an adaptation must not lose (Li and Hoiem 2017, arXiv:1606.09282).
        semantic: weight of the auxiliary semantic head, a training aid; 0 for none.
        semantic_until: share of the run after which the head is dropped.
    """

    resolution: Literal["window", "decoder"] = "window"
    foreground_weight: Strength = 0.0
    anneal: Share = 0.5
    overlap: Literal["dice", "tversky"] = "dice"
    iou: Weight = 0.05
    retain: dict[Modality, Weight] = field(default_factory=dict)
    semantic: Weight = 0.0
    semantic_until: Share = 0.66


def prompt_loss(masks: Masks, batch: TrainingBatch, settings: ObjectiveSettings, progress: float) -> dict[str, Tensor]:
    """Loss of each part of a step, each a scalar.

    With three alternatives (batch.multimask) a prompt's loss is that of its best alternative, as in SAM.

    Args:
        masks: decoded logits (P, M, d, h, w) and IoU (P, M).
        batch: with targets (P, D, H, W).
        settings: weights.
        progress: share of the run that is done, in [0, 1].

    Returns:
        "segmentation" and "iou".
    """
    logits = (masks.full() if settings.resolution == "window" else masks.logits).float()
    target = at_resolution(batch.targets, logits.shape[-3:])
    count = logits.shape[1]
    flat_logits = logits.flatten(0, 1)
    flat_target = target[:, None].expand_as(logits).flatten(0, 1)
    share = flat_target.flatten(1).mean(1).clamp_min(1e-5)
    present = (share > 1e-5).float()
    power = settings.foreground_weight * max(0.0, 1 - progress / max(settings.anneal, 1e-6))
    weight = ((1 - share) / share).clamp(1, 1e3) ** (power * present) if power > 0 else None
    overlap_loss = dice_loss if settings.overlap == "dice" else tversky_loss
    each = bce_loss(flat_logits, flat_target, weight) + present * overlap_loss(flat_logits, flat_target)
    best = each.view(-1, count).min(1).values
    true_iou = intersection_over_union(flat_logits.detach() > 0, flat_target > 0.5).view(-1, count)
    error = functional.mse_loss(masks.iou.float(), true_iou)
    return {"segmentation": best.mean(), "iou": settings.iou * error}


def retain_loss(logits: Tensor, before: Tensor, weights: Tensor) -> Tensor:
    """How far masks have moved from those of the network before it was adapted; a scalar, 0 where they are the same.

    Kullback-Leibler divergence of each voxel, averaged, plus 1 - 2 sum(p t) / (sum p^2 + sum t^2) of each mask, whose
    sums keep small structures from being outweighed by the background and which, with squares, is least at p = t.

    Args:
        logits: (P, M, d, h, w).
        before: the same shape, without gradient.
        weights: (P,), how much each prompt counts.
    """
    now, then = logits.flatten(0, 1).flatten(1), before.flatten(0, 1).flatten(1)
    p, t = now.sigmoid(), then.sigmoid()
    apart = bce_loss(now, t) - bce_loss(then, t)
    overlap = 2 * (p * t).sum(1) / (p.square().sum(1) + t.square().sum(1)).clamp_min(1e-6)
    return (weights * (apart + 1 - overlap).view(logits.shape[:2]).mean(1)).mean()


def semantic_loss(logits: Tensor, batch: TrainingBatch) -> Tensor:
    """BCE plus Dice of the auxiliary head over the structures that an image's dataset labels; a scalar.

    Args:
        logits: (B, S, d, h, w).
        batch: with semantic maps (B, S, D, H, W) and labelled (B, S).
    """
    assert batch.semantic is not None
    assert batch.labelled is not None
    strides = [big // small for big, small in zip(batch.semantic.shape[-3:], logits.shape[-3:], strict=True)]
    d, h, w = (slice(stride // 2, None, stride) for stride in strides)
    target = batch.semantic[:, :, d, h, w][batch.labelled].float()
    labelled_logits = logits.float()[batch.labelled]
    present = (target.flatten(1).sum(1) > 0).float()
    return (bce_loss(labelled_logits, target) + present * dice_loss(labelled_logits, target)).mean()


def at_resolution(targets: Tensor, shape: torch.Size) -> Tensor:
    """(P, D, H, W) bool -> float at `shape`: area averages where it is coarser."""
    values = targets.float()
    if values.shape[-3:] == shape:
        return values
    d, h, w = shape
    return functional.adaptive_avg_pool3d(values[:, None], (d, h, w))[:, 0]


def intersection_over_union(predicted: Tensor, truth: Tensor) -> Tensor:
    """(N, ...) bool twice -> (N,); 1 where both are empty."""
    intersection = (predicted & truth).flatten(1).sum(1)
    either = (predicted | truth).flatten(1).sum(1)
    return torch.where(either > 0, intersection / either.clamp_min(1), torch.ones_like(intersection, dtype=torch.float))
