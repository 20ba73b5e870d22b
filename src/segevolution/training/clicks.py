"""Clicks in turn as training sees them: answer, click where the answer errs most, answer again.

SAM (Kirillov et al. 2023, arXiv:2304.02643, appendix A) and SAM-Med3D train so. The clicks are those of
`imaging.simulated_prompts.next_click`, so nothing is drawn by chance; every round counts as much as the first answer.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ..imaging.grid import Triple
from ..imaging.simulated_prompts import next_click
from ..models.backbone import ABSENT, Masks, PromptBatch
from .batch_builder import TrainingBatch
from .objective import ObjectiveSettings, prompt_loss

_VOXELS = (1.0, 1.0, 1.0)  # depth is in window voxels: a view has no millimetres


def with_next_clicks(batch: TrainingBatch, masks: Masks, previous: Triple | None) -> TrainingBatch:
    """The same prompts, each with the click that corrects its answer, and with its answer where the network reads it.

    Args:
        batch: with targets (P, D, H, W).
        masks: answers to its prompts; of several alternatives the one that the network thinks best counts.
        previous: `Spec.previous` of the network; None tells it no earlier answer.
    """
    best = masks.iou.detach().argmax(dim=1)
    rows = torch.arange(len(best), device=best.device)
    answers = (masks.full().detach()[rows, best] > 0).cpu().numpy()
    truths = batch.targets.cpu().numpy()
    clicks = [next_click(answer, truth, _VOXELS) for answer, truth in zip(answers, truths, strict=True)]
    device = batch.prompts.image_index.device
    points = torch.tensor([(0.0, 0.0, 0.0) if click is None else click.point for click in clicks], device=device)
    labels = torch.tensor([ABSENT if click is None else int(click.positive) for click in clicks], device=device)
    previous_logits = None if previous is None else masks.logits.detach()[rows, best][:, None].float()
    prompts: PromptBatch = replace(
        batch.prompts,
        points=_joined(batch.prompts.points, points[:, None]),
        labels=_joined(batch.prompts.labels, labels[:, None]),
        masks=previous_logits,
    )
    return replace(batch, prompts=prompts, multimask=False)


def clicked_loss(
    rounds: int,
    batch: TrainingBatch,
    masks: Masks,
    decode: Callable[[TrainingBatch], Masks],
    previous: Triple | None,
    settings: ObjectiveSettings,
    progress: float,
) -> dict[str, Tensor]:
    """Loss of each part of a step, the mean over the first answers and those after each round of clicks.

    Args:
        rounds: of clicks; with 0 it is `prompt_loss`.
        batch: see `prompt_loss`.
        masks: the first answers.
        decode: a batch's prompts, from the same features -> answers.
        previous: see `with_next_clicks`.
        settings, progress: see `prompt_loss`.
    """
    parts = prompt_loss(masks, batch, settings, progress)
    for _ in range(rounds):
        batch = with_next_clicks(batch, masks, previous)
        masks = decode(batch)
        later = prompt_loss(masks, batch, settings, progress)
        parts = {name: value + later[name] for name, value in parts.items()}
    return {name: value / (rounds + 1) for name, value in parts.items()} if rounds else parts


def _joined(earlier: Tensor | None, click: Tensor) -> Tensor:
    return click if earlier is None else torch.cat([earlier, click], dim=1)
