"""SegVol: encode a volume once, then decode any number of text, point and box prompts from it.

Source: Du et al., NeurIPS 2024, arXiv:2311.13385. The published network and segvol-mini are two configs of this.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import PromptError, VolumeError
from ...imaging.prompts import PromptKind
from ...vocabulary import Context, Modality, Wording, require_known, sentence
from ..backbone import Adaptation, BackboneModule, DecoderSizes, Features, Masks, PromptBatch, Spec
from .config import SegVolConfig
from .dense_prompts import DensePrompts
from .image_encoder import ImageEncoder
from .layer_groups import LAYER_GROUPS, PARAMETER_GROUPS
from .mask_decoder import MASKS, MaskDecoder
from .pixel_decoder import PixelDecoder
from .prompt_encoder import PromptEncoder, named
from .text_encoder import TextEncoder
from .tokenizer import Tokenizer

_CONVOLUTIONS = ("stem", "pixels", "dense", "upscaling")


class SegVol(BackboneModule):
    """A promptable network for volumes (D, H, W), see Backbone.

    Args:
        config: every size and setting.
        tokenizer: of the text tower; without it everything but text works.
    """

    def __init__(self, config: SegVolConfig, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.dense_prompts = DensePrompts(config) if config.dense_prompts else None
        self.pixel_decoder = _pixel_decoder(config)
        self.text_encoder = TextEncoder(config.text, config.width, tokenizer) if config.text else None
        positions = self.image_encoder.patch_embedding.position_embeddings
        if config.start.position > 0 and not positions.is_meta:  # an outline has shapes alone
            with torch.no_grad():
                positions.copy_(config.start.position * self.prompt_encoder.grid_code()[None])
        groups = self.adaptable_groups
        kinds = {PromptKind.POINT, PromptKind.BOX} | ({PromptKind.TEXT} if config.text else set())
        self.spec = Spec(
            window=config.window,
            accepts=frozenset(kinds),
            intensity=config.intensity,
            framing="zoom",
            adaptable=tuple(
                name
                for group in ("encoder", "decoder", "stem", "pixels", "dense", "upscaling")
                for name in groups[group]
            ),
            encoding=(*groups["encoder"], *groups["stem"], *groups["pixels"]),
            words=groups["text"],
            layer_groups=LAYER_GROUPS,
            parameter_groups=PARAMETER_GROUPS,
            adaptation=_adaptation(any(groups[part] for part in _CONVOLUTIONS)),
            structures=config.structures,
            exchanged_greys=config.exchanged_greys,
            windows=config.windows,
            decoder=DecoderSizes(config.width, MASKS, config.width // 8, _finest(config)),
        )

    @classmethod
    def fresh(cls, config: SegVolConfig, seed: int, tokenizer: Tokenizer | None = None) -> "SegVol":
        """A network to train from scratch: the same seed gives the same weights, and no other stream is disturbed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return cls(config, tokenizer)

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """See BackboneModule.blocks: those of the image encoder."""
        return tuple(self.image_encoder.blocks)

    @property
    def tokenizer(self) -> Tokenizer | None:
        """Of the text tower; None without one."""
        return None if self.text_encoder is None else self.text_encoder.tokenizer

    @property
    def encoder(self) -> ImageEncoder:
        """What an encoding runs through; its parameters' names begin with `layer_groups.ENCODER`."""
        return self.image_encoder

    def name_vectors(self, names: Sequence[str]) -> Tensor | None:
        """See BackboneModule.name_vectors: of the sentences in which its prompts put them."""
        if self.text_encoder is None or self.text_encoder.tokenizer is None:
            return None
        with torch.no_grad():
            return self.text_encoder.encode([self._sentence_of(name) for name in names])

    def _sentence_of(self, name: str) -> str:
        modality = next((each for each in Modality if each.value == name), None)
        if modality is None:
            return sentence(name, None, self.config.template)
        return sentence("body", modality, "modality")

    @property
    def adaptable_groups(self) -> dict[str, tuple[str, ...]]:
        """Dotted names of the linear and Conv3d layers by part.

        The parts are encoder, decoder, stem, pixels, dense, upscaling, heads and text.

        `spec.adaptable` holds all but the last two, `spec.words` the last. Transposed convolutions are in none: peft
        cannot wrap them.
        """
        prefixes = {
            "encoder": ("image_encoder.blocks.", "image_encoder.patch_embedding.patch_embeddings."),
            "decoder": ("mask_decoder.transformer.",),
            "stem": ("image_encoder.patch_embedding.stem.",),
            "pixels": ("pixel_decoder.",),
            "dense": ("dense_prompts.",),
            "upscaling": ("mask_decoder.high_resolution.",),
            "heads": (
                "mask_decoder.output_hypernetworks_mlps.",
                "mask_decoder.iou_prediction_head.",
                "mask_decoder.txt_",
            ),
            "text": ("text_encoder.",),
        }
        layers = [name for name, layer in self.named_modules() if isinstance(layer, (nn.Linear, nn.Conv3d))]
        return {group: tuple(name for name in layers if name.startswith(starts)) for group, starts in prefixes.items()}

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """See Backbone.encode.

        Raises:
            VolumeError: the images are not (B, 1, *window), or the modalities are not one an image.
        """
        if images.shape[1:] != (1, *self.config.window) or len(images) != len(modalities):
            raise VolumeError(
                f"images of shape {tuple(images.shape)} with {len(modalities)} modalities cannot be encoded; "
                f"this network needs (B, 1, {', '.join(map(str, self.config.window))}) and one modality an image."
            )
        tokens, skips = self.image_encoder(images)
        if self.pixel_decoder is not None:
            skips = self.pixel_decoder(tokens, self.config.grid, skips)
        return Features(tokens, self.config.grid, skips, tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode.

        Raises:
            VocabularyError: a structure is not among those the text tower was trained on.
            PromptError: a kind of prompt that this network does not accept.
            CheckpointError: text was given to a network without tokenizer.
        """
        return self.decode_tokens(
            features, prompts, contexts, text=self.text_tokens(prompts, contexts), multimask=multimask
        )

    def text_tokens(self, prompts: PromptBatch, contexts: Sequence[Context]) -> Tensor | None:
        """(P, C): the text token of each prompt, anything where it has no text; None when none has.

        The sentence around a structure is the config's template for the modality in the prompt's context, unless the
        prompt is worded otherwise.
        """
        wordings = prompts.wordings or (None,) * len(prompts)
        sentences = [
            None if structure is None else self._sentence(structure, context, wording)
            for structure, context, wording in zip(prompts.structures, contexts, wordings, strict=True)
        ]
        filler = next((text for text in sentences if text is not None), None)
        if filler is None:
            return None
        if self.text_encoder is None:
            raise PromptError("this network accepts no text; prompt it by point or box.")
        return self.text_encoder.encode([text or filler for text in sentences])

    def decode_tokens(
        self,
        features: Features,
        prompts: PromptBatch,
        contexts: Sequence[Context],
        *,
        text: Tensor | None = None,
        multimask: bool = False,
    ) -> Masks:
        """Decode with text tokens (P, C) that are already at the decoder's width; see `decode` and `text_tokens`."""
        if prompts.masks is not None:
            raise PromptError("SegVol accepts no mask as a prompt; use text, points or a box.")
        device = features.tokens.device
        rows = prompts.image_index.to(device)
        sparse, present = self.prompt_encoder(prompts, text)
        dense = None if self.dense_prompts is None else self.dense_prompts(prompts)
        image, shared, state = features.tokens, True, None
        fuse, adapt, blend = self.hooks.fuse, self.hooks.mask_tokens, self.hooks.mask_vectors
        if fuse is not None:
            (image, state), shared = fuse(image[rows], contexts), False
        image = image + self.prompt_encoder.no_mask()
        if dense is not None:
            image, shared = (image[rows] if shared else image) + dense.tokens, False
        logits, iou = self.mask_decoder(
            image,
            self.prompt_encoder.grid_code(),
            sparse,
            present,
            rows=rows,
            shared=shared,
            skips=features.skips,
            dense=dense,
            text=text,
            texts=named(prompts, device),
            multimask=multimask,
            adapt=None if adapt is None else lambda tokens: adapt(tokens, contexts, state),
            blend=None if blend is None else lambda vectors: blend(vectors, contexts, state),
        )
        return Masks(logits, iou, self.config.window)

    def _sentence(self, structure: str, context: Context, wording: Wording | None = None) -> str:
        """What the text tower reads; another name than the structure's own only where the tokenizer knows its words."""
        known = require_known(structure, self.spec.structures) if self.spec.structures else structure
        if wording is None:
            return sentence(known, context.modality, self.config.template)
        tokenizer = None if self.text_encoder is None else self.text_encoder.tokenizer
        name = wording.name
        if name is None or tokenizer is None or not tokenizer.knows(name):
            name = known
        return sentence(name, context.modality, wording.template or self.config.template)


def _finest(config: SegVolConfig) -> int | None:
    """Channels of the finest map that its stem hands on."""
    return config.stem.channels[-2] if config.high_resolution and config.stem is not None else None


def _pixel_decoder(config: SegVolConfig) -> PixelDecoder | None:
    if config.pixel_decoder is None or config.stem is None:
        return None
    return PixelDecoder(config.pixel_decoder, config.width, (config.stem.channels[-1], config.stem.channels[-2]))


def _adaptation(convolutions: bool) -> Adaptation:
    """LoRA on linear layers alone made boxes worse, so convolutions, where there are some, and norms join."""
    return Adaptation(("linear", "convolutions") if convolutions else ("linear",), ("norms",))
