"""A SAM network as a Backbone: one slice in eight-bit numbers, prompts in its pixels, masks at the decoder's size.

The strategy "slices" cuts and resizes slices; what is left to a network is here: the numbers' scale, the form in which
it reads an earlier answer, and which of its masks is the answer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import PromptError
from ...imaging.prompts import PromptKind
from ...imaging.resizing import Resizing
from ...vocabulary import Context, Modality
from ..backbone import ABSENT, PADDING, BackboneModule, Features, Masks, PromptBatch
from ..sam_decoder import DECODER_LAYERS, DECODER_PARAMETERS, MASKS, Entrances, SamMaskDecoder
from ..spec import Adaptation, DecoderSizes, Spec
from .config import COLOUR_DEVIATIONS, COLOUR_MEANS, Preparation, SamConfig
from .image_encoder import SamImageEncoder
from .prompt_encoder import SamPromptEncoder
from .tiny_vit import TinyViT

_RESIZING: dict[Preparation, Resizing] = {
    "sam": "bilinear",
    "sam_med2d": "nearest",
    "medsam": "bicubic",
    "lite_medsam": "area",
}
_BOX = frozenset({PromptKind.BOX})
_ALL = frozenset({PromptKind.POINT, PromptKind.BOX, PromptKind.MASK})

_LAYER_GROUPS = {
    "encoder.qkv": ("image_encoder.**.attn.qkv",),
    "encoder.out": ("image_encoder.**.attn.proj",),
    "encoder.mlp": ("image_encoder.**.mlp.*",),
    "encoder": ("encoder.qkv", "encoder.out", "encoder.mlp"),
    **DECODER_LAYERS,
    "decoder": ("decoder.self_attention", "decoder.cross_attention", "decoder.mlp"),
    "convolutions": ("image_encoder.**.c",),
}


class Sam(BackboneModule):
    """SAM, SAM-Med2D, MedSAM or LiteMedSAM, by its config; its parameters have the names of the published files."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = TinyViT(config) if config.encoder == "tiny_vit" else SamImageEncoder(config)
        self.prompt_encoder = SamPromptEncoder(config)
        self.mask_decoder = SamMaskDecoder(
            config.out, config.decoder_depth, config.decoder_heads, config.decoder_mlp, config.iou_hidden, dimensions=2
        )
        box_only = config.preparation in ("medsam", "lite_medsam")
        layers = self._adaptable()
        self.spec = Spec(
            window=(1, config.image, config.image),
            accepts=_BOX if box_only else _ALL,
            intensity="eight_bits",
            framing="slices",
            axis="z",
            keep_aspect=config.preparation in ("sam", "lite_medsam"),
            resizing=_RESIZING[config.preparation],
            previous=None if box_only else (1, config.lowres, config.lowres),
            adaptable=layers,
            block_parts=self._block_parts(),
            attends_grids=config.encoder == "vit",
            encoding=tuple(name for name in layers if name.startswith("image_encoder")),
            layer_groups=_LAYER_GROUPS,
            parameter_groups=DECODER_PARAMETERS,
            adaptation=Adaptation(("linear",)),
            decoder=DecoderSizes(config.out, MASKS, config.out // 8),
        )

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """See BackboneModule.blocks."""
        encoder = self.image_encoder
        return tuple(encoder.get_submodule("layers" if self.config.encoder == "tiny_vit" else "blocks").children())

    def train(self, mode: bool = True) -> "Sam":
        """Batch norms keep the published statistics: a few slices would spoil them."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def _block_parts(self) -> tuple[tuple[str, str], ...]:
        """Attention and perceptron of each transformer block of the encoder."""
        names = dict(self.named_modules())
        blocks = (
            name.removesuffix(".attn") for name in names if name.startswith("image_encoder.") and name.endswith(".attn")
        )
        return tuple((f"{block}.attn", f"{block}.mlp") for block in blocks)

    def _adaptable(self) -> tuple[str, ...]:
        """Linear layers of the encoder and the two-way transformer, and the tiny encoder's convolutions."""
        inside = ("image_encoder.", "mask_decoder.transformer.")
        return tuple(
            name
            for name, module in self.named_modules()
            if name.startswith(inside)
            and (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1))
            and not name.startswith("image_encoder.neck")
        )

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """(B, 1, 1, S, S) from 0 to 255, -1 where no image is -> tokens (B, N, C) of a grid (1, g, g)."""
        embedding = self.image_encoder(self.scaled(images[:, 0, 0]))
        grid = (1, embedding.shape[-2], embedding.shape[-1])
        return Features(embedding.flatten(2).transpose(1, 2), grid, (), tuple(modalities))

    def scaled(self, slices: Tensor) -> Tensor:
        """(B, S, S) from 0 to 255, -1 where no image is -> (B, 3, S, S) as in training, 0 in the padding."""
        outside = slices < 0
        values = slices if self.config.preparation == "sam_med2d" else (slices + 0.5).floor()  # bytes, resized
        if self.config.preparation in ("sam", "sam_med2d"):
            mean, deviation = (
                values.new_tensor(numbers)[:, None, None] for numbers in (COLOUR_MEANS, COLOUR_DEVIATIONS)
            )
            coloured = (values[:, None] - mean) / deviation
        else:
            low = values.masked_fill(outside, torch.inf).amin((1, 2), keepdim=True)
            high = values.masked_fill(outside, -torch.inf).amax((1, 2), keepdim=True)
            grey = (values - low) / (high - low).clamp_min(1e-8)
            coloured = grey[:, None].expand(-1, 3, -1, -1)
        return coloured.masked_fill(outside[:, None], 0.0)

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; logits come at (1, 4 g, 4 g).

        Raises:
            PromptError: a text, which no network of this family reads.
        """
        if any(structure is not None for structure in prompts.structures):
            raise PromptError("the SAM family reads no text; give points or a box.")
        sparse, present = self._sparse(prompts)
        _, height, width = features.grid
        image = features.tokens.transpose(1, 2).unflatten(2, (height, width))
        logits, overlaps = self.mask_decoder(
            image,
            self.prompt_encoder.grid_code(),
            sparse,
            self._dense(prompts),
            prompts.image_index,
            None if bool(present.all()) else present,
            Entrances.of(self.hooks, contexts),
        )
        logits, overlaps = self._chosen(logits, overlaps, multimask=multimask)
        return Masks(logits[:, :, None], overlaps, self.spec.window)

    def _chosen(self, logits: Tensor, overlaps: Tensor, *, multimask: bool) -> tuple[Tensor, Tensor]:
        """The alternatives, or the answer: the first mask, and for SAM-Med2D the alternative it trusts most."""
        if multimask:
            return logits[:, 1:], overlaps[:, 1:]
        if self.config.preparation != "sam_med2d":
            return logits[:, :1], overlaps[:, :1]
        rows = torch.arange(len(logits), device=logits.device)
        best = 1 + overlaps[:, 1:].argmax(dim=1)
        return logits[rows, best][:, None], overlaps[rows, best][:, None]

    def _sparse(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Tokens (P, T, C) of points, of a filler behind points without a box, of corners; (P, T) which are real."""
        encoder, count = self.prompt_encoder, len(prompts)
        like = encoder.no_mask_embed.weight
        tokens, present = [like.new_zeros(count, 0, self.config.out)], [like.new_zeros(count, 0, dtype=torch.bool)]
        boxed = like.new_zeros(count, dtype=torch.bool)
        boxes = prompts.boxes
        if boxes is not None:
            boxed = ~boxes.isnan().any(dim=1)
        if prompts.points is not None and prompts.labels is not None:
            labels, places = prompts.labels, prompts.points[..., [2, 1]].to(like)
            pointed = (labels >= 0).any(dim=1)
            tokens.append(encoder.point_tokens(places, labels.clamp_min(PADDING)))
            present.append(labels != ABSENT)
            filler = encoder.not_a_point_embed.weight.expand(count, 1, -1)
            tokens.append(filler)
            present.append((pointed & ~boxed)[:, None])
        if boxes is not None:
            corners = boxes.nan_to_num(0.0)[:, [2, 1, 5, 4]].to(like)
            if self.config.preparation == "lite_medsam":
                corners = corners.trunc()
            tokens.append(encoder.box_tokens(corners))
            present.append(boxed[:, None].expand(-1, 2))
        return torch.cat(tokens, dim=1), torch.cat(present, dim=1)

    def _dense(self, prompts: PromptBatch) -> Tensor:
        """(P, C, g, g) of the earlier answers, or (1, C, 1, 1) where there are none."""
        if prompts.masks is None:
            return self.prompt_encoder.dense(None)
        masks = prompts.masks[:, :, 0]
        has_mask = ~masks.flatten(1).isnan().any(dim=1)
        mask_logits = masks.nan_to_num(0.0)
        if self.config.preparation == "sam_med2d":
            mask_logits = mask_logits.sigmoid()
        embedded = self.prompt_encoder.dense(mask_logits)
        return torch.where(has_mask[:, None, None, None], embedded, self.prompt_encoder.dense(None))
