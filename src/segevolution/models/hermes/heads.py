"""What is made of the posteriors: a classifier for each task, and the name of the modality."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .fusion import GeluPerceptron


class PosteriorPrototypes(nn.Module):
    """A task's posteriors of all places -> the vector whose product with the last feature map is its logit.

    Args:
        channels: of all places together.
        width: c, of the last feature map.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-5)
        self.classifier_pred = nn.Sequential(
            GeluPerceptron(channels, channels, width), GeluPerceptron(width, width, width)
        )

    def forward(self, posteriors: Sequence[Tensor]) -> Tensor:
        """(B, T, width of a place) of each place -> (B, T, c)."""
        prototypes: Tensor = self.classifier_pred(self.norm(torch.cat(list(posteriors), dim=-1)))
        return prototypes


class ModalityClassifier(nn.Module):
    """The posteriors of the modality's tokens -> which modality it is.

    Args:
        channels: of all places together.
        modalities: rows of the table of priors.
    """

    def __init__(self, channels: int, modalities: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-5)
        self.classifier = GeluPerceptron(channels, channels, modalities)

    def forward(self, posteriors: Sequence[Tensor]) -> Tensor:
        """(B, 10, width of a place) of each place -> logits (B, modalities)."""
        logits: Tensor = self.classifier(self.norm(torch.cat(list(posteriors), dim=-1)).mean(dim=1))
        return logits


class TaskClassifiers(nn.Module):
    """One learned vector and one number a task: what priors are compared with.

    Args:
        tasks: how many.
        width: c, of the last feature map.
    """

    def __init__(self, tasks: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(tasks, width) * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(tasks))

    def forward(self, features: Tensor, tasks: Tensor) -> Tensor:
        """(B, c, D, H, W) and task rows (T,) -> logits (B, T, D, H, W)."""
        products = torch.einsum("bcdhw,tc->btdhw", features, self.weight[tasks])
        return products + self.bias[tasks][None, :, None, None, None]
