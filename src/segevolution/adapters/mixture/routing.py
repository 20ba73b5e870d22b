"""Routing: a batch is split into groups that take the same experts, and what they answer is put back in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...models.backbone import Features, Masks, PromptBatch


@dataclass(frozen=True)
class RoutedGroup:
    """Rows of a batch that take the same experts.

    Attributes:
        rows: ascending.
        weights: expert -> weight; none for the bare base.
    """

    rows: tuple[int, ...]
    weights: dict[str, float | Tensor]


def one_hot(chosen: Iterable[str], choices: Sequence[str], device: torch.device) -> Tensor:
    """(B, K) float: weight 1 for the choice of each row."""
    places = torch.tensor([choices.index(name) for name in chosen], dtype=torch.int64, device=device)
    return torch.zeros(len(places), len(choices), device=device).scatter_(1, places[:, None], 1.0)


def groups(routing: Tensor, choices: Sequence[str]) -> list[RoutedGroup]:
    """Split rows by their weights, in order of first appearance.

    Args:
        routing: (B, K); the first column is identity, whose weight changes nothing. Where a gate is to learn from it,
            each row with an expert is a group of its own, with weights that have gradients.
        choices: K names.
    """
    live = routing.requires_grad and torch.is_grad_enabled()
    routed_groups: dict[tuple[object, ...], RoutedGroup] = {}
    for row, values in enumerate(routing.detach().tolist()):
        nonzero_weights = {name: value for name, value in zip(choices[1:], values[1:], strict=True) if value != 0}
        key = (*nonzero_weights.items(), *((row,) if live and nonzero_weights else ()))
        if key in routed_groups:
            routed_groups[key] = replace(routed_groups[key], rows=(*routed_groups[key].rows, row))
        elif live:
            weights = {name: routing[row, choices.index(name)] for name in nonzero_weights}
            routed_groups[key] = RoutedGroup((row,), {**weights})
        else:
            routed_groups[key] = RoutedGroup((row,), {**nonzero_weights})
    return list(routed_groups.values())


def back_in_order(parts: Sequence[RoutedGroup]) -> list[int]:
    """Where each row of a batch stands in the joined answers of its groups."""
    rows = [row for part in parts for row in part.rows]
    return sorted(range(len(rows)), key=rows.__getitem__)


def of_prompts(images: Sequence[RoutedGroup], image_index: Sequence[int]) -> list[RoutedGroup]:
    """Groups of images -> the groups of the prompts that read them."""
    prompt_groups = [
        RoutedGroup(tuple(row for row, image in enumerate(image_index) if image in group.rows), group.weights)
        for group in images
    ]
    return [group for group in prompt_groups if group.rows]


def selected(features: Features, prompts: PromptBatch, rows: Sequence[int]) -> tuple[Features, PromptBatch]:
    """Some prompts with exactly the images that they read."""
    selected_prompts = prompts.rows(rows)
    images, places = selected_prompts.image_index.unique(return_inverse=True)
    return features.rows(images.tolist()), replace(selected_prompts, image_index=places)


def joined(answers: Sequence[Masks], parts: Sequence[RoutedGroup]) -> Masks:
    """The masks of all groups, in the order of the prompts."""
    order = back_in_order(parts)
    logits = torch.cat([answer.logits for answer in answers])[order]
    return Masks(logits, torch.cat([answer.iou for answer in answers])[order], answers[0].window)
