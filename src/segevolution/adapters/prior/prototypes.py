"""Posterior prototypes: what the structure's tokens became after fusion, said to the decoder. They start at zero."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from ...models.backbone import DecoderSizes
from .fusion import zero_linear

Prototype = Literal["additive", "multiplicative", "none"]


class AdditivePrototypes(nn.Module):
    """The study's: a small MLP, scaled, added to each mask token before the hypernetworks.

    Source: Mihailov et al. 2024, SergheiMihailov/adapt_med_seg.

    Args:
        inputs: T * w, values of a structure's posterior tokens.
        hidden: channels between.
        sizes: of the decoder.
        scale: of what is added.
    """

    def __init__(self, inputs: int, hidden: int, sizes: DecoderSizes, scale: float) -> None:
        super().__init__()
        self.masks, self.scale = sizes.masks, scale
        self.inner = nn.Linear(inputs, hidden)
        self.outer = zero_linear(hidden, sizes.masks * sizes.width)

    def forward(self, posterior: Tensor) -> Tensor:
        """(P, T, w) -> (P, M, C), to be added to the mask tokens."""
        values = self.outer(functional.relu(self.inner(posterior.flatten(1))))
        added: Tensor = self.scale * values.unflatten(1, (self.masks, -1))
        return added


class MultiplicativePrototypes(nn.Module):
    """Hermes': the inner product of the upscaled features with a prototype of the structure, blended with the mask.

    With features f, a mask vector v and a prototype p, the blend of both products is f . v + f . p = f . (v + p).
    So the prototype is added to the vector, which costs nothing at the resolution of the features.

    Source: Gao et al. 2024, arXiv:2306.02416.

    Args:
        inputs: T * w, values of a structure's posterior tokens.
        hidden: channels between.
        sizes: of the decoder.
    """

    def __init__(self, inputs: int, hidden: int, sizes: DecoderSizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(inputs)
        self.inner = nn.Linear(inputs, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outer = zero_linear(hidden, sizes.vector)

    def forward(self, posterior: Tensor) -> Tensor:
        """(P, T, w) -> (P, 1, c), to be added to the vector of each mask."""
        values = functional.gelu(self.inner(self.norm(posterior.flatten(1))))
        prototype: Tensor = self.outer(functional.gelu(self.middle(values)))
        return prototype[:, None]


class ModalityHead(nn.Module):
    """Names the modality from the mean of its posterior tokens: a training aid (Hermes' auxiliary loss).

    Args:
        width: w.
        classes: modalities that can be named.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, classes)

    def forward(self, posterior: Tensor, truth: Tensor) -> Tensor | None:
        """Cross-entropy, a scalar.

        Args:
            posterior: (P, M, w).
            truth: (P,) int64, the class of each prompt's image; -1 where it is not known.

        Returns:
            None where no modality is known.
        """
        is_labelled = truth >= 0
        if not bool(is_labelled.any()):
            return None
        logits = self.classify(self.norm(posterior[is_labelled]).mean(dim=1))
        return functional.cross_entropy(logits.float(), truth[is_labelled])
