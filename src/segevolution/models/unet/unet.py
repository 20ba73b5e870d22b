"""MONAI's DynUNet as a Backbone: an automatic network that is asked for its own structures by name.

Source: Isensee et al. 2021 (nnU-Net), as MONAI's DynUNet builds its network. It has no prompts, so an encoding is the
whole network: the scores of all its classes, of which a text chooses one.

It needs `pip install segevolution[unet]`.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import CheckpointError, PromptError
from ...imaging.prompts import PromptKind
from ...vocabulary import Context, Modality, require_known
from ..backbone import BackboneModule, Features, Masks, PromptBatch
from ..spec import Spec
from .config import UnetConfig

_TWICE = ("input_block", "downsamples", "bottleneck", "upsamples", "deep_supervision_heads")
"""Parts that DynUNet holds under `skip_layers` as well, which alone is called; a file holds each tensor once."""


class Unet(BackboneModule):
    """A U-Net with one class a structure.

    A structure's logits are its log odds against all other classes, so that it is foreground where it is likelier
    than all of them together. There is no estimate of the overlap.

    Args:
        config: every size.

    Raises:
        CheckpointError: MONAI is not installed.
    """

    def __init__(self, config: UnetConfig) -> None:
        super().__init__()
        self.config = config
        self.network = _dyn_unet(config)
        self.spec = Spec(
            window=config.window,
            accepts=frozenset({PromptKind.TEXT}),
            intensity=config.intensity,
            framing="sliding",
            spacing=config.spacing,
            estimates_overlap=False,
            structures=config.structures,
        )

    def scores(self, images: Tensor) -> list[Tensor]:
        """(B, 1, D, H, W) -> scores (B, 1 + structures, d, h, w) of all classes at each resolution, the finest first.

        The coarser ones are those of deep supervision; there are none in eval mode.
        """
        network: Any = self.network
        finest = network.output_block(network.skip_layers(images))
        return [finest, *network.heads] if self.training else [finest]

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """The scores of all classes, as the only map; the tokens hold nothing."""
        return Features(images.new_zeros(len(images), 1, 1), (1, 1, 1), (self.scores(images)[0],), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; the same answer for each of three alternatives.

        Raises:
            PromptError: a prompt that names no structure.
            VocabularyError: a structure that it was not trained on.
        """
        known = self.config.structures
        if any(name is None for name in prompts.structures):
            raise PromptError("an automatic U-Net is asked for a structure by its name; give text.")
        classes = [1 + known.index(require_known(name or "", known)) for name in prompts.structures]
        scores = features.skips[0][prompts.image_index].float()
        chosen = torch.tensor(classes, device=scores.device)
        rows = torch.arange(len(classes), device=scores.device)
        own = scores[rows, chosen]
        others = scores.clone()
        others[rows, chosen] = -torch.inf
        logits = (own - others.logsumexp(dim=1))[:, None].expand(-1, 3 if multimask else 1, -1, -1, -1)
        return Masks(logits, logits.new_full(logits.shape[:2], 0.5), self.spec.window)


def _dyn_unet(config: UnetConfig) -> nn.Module:
    """MONAI's network; of its coarser scores the two coarsest decoder stages have none, as nnU-Net weighs them 0."""
    if find_spec("monai") is None:
        raise CheckpointError(
            "an automatic U-Net needs MONAI, which is not installed; pip install 'segevolution[unet]'."
        )
    made: nn.Module = import_module("monai.networks.nets.dynunet").DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1 + len(config.structures),
        kernel_size=config.kernels,
        strides=config.strides,
        upsample_kernel_size=config.strides[1:],
        filters=config.features,
        deep_supervision=True,
        deep_supr_num=max(1, len(config.features) - 3),
    )
    for name in _TWICE:
        delattr(made, name)
    return made
