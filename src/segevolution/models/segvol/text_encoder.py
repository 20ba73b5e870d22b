"""Sentences to text tokens: CLIP's text transformer at any size, then a linear layer to the decoder's width."""

from collections.abc import Sequence

from torch import Tensor, nn

from ...errors import CheckpointError
from .config import TextConfig
from .text_tower import TextTower
from .tokenizer import END, Tokenizer


class TextEncoder(nn.Module):
    """A sentence's token is the transformer's output at its end-of-text token, projected.

    Args:
        config: sizes, and what of it is trained.
        width: of the decoder's tokens.
        tokenizer: None for a network whose text files are absent; everything but text then works.
    """

    def __init__(self, config: TextConfig, width: int, tokenizer: Tokenizer | None = None) -> None:
        super().__init__()
        if tokenizer is not None and tokenizer.size > config.vocabulary:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.size} tokens, the text tower only {config.vocabulary}; "
                "they belong to different models."
            )
        self.tokenizer = tokenizer
        self.positions = config.positions
        self.clip_text_model = TextTower(
            vocabulary=config.vocabulary,
            width=config.width,
            mlp=config.mlp,
            layers=config.layers,
            heads=config.heads,
            positions=config.positions,
            end=END if config.kind == "words" else config.vocabulary - 1,
        )
        self.dim_align = nn.Linear(config.width, width)
        self.clip_text_model.requires_grad_(config.train_tower)
        self.dim_align.requires_grad_(config.train_alignment)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """T sentences -> (T, C); equal sentences are computed once.

        Raises:
            CheckpointError: the network came without its tokenizer.
        """
        if self.tokenizer is None:
            raise CheckpointError(
                "this model came without its tokenizer, so text prompts cannot be read; "
                "put CLIP's tokenizer files into the model folder, or prompt by point or box."
            )
        distinct = list(dict.fromkeys(texts))
        device = self.dim_align.weight.device
        tokens: Tensor = self(self.tokenizer(distinct).to(device))
        return tokens[[distinct.index(text) for text in texts]]

    def forward(self, ids: Tensor) -> Tensor:
        """(T, L) token ids -> (T, C). Attention is causal, so filling behind the end of a text changes nothing."""
        pooled: Tensor = self.clip_text_model(ids[:, : self.positions])
        aligned: Tensor = self.dim_align(pooled)
        return aligned
