"""The token pool of context priors: learned tokens for each structure, each modality, and for unknown ones.

A token's first values hang on its name and the seed alone, so that it starts the same in whatever company.
"""

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Literal
from urllib.parse import unquote

import torch
from torch import Tensor, nn

Start = Literal["random", "zero"]

UNKNOWN = ""
"""The name of the token for a structure, or modality, that is not known."""


class TokenPool(nn.Module):
    """Tokens by name. Each is a vector, so that a trainer which spares vectors spares it from weight decay.

    Args:
        width: w, channels of a token.
        structure_tokens, modality_tokens: T and M, tokens for each structure and for each modality.
        start, seed: see ContextPriorConfig.
    """

    def __init__(self, width: int, structure_tokens: int, modality_tokens: int, start: Start, seed: int) -> None:
        super().__init__()
        self.width, self.start, self.seed = width, start, seed
        self.counts = {"structures": structure_tokens, "modalities": modality_tokens}
        self.structures = nn.ParameterDict()
        self.modalities = nn.ParameterDict()
        self.add("structures", UNKNOWN)
        self.add("modalities", UNKNOWN)

    def add(self, kind: str, name: str, like: str | None = None) -> None:
        """Make the tokens of a name, if it has none.

        Args:
            kind: "structures" or "modalities".
            name: canonical.
            like: a name of the same kind, whose tokens it starts from; None draws them.
        """
        held_tokens = self._held(kind)
        if key(name) in held_tokens:
            return
        values = first(kind, name, self.counts[kind], self.width, self.start, self.seed)
        place = next(iter(held_tokens.values())).device if len(held_tokens) else values.device
        held_tokens[key(name)] = nn.Parameter(
            values.to(place) if like is None else held_tokens[key(like)].detach().clone()
        )

    def names(self, kind: str) -> tuple[str, ...]:
        """Those that have tokens, the unknown left out."""
        return tuple(name for name in map(name_of, self._held(kind)) if name != UNKNOWN)

    def forward(self, kind: str, names: Sequence[str | None]) -> Tensor:
        """P names -> (P, T, w), or (P, M, w) for modalities; None takes the tokens of the unknown."""
        held_tokens = self._held(kind)
        tokens = torch.stack([held_tokens[key(name or UNKNOWN)] for name in names])
        return tokens.view(len(names), self.counts[kind], self.width)

    def _held(self, kind: str) -> nn.ParameterDict:
        return {"structures": self.structures, "modalities": self.modalities}[kind]


def first(kind: str, name: str, tokens: int, width: int, start: Start, seed: int) -> Tensor:
    """(tokens * width,): the values that a token starts from, within the bound of Glorot and Bengio (2010)."""
    if start == "zero":
        return torch.zeros(tokens * width, device="cpu")
    digest = hashlib.sha256(f"{seed}/{kind}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    bound = math.sqrt(6 / (tokens + width))
    return torch.empty(tokens * width, device="cpu").uniform_(-bound, bound, generator=generator)


def key(name: str) -> str:
    """A name as torch takes it inside a parameter's name, whatever is in it."""
    return f"[{name.replace('%', '%25').replace('.', '%2E')}]"


def name_of(held: str) -> str:
    """The way back from `key`."""
    return unquote(held[1:-1])


def names_in(state: Iterable[str], prefix: str, kind: str) -> tuple[str, ...]:
    """Names that have tokens in a state whose keys of the pool begin with `prefix`, the unknown left out."""
    start = f"{prefix}{kind}."
    token_names = (name_of(entry.removeprefix(start)) for entry in state if entry.startswith(start))
    return tuple(name for name in token_names if name != UNKNOWN)
