"""The parts of a SAM network together, in the terms of its papers: pixels of a square input, (x, y) coordinates."""

import torch
from torch import Tensor, nn

from ..sam_decoder import SamMaskDecoder
from .config import SamConfig
from .image_encoder import SamImageEncoder
from .prompt_encoder import SamPromptEncoder
from .tiny_vit import TinyViT


class SamNetwork(nn.Module):
    """Image encoder, prompt encoder and mask decoder, under the names of the published files."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = TinyViT(config) if config.encoder == "tiny_vit" else SamImageEncoder(config)
        self.prompt_encoder = SamPromptEncoder(config)
        self.mask_decoder = SamMaskDecoder(
            config.out, config.decoder_depth, config.decoder_heads, config.decoder_mlp, config.iou_hidden, dimensions=2
        )

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, S, S), prepared as `preparation.py` does -> (B, C, g, g)."""
        embedded: Tensor = self.image_encoder(images)
        return embedded

    def masks(
        self,
        embedding: Tensor,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Answer P prompts about one image.

        Args:
            embedding: (1, C, g, g).
            points, labels: (P, N, 2) pixels of the square and (P, N): 1 positive, 0 negative, -1 filler.
            boxes: (P, 4) x0, y0, x1, y1.
            masks: (P, 1, 4 g, 4 g), an earlier answer in the form that the network was trained with.

        Returns:
            Logits (P, 4, 4 g, 4 g) and predicted overlaps (P, 4): the one mask, then three alternatives.
        """
        given = next((part for part in (points, boxes, masks) if part is not None), None)
        count = 1 if given is None else len(given)
        if points is None and boxes is None:
            sparse = embedding.new_zeros(count, 0, self.config.out)
        else:
            sparse = self.prompt_encoder.sparse(points, labels, boxes)
        rows = torch.zeros(count, dtype=torch.int64, device=embedding.device)
        decoded: tuple[Tensor, Tensor] = self.mask_decoder(
            embedding, self.prompt_encoder.grid_code(), sparse, self.prompt_encoder.dense(masks), rows
        )
        return decoded
