"""Adapt a network to one scan and one prompt before it answers, without labels; afterwards its weights are as before.

Source: Wang et al. 2021 (Tent, arXiv:2006.10726): scale and shift of the normalisation layers take a few steps down
the entropy of the network's own answer. Here it is the answer at the first look at the whole scan, in the region that
the prompt speaks of: its box, else where the unadapted answer is not all but certain to be background, and around.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..adapters.feature_statistics import NORMS
from ..adapters.switch import switched
from ..errors import PromptError
from ..imaging.grid import triple
from ..vocabulary import Context
from .encodings import Encodings
from .frame_prompt import FramePrompt, collate, resized
from .windows import VoxelBlock, picked

DEFAULT_LEARNING_RATE = 1e-3
_LEAST_LIKELY = 0.05  # what is less likely at first, and far from what is likelier, has no say
_MARGIN = 2  # voxels of the answer's own size around that


@dataclass(frozen=True)
class EntropyDescent:
    """How far a network is adapted before each answer.

    Attributes:
        steps: of Adam, each one forward and one backward pass of the network at the whole scan.
        learning_rate: of these steps.

    Raises:
        PromptError: no step, or a rate that is not above 0.
    """

    steps: int
    learning_rate: float = DEFAULT_LEARNING_RATE

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 < self.learning_rate < float("inf"):
            raise PromptError(
                f"test-time adaptation takes 1 step or more at a rate above 0, not {self.steps} at "
                f"{self.learning_rate:g}."
            )

    @contextmanager
    def adapted(self, encodings: Encodings, prompt: FramePrompt, context: Context) -> Iterator[None]:
        """While it lasts, the network is adapted to the image and the prompt; nobody else may ask it meanwhile."""
        network = encodings.backbone
        with switched(network.backbone, network.adapter):
            scales_and_shifts = _scales_and_shifts(network.backbone)
            before = [(value, value.detach().clone(), value.requires_grad) for value in scales_and_shifts]
            try:
                self._descend(scales_and_shifts, encodings, prompt, context)
                encodings.forget()
                yield
            finally:
                with torch.no_grad():
                    for value, earlier, trained in before:
                        value.copy_(earlier)
                        value.requires_grad_(trained)
                        value.grad = None
                encodings.forget()

    def _descend(self, values: list[nn.Parameter], encodings: Encodings, prompt: FramePrompt, context: Context) -> None:
        network, window = encodings.backbone, encodings.window
        image = picked(encodings.image, VoxelBlock.whole(encodings.image.shape), window)[None, None].float().clone()
        batch = collate([resized(prompt, triple(encodings.image.shape), window)], [0], encodings.device, window)
        for value in values:
            value.requires_grad_(True)
        optimizer = torch.optim.Adam(values, lr=self.learning_rate)
        region: Tensor | None = None
        with torch.enable_grad():
            for _ in range(self.steps):
                features = network.encode(image, [encodings.modality])
                logits = network.decode(features, batch, [context]).logits[0, 0].float()
                if region is None:
                    region = _region(prompt, encodings, logits.detach())
                loss = _entropy(logits[region])
                gradients = torch.autograd.grad(loss, values, allow_unused=True)
                for value, gradient in zip(values, gradients, strict=True):
                    value.grad = gradient
                optimizer.step()


def _scales_and_shifts(network: nn.Module) -> list[nn.Parameter]:
    """One value a channel; a norm with a value a voxel could learn the scan by heart and stays as it is."""
    return [
        value
        for module in network.modules()
        if isinstance(module, NORMS)
        for value in module.parameters(recurse=False)
        if value.ndim == 1
    ]


def _region(prompt: FramePrompt, encodings: Encodings, logits: Tensor) -> Tensor:
    """(d, h, w) boolean: where the answer's entropy counts, never nowhere."""
    shape = triple(logits.shape)
    box = resized(prompt, triple(encodings.image.shape), shape).box
    region = torch.zeros(shape, dtype=torch.bool, device=logits.device)
    if box is not None:
        region[tuple(slice(low, high) for low, high in zip(box.start, box.stop, strict=True))] = True
        return region
    likely = (logits.sigmoid() > _LEAST_LIKELY).float()[None, None]
    wide: Tensor = functional.max_pool3d(likely, 2 * _MARGIN + 1, stride=1, padding=_MARGIN)[0, 0] > 0
    return wide if bool(wide.any()) else ~region


def _entropy(logits: Tensor) -> Tensor:
    """Mean binary entropy in nats of logits (N,)."""
    share = logits.sigmoid()
    return -(share * functional.logsigmoid(logits) + (1 - share) * functional.logsigmoid(-logits)).mean()
