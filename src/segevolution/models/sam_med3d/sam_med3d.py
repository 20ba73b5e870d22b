"""SAM-Med3D as a Backbone: windows at 1.5 mm round a click, clicks in turn with the earlier answer.

The network's axes are (x, y, z), the seam's (d, h, w) = (z, y, x); both are turned here and nowhere else.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import PromptError
from ...imaging.prompts import PromptKind
from ...vocabulary import Context, Modality
from ..backbone import BackboneModule, Features, Masks, PromptBatch
from ..sam_decoder import DECODER_LAYERS, DECODER_PARAMETERS, MASKS, Entrances, SamMaskDecoder
from ..spec import Adaptation, DecoderSizes, Spec
from .config import SPACING, SamMed3dConfig
from .image_encoder import SamMed3dImageEncoder
from .prompt_encoder import SamMed3dPromptEncoder

ALTERNATIVES = 3
_LAYER_GROUPS = {
    "encoder.qkv": ("image_encoder.blocks.*.attn.qkv",),
    "encoder.out": ("image_encoder.blocks.*.attn.proj",),
    "encoder.mlp": ("image_encoder.blocks.*.mlp.*",),
    "encoder": ("image_encoder.blocks.**",),
    **DECODER_LAYERS,
    "decoder": ("mask_decoder.transformer.**",),
}


class SamMed3d(BackboneModule):
    """SAM-Med3D (Wang et al. 2023, arXiv:2310.15161), under its published names.

    Only its first mask was ever trained. It is the answer and each of the three alternatives, and its predicted overlap
    is no estimate: `Spec.estimates_overlap` is False.
    """

    def __init__(self, config: SamMed3dConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SamMed3dConfig()
        self.image_encoder = SamMed3dImageEncoder(config)
        self.prompt_encoder = SamMed3dPromptEncoder(config)
        self.mask_decoder = SamMaskDecoder(
            config.out, config.decoder_depth, config.decoder_heads, config.decoder_mlp, config.iou_hidden, dimensions=3
        )
        layers = tuple(
            name
            for name, module in self.named_modules()
            if isinstance(module, nn.Linear) and name.startswith(("image_encoder.", "mask_decoder.transformer."))
        )
        self.spec = Spec(
            window=(config.image,) * 3,
            accepts=frozenset({PromptKind.POINT, PromptKind.MASK}),
            intensity="scaled_signal",
            framing="click",
            spacing=(SPACING,) * 3,
            previous=(config.lowres,) * 3,
            estimates_overlap=False,
            adaptable=layers,
            block_parts=tuple(
                (f"image_encoder.blocks.{number}.attn", f"image_encoder.blocks.{number}.mlp")
                for number in range(config.depth)
            ),
            encoding=tuple(name for name in layers if name.startswith("image_encoder")),
            layer_groups=_LAYER_GROUPS,
            parameter_groups=DECODER_PARAMETERS,
            adaptation=Adaptation(("linear",)),
            decoder=DecoderSizes(config.out, MASKS, config.out // 8),
        )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """See BackboneModule.blocks."""
        return tuple(self.image_encoder.blocks)

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """Scaled signal (B, 1, D, H, W), 0 outside the image -> tokens (B, N, C) of a grid (d, h, w)."""
        embedding = self.image_encoder(_turned(standardised(images)))
        tokens = _turned(embedding).flatten(2).transpose(1, 2)
        return Features(tokens, (self.config.grid,) * 3, (), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; logits come at a quarter of the window.

        Raises:
            PromptError: a text or a box, which it does not read.
        """
        boxed = prompts.boxes is not None and not bool(prompts.boxes.isnan().all())
        if boxed or any(structure is not None for structure in prompts.structures):
            raise PromptError("SAM-Med3D reads neither text nor boxes; give points.")
        points = None if prompts.points is None else prompts.points.flip(-1)
        sparse, present = self.prompt_encoder.sparse(points, prompts.labels, len(prompts))
        side = self.config.lowres
        mask_logits = sparse.new_zeros(len(prompts), 1, side, side, side)
        if prompts.masks is not None:
            mask_logits = _turned(prompts.masks.to(sparse).nan_to_num(0.0))
        logits, overlaps = self.mask_decoder(
            _turned(features.tokens.transpose(1, 2).unflatten(2, features.grid)).contiguous(),
            self.prompt_encoder.grid_code(),
            sparse,
            self.prompt_encoder.dense(mask_logits),
            prompts.image_index,
            None if bool(present.all()) else present,
            self._entrances(features.grid, contexts),
        )
        masks = ALTERNATIVES if multimask else 1
        answer = _turned(logits[:, :1]).expand(-1, masks, -1, -1, -1)
        return Masks(answer, overlaps[:, :1].expand(-1, masks), self.spec.window)

    def _entrances(self, grid: tuple[int, int, int], contexts: Sequence[Context]) -> Entrances:
        """The hooks' image tokens run as the seam's do, W fastest."""
        inner = Entrances.of(self.hooks, contexts)
        if inner.fuse is None:
            return inner
        fuse = inner.fuse

        def fused(tokens: Tensor) -> Tensor:
            return _reordered(fuse(_reordered(tokens, grid[::-1])), grid)

        return Entrances(fused, inner.adapt, inner.blend)


def standardised(images: Tensor) -> Tensor:
    """Zero mean and unit (unbiased) deviation over each window's voxels above 0; all of them where none is.

    Args:
        images: (B, 1, D, H, W), of a scale that does not matter; what lies outside the image is 0.
    """
    answers = []
    for image in images:
        body = image[image > 0]
        body = body if body.numel() > 1 else image.flatten()
        answers.append((image - body.mean()) / body.std().clamp_min(1e-8))
    return torch.stack(answers)


def _turned(values: Tensor) -> Tensor:
    """(B, C, d, h, w) <-> (B, C, x, y, z)."""
    return values.transpose(2, 4)


def _reordered(tokens: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Tokens (P, N, C) of a grid, its last axis fastest -> those of the turned grid."""
    cells: Tensor = tokens.unflatten(1, grid)
    return cells.transpose(1, 3).flatten(1, 3)
