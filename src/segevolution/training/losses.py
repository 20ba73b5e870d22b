"""Segmentation losses on logits; SegVol's own sum is BCE plus Dice (Du et al. 2024)."""

from torch import Tensor
from torch.nn import functional


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - 2 sum(p t) / (sum p + sum t + 1), the sums taken per sample; (N, ...) -> (N,).

    The published code squeezes the batch first, so that at batch 1 it averages over slices: a fault, not copied.
    """
    probability = logits.sigmoid().flatten(1)
    truth = target.flatten(1)
    overlap = (probability * truth).sum(1)
    return 1 - 2 * overlap / (probability.sum(1) + truth.sum(1) + 1)


def tversky_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - TP / (TP + a FP + (1 - a) FN) of soft counts per sample; (N, ...) -> (N,). 1 where nothing is to be found.

    a is the share of false positives among the errors, within [0.2, 0.8], and takes part in the gradient: Hermes' loss
    (Gao et al. 2024, arXiv:2306.02416) as its code has it.

    Args:
        logits: any float dtype.
        target: same shape, in [0, 1].
    """
    probability, truth = logits.sigmoid().flatten(1), target.flatten(1)
    hits = (probability * truth).sum(1)
    false, missed = (probability * (1 - truth)).sum(1), ((1 - probability) * truth).sum(1)
    share = (false / (false + missed + 1e-6)).clamp(0.2, 0.8)
    return 1 - hits / (hits + share * false + (1 - share) * missed + 1e-6)


def bce_loss(logits: Tensor, target: Tensor, foreground_weight: Tensor | None = None) -> Tensor:
    """Binary cross-entropy, averaged over the voxels of each sample; (N, ...) -> (N,).

    Args:
        logits: any float dtype.
        target: same shape, in [0, 1].
        foreground_weight: (N,), how much more a foreground voxel counts; the weighted mean stays a mean.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none").flatten(1)
    if foreground_weight is None:
        return loss.mean(1)
    weight = 1 + (foreground_weight[:, None] - 1) * target.flatten(1)
    return (loss * weight).sum(1) / weight.sum(1)
