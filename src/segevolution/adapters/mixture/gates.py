"""The learned gate: noisy top-k over features of the frozen base (Shazeer et al. 2017, arXiv:1701.06538).

What it reads of an image is the mean and the deviation of each channel of the base's finest map, where the grain of a
scanner still shows; tokens have lost most of it. Each value is standardised by what the images of the training had in
it: the differences between modalities are small beside those between channels.

Its last layers start at zero, so that at the start it prefers no expert, and below the confidence that the settings
ask for an untrained gate takes identity.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...models.backbone import DecoderSizes, Features
from ...vocabulary import Modality

MODALITIES = tuple(Modality)
_LEAST = 1e-4  # of a deviation
NEWCOMER = -6.0  # where the score of an expert added later starts: some hundred times less likely than an even one


@dataclass(frozen=True)
class Scores:
    """What a gate says of B images about K choices.

    Attributes:
        clean: (B, K) scores.
        spread: (B, K), standard deviation of the noise that training adds to them.
    """

    clean: Tensor
    spread: Tensor


def inputs(features: Features, sizes: DecoderSizes) -> Tensor:
    """(B, F) float32: what a learned gate reads of B encoded images, F = `input_count(sizes)`.

    Each image alone, so that to the last bit its values do not hang on the rest of the batch.
    """
    maps = features.tokens.transpose(1, 2) if sizes.finest is None else features.skips[-1].flatten(2)
    return torch.stack([torch.cat([image.mean(dim=1), image.std(dim=1)]) for image in maps.detach().float()])


def input_count(sizes: DecoderSizes) -> int:
    """How many values a learned gate reads of an image: a mean and a deviation for each channel."""
    return 2 * (sizes.width if sizes.finest is None else sizes.finest)


class Standardised(nn.Module):
    """Values less their mean over all images that training has shown, in units of their deviation.

    What it has counted are parameters without a gradient of their own, so that they are kept, resumed and averaged
    with what is learned.

    Args:
        width: F, values of an image.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.seen = nn.Parameter(torch.zeros(()))
        self.mean = nn.Parameter(torch.zeros(width))
        self.variance = nn.Parameter(torch.ones(width))

    @torch.no_grad()
    def count(self, values: Tensor) -> None:
        """Take (B, F) values of B more images into the mean and the variance (Chan et al. 1983)."""
        total = self.seen + len(values)
        apart = values.mean(dim=0) - self.mean
        within = self.seen * self.variance + len(values) * values.var(dim=0, correction=0)
        self.variance.copy_((within + apart.square() * self.seen * len(values) / total) / total)
        self.mean.add_(apart * len(values) / total)
        self.seen.copy_(total)

    def forward(self, values: Tensor) -> Tensor:
        """(B, F) -> (B, F)."""
        return (values - self.mean.detach()) / self.variance.detach().sqrt().clamp_min(_LEAST)


class LearnedGate(nn.Module):
    """What `inputs` reads of an image -> a score for each choice.

    Each choice has an output layer of its own, so that adding one leaves the others as they are.

    Args:
        width: F, values of an image.
        hidden: channels between.
        choices: names, identity first.
        reads_modality: whether a learned embedding of the modality, or of no modality, is joined to the input.
    """

    def __init__(self, width: int, hidden: int, choices: Sequence[str], *, reads_modality: bool) -> None:
        super().__init__()
        self.standardised = Standardised(width)
        self.modality = nn.Embedding(1 + len(MODALITIES), hidden) if reads_modality else None
        self.inner = nn.Linear(width + (hidden if reads_modality else 0), hidden)
        self.choices = nn.ModuleDict()
        for name in choices:
            self.add(name)

    def add(self, name: str, bias: float = 0.0) -> None:
        """Make the output layer of a choice; it answers `bias` for every image until it has learned."""
        layer = nn.Linear(self.inner.out_features, 2, device=self.inner.weight.device)
        nn.init.zeros_(layer.weight)
        with torch.no_grad():
            layer.bias.copy_(torch.tensor([bias, 0.0]))
        self.choices[f"to_{name}"] = layer

    def forward(self, values: Tensor, modalities: Sequence[Modality | None]) -> Scores:
        """(B, F) -> Scores, in float32 whatever the precision around it."""
        with torch.autocast(values.device.type, enabled=False):
            seen = self.standardised(values)
            if self.modality is not None:
                places = [0 if modality is None else 1 + MODALITIES.index(modality) for modality in modalities]
                seen = torch.cat([seen, self.modality(torch.tensor(places, device=seen.device))], dim=1)
            inner = functional.gelu(self.inner(seen))
            outputs = torch.stack([layer(inner) for layer in self.choices.values()], dim=1)
        return Scores(outputs[..., 0], functional.softplus(outputs[..., 1]))

    def one_by_one(self, values: Tensor, modalities: Sequence[Modality | None]) -> Scores:
        """The same, each image alone, so that to the last bit its weights do not hang on the rest of the batch."""
        rows = [self(values[row : row + 1], [modality]) for row, modality in enumerate(modalities)]
        return Scores(torch.cat([row.clean for row in rows]), torch.cat([row.spread for row in rows]))


def top(scores: Tensor, count: int) -> Tensor:
    """(B, K) scores -> (B, K) weights: `count` of them not zero, summing to 1.

    A single one weighs exactly 1, and its gradient is that of its probability (a straight-through estimate), since
    the softmax over one score has none.
    """
    best = scores.topk(min(count, scores.shape[1]), dim=1)
    if count > 1:
        return torch.zeros_like(scores).scatter(1, best.indices, best.values.softmax(dim=1))
    is_chosen = torch.zeros_like(scores).scatter(1, best.indices, 1.0)
    likely = scores.softmax(dim=1)
    return is_chosen * (1 + (likely - likely.detach()))


def imbalance(scores: Scores, noisy: Tensor, weights: Tensor, count: int) -> Tensor:
    """Shazeer et al.'s importance and load losses before their weight: a scalar, 0 where all are used alike.

    Importance is the sum of the gates that are used. With one choice an image it counts images, and its gradient is
    that of all probabilities (a straight-through estimate), or a choice that nobody takes would never be taken up.

    Args:
        scores: of the gate.
        noisy: (B, K), the scores with the noise that was drawn.
        weights: (B, K), what `top` made of them.
        count: how many are chosen for an image.
    """
    applied_weights = weights
    if count == 1:
        likely = noisy.softmax(dim=1)
        applied_weights = weights.detach() + likely - likely.detach()
    loss = squared_variation(applied_weights.sum(dim=0))
    choices = noisy.shape[1]
    if count >= choices:
        return loss
    ranked = noisy.topk(count + 1, dim=1).values
    inside = noisy >= ranked[:, count - 1 : count]
    threshold = torch.where(inside, ranked[:, count : count + 1], ranked[:, count - 1 : count])
    apart = (scores.clean - threshold) / scores.spread.clamp_min(1e-6)
    chance = 0.5 * (1 + torch.erf(apart / math.sqrt(2)))  # of being chosen, were its own noise drawn again
    return loss + squared_variation(chance.sum(dim=0))


def squared_variation(values: Tensor) -> Tensor:
    """(K,) -> a scalar: the square of the coefficient of variation."""
    return values.var(correction=0) / (values.mean().square() + 1e-10)
