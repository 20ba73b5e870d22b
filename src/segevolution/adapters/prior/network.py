"""The parts of context priors as one module: pool, fusion, prototypes, and the head of the auxiliary loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import AdapterError
from ...models.backbone import DecoderSizes
from ...vocabulary import Modality
from .config import ContextPriorConfig
from .fusion import FUSIONS
from .prototypes import AdditivePrototypes, ModalityHead, MultiplicativePrototypes
from .token_pool import UNKNOWN, TokenPool, key

CLASSES = tuple(Modality)


class PriorNetwork(nn.Module):
    """What is learned beside LoRA.

    Args:
        config: settings.
        sizes: of the decoder it enters.

    Raises:
        AdapterError: the width is no multiple of the heads.
    """

    def __init__(self, config: ContextPriorConfig, sizes: DecoderSizes) -> None:
        super().__init__()
        width = config.width or sizes.width
        joint = config.fusion == "joint"
        heads = config.heads or (4 if joint else max(1, width // 32))
        if width % heads:
            raise AdapterError(f"{heads} heads cannot share {width} channels; set heads to a divisor of {width}.")
        mlp = config.mlp or (max(1, width // 4) if joint else 4 * width)
        self.structure_dropout, self.modality_dropout = config.structure_dropout, config.modality_dropout
        self.pool = TokenPool(width, config.structure_tokens, config.modality_tokens, config.token_init, config.seed)
        self.fusion = FUSIONS[config.fusion](sizes.width, width, config.blocks, heads, mlp)
        inputs = config.structure_tokens * width
        hidden = config.hidden or inputs
        self.additive = (
            AdditivePrototypes(inputs, hidden, sizes, config.scale) if config.prototype == "additive" else None
        )
        self.multiplicative = (
            MultiplicativePrototypes(inputs, hidden, sizes) if config.prototype == "multiplicative" else None
        )
        self.head = ModalityHead(width, len(CLASSES)) if config.auxiliary_weight else None

    def forward(
        self, image: Tensor, modalities: Sequence[str | None], structures: Sequence[str | None]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Fuse; in training mode structures and modalities are hidden at random, by torch's generator.

        Args:
            image: (P, N, C).
            modalities, structures: one a prompt, with tokens in the pool; None = not known.

        Returns:
            Adapted image (P, N, C), posteriors of modalities (P, M, w) and of structures (P, T, w).
        """
        if self.training:
            modalities, structures = hide(modalities, self.modality_dropout), hide(structures, self.structure_dropout)
        fused: tuple[Tensor, Tensor, Tensor] = self.fusion(
            image.to(self.fusion.up.weight.dtype),
            self.pool("modalities", modalities),
            self.pool("structures", structures),
        )
        return fused[0].to(image.dtype), fused[1], fused[2]

    def numbers(self) -> dict[str, int]:
        """Trained values by part.

        Returns:
            fusion, prototype, pool (tokens of known names), unknown (tokens of what is not known), start (the layer
            that lets the image leave as it came), head.
        """
        counts = dict.fromkeys(("fusion", "prototype", "pool", "unknown", "start", "head"), 0)
        for name, parameter in self.named_parameters():
            part, *rest = name.split(".")
            if part in ("additive", "multiplicative"):
                part = "prototype"
            elif part == "fusion" and rest[0] == "up":
                part = "start"
            elif part == "pool" and rest[-1] == key(UNKNOWN):
                part = "unknown"
            counts[part] += parameter.numel()
        return counts


def hide(names: Sequence[str | None], share: float) -> list[str | None]:
    """Names, each replaced by None with this chance."""
    is_hidden = (torch.rand(len(names), device="cpu") < share).tolist()
    return [None if gone else name for name, gone in zip(names, is_hidden, strict=True)]
