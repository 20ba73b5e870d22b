"""nnInteractive's network as a Backbone.

It reads prompts as channels of its input, so nothing can be encoded before they are known: an encoding is the image
itself, and every decoding runs the whole network. The strategy "autozoom" draws the channels; a window that comes with
coordinates alone, as in training, is drawn here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import PromptError
from ...imaging.grid import Triple
from ...imaging.prompts import PromptKind
from ...vocabulary import Context, Modality
from ..backbone import NEGATIVE, POSITIVE, BackboneModule, Features, Masks, PromptBatch
from ..prompt_maps import CHANNELS, DrawnPrompt, MapKind, PromptMaps, Stroke, flat
from ..spec import Adaptation, Spec
from .config import NnInteractiveConfig
from .unet import ResidualEncoder, UNetDecoder

_ENCODER = ("encoder.stages.*.blocks.*.conv1.conv", "encoder.stages.*.blocks.*.conv2.conv")
_DECODER = ("decoder.stages.*.convs.0.conv",)


class NnInteractive(BackboneModule):
    """The network behind nnInteractive (Isensee et al. 2025, arXiv:2503.08373), under its checkpoint's names.

    It gives one answer, which is also each of the three alternatives, and no estimate of its overlap.
    """

    def __init__(self, config: NnInteractiveConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or NnInteractiveConfig()
        self.encoder = ResidualEncoder(config.features, config.blocks)
        self.decoder = UNetDecoder(config.features)
        layers = tuple(
            name
            for name, module in self.named_modules()
            if isinstance(module, nn.Conv3d) and ".stages." in name and "skip" not in name
        )
        head = f"decoder.seg_layers.{len(config.features) - 2}"
        self.spec = Spec(
            window=config.patch,
            accepts=frozenset(PromptKind) - {PromptKind.TEXT},
            intensity="nonzero_box_z_score",
            framing="autozoom",
            previous=config.patch,
            maps=PromptMaps(config.point_radius, config.decay),
            estimates_overlap=False,
            adaptable=layers,
            layer_groups={"encoder": _ENCODER, "decoder": _DECODER, "convolutions": (*_ENCODER, *_DECODER)},
            parameter_groups={"decoder": ("decoder.**",), "head": (f"{head}.**",)},
            adaptation=Adaptation(("convolutions",), ("norms", "head")),
        )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """See BackboneModule.blocks."""
        return tuple(self.encoder.stages.children())

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """(B, 1, D, H, W) -> the same voxels as tokens (B, N, 1)."""
        return Features(images.flatten(2).transpose(1, 2), self.config.patch, (), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; logits come at the window's size: foreground's less background's.

        Raises:
            PromptError: a text, which it does not read.
        """
        if any(structure is not None for structure in prompts.structures):
            raise PromptError("nnInteractive reads no text; give points, a box, a scribble or a lasso.")
        images = features.tokens.transpose(1, 2).unflatten(2, features.grid)[prompts.image_index]
        maps = drawn_window(prompts, features.grid, self.spec) if prompts.maps is None else prompts.maps
        scores = self.decoder(self.encoder(torch.cat([images, maps.to(images)], dim=1)))
        masks = 3 if multimask else 1
        logits = (scores[:, 1:] - scores[:, :1]).expand(-1, masks, -1, -1, -1)
        return Masks(logits, logits.new_full(logits.shape[:2], 0.5), self.spec.window)


def drawn_window(prompts: PromptBatch, window: Triple, spec: Spec) -> Tensor:
    """(P, 7, D, H, W): the earlier answer and the channels of prompts that come as coordinates of one window.

    The oldest is the box, then lasso and scribbles, then points in their order.
    """
    assert spec.maps is not None
    device = prompts.image_index.device
    maps = torch.zeros(len(prompts), 1 + CHANNELS, *window, device=device)
    if prompts.masks is not None:
        maps[:, :1] = (prompts.masks > 0).to(maps)  # where there is none it is NaN, which is not above 0
    for row in range(len(prompts)):
        drawn_prompt = DrawnPrompt(_strokes(prompts, row, spec.maps), spec.maps)
        for channel in range(CHANNELS):
            values = drawn_prompt.seen(channel, (0, 0, 0), window, device)
            if values is not None:
                maps[row, 1 + channel] = values
    return maps


def _strokes(prompts: PromptBatch, row: int, settings: PromptMaps) -> list[Stroke]:
    strokes: list[Stroke] = []
    if prompts.boxes is not None and not bool(prompts.boxes[row].isnan().any()):
        low, high = prompts.boxes[row].round().long().cpu().reshape(2, 3)
        strokes.append(Stroke(MapKind.REGION, True, flat(low.tolist(), (high + 1).tolist())))
    if prompts.regions is not None:
        for place, kind in ((2, MapKind.REGION), (0, MapKind.SCRIBBLE)):
            for sign in (0, 1):
                voxels = torch.nonzero(prompts.regions[row, place + sign]).cpu()
                if len(voxels):
                    strokes.append(Stroke.filled(kind, voxels, positive=sign == 0))
    if prompts.points is not None and prompts.labels is not None:
        for point, label in zip(prompts.points[row].tolist(), prompts.labels[row].tolist(), strict=True):
            if label in (POSITIVE, NEGATIVE):
                strokes.append(Stroke.point(point, positive=label == POSITIVE, radius=settings.point_radius))
    return strokes
