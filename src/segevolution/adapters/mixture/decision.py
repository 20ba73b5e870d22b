"""A gate's decision for each image: by a table, by learned scores, or by noisy scores with losses while it trains."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ...vocabulary import Modality
from .config import IDENTITY, MixtureConfig
from .gates import LearnedGate, Scores, imbalance, top
from .routing import one_hot

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Routing:
    """What a gate decides for B images.

    Attributes:
        weights: (B, K), one column a choice, identity first.
        confidence: (B,), the probability of the first choice; 1 where a table decided.
        abstained: (B,) bool, where a learned gate was not sure enough and took identity.
    """

    weights: Tensor
    confidence: Tensor
    abstained: Tensor


def by_table(config: MixtureConfig, keys: Sequence[str | None], device: torch.device) -> Routing:
    """The expert of each modality, or structure; identity where none is known."""
    weights = one_hot([config.route(key) for key in keys], config.choices, device)
    return Routing(weights, weights.new_ones(len(keys)), weights.new_zeros(len(keys), dtype=torch.bool))


def by_scores(config: MixtureConfig, scores: Scores) -> Routing:
    """What a learned gate's scores choose outside training: no noise, identity where they are not sure."""
    clean = scores.clean.detach()
    confidence = clean.softmax(dim=1).amax(dim=1)
    abstained = confidence < config.confidence
    identity = torch.zeros_like(clean)
    identity[:, 0] = 1
    return Routing(torch.where(abstained[:, None], identity, top(clean, config.top_k)), confidence, abstained)


def while_learning(
    config: MixtureConfig, gate: LearnedGate, values: Tensor, modalities: Sequence[Modality | None]
) -> tuple[Routing, Tensor | None]:
    """What it chooses in training, with noise and never abstaining; and its weighted losses, a scalar.

    The images are counted in what its inputs are standardised by.
    """
    gate.standardised.count(values)
    chances = torch.rand(len(modalities)).tolist()
    shown_modalities = [
        None if chance < config.modality_dropout else name for chance, name in zip(chances, modalities, strict=True)
    ]
    scores = gate(values, shown_modalities)
    noisy = scores.clean + torch.randn_like(scores.clean) * scores.spread
    weights = top(noisy, config.top_k)
    losses = []
    if config.balance_weight:
        losses.append(config.balance_weight * imbalance(scores, noisy, weights, config.top_k))
    if config.supervision_weight:
        targets = [target(config, modality) for modality in modalities]
        rows_with_target = [row for row, place in enumerate(targets) if place is not None]
        if rows_with_target:
            places = torch.tensor([targets[row] for row in rows_with_target], device=values.device)
            losses.append(config.supervision_weight * functional.cross_entropy(scores.clean[rows_with_target], places))
    sure = scores.clean.detach().softmax(dim=1).amax(dim=1)
    routing = Routing(weights, sure, torch.zeros_like(sure, dtype=torch.bool))
    return routing, torch.stack(losses).sum() if losses else None


def target(config: MixtureConfig, modality: Modality | None) -> int | None:
    """The choice that a learned gate is taught for a modality; None where there is nothing to teach."""
    if modality is None:
        return None
    expert = config.routes.get(modality.value, IDENTITY if modality is Modality.CT else None)
    return None if expert is None else config.choices.index(expert)


class Tally:
    """What a gate decided outside training; it says once what a user may not expect.

    Attributes:
        routed: images (prompts, under a task gate) by their first choice.
        abstained: how many of them a learned gate was not sure of.
    """

    def __init__(self) -> None:
        self.routed: Counter[str] = Counter()
        self.abstained = 0
        self._said: set[str] = set()

    def add(self, config: MixtureConfig, routing: Routing, keys: Sequence[str | None], *, training: bool) -> None:
        """Count a decision about images of these modalities, or prompts for these structures."""
        if training:
            return
        self.routed.update(config.choices[place] for place in routing.weights.argmax(dim=1).tolist())
        if bool(routing.abstained.any()):
            self.abstained += int(routing.abstained.sum())
            sure = float(routing.confidence[routing.abstained][0])
            sentence = "the gate is not sure of an image (%.2f, below %.2f): it gets the base's answer"
            self._say(sentence, sure, config.confidence)
        if not config.learned and None in keys:
            condition = "the structure of a prompt" if config.gate == "task" else "the modality of an image"
            self._say("%s is not known to the gate: it gets the base's answer", condition)

    def _say(self, sentence: str, *values: object) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            _LOG.warning(f"{sentence}. This is said once, and counted.", *values)
