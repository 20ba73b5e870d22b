"""The seam behind which a promptable 3-D network lives; everything above it speaks only these types.

Axis order inside a network is (D, H, W) = (Z, Y, X) of the canonical array. Coordinates are window voxels
(d, h, w), voxel centres at whole numbers. An image is encoded once; each prompt says which image it reads.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import PromptError
from ..imaging.grid import Triple
from ..imaging.prompts import PromptKind
from ..vocabulary import Context, Modality, Wording
from .spec import Adaptation, AnswerGroup, DecoderSizes, Spec, Windows

__all__ = [
    "ABSENT",
    "NEGATIVE",
    "PADDING",
    "POSITIVE",
    "Adaptation",
    "AnswerGroup",
    "Backbone",
    "BackboneModule",
    "Decode",
    "DecoderSizes",
    "Encode",
    "Features",
    "Hooks",
    "Masks",
    "PromptBatch",
    "Spec",
    "Triple",
    "Windows",
]

POSITIVE, NEGATIVE, PADDING, ABSENT = 1, 0, -1, -2


@dataclass(frozen=True)
class Features:
    """Encoded images.

    Attributes:
        tokens: (B, N, C), N = product of `grid`, W fastest.
        grid: (d, h, w) tokens along each axis.
        skips: high-resolution maps (B, c, d', h', w') of a convolutional stem, finest last; empty without one.
        modalities: one an image; a batch may mix.
        routing: (B, K) float, the weight of each of an adapter's K experts for each image, decided when it was
            encoded; None without such an adapter.
    """

    tokens: Tensor
    grid: Triple
    skips: tuple[Tensor, ...]
    modalities: tuple[Modality | None, ...]
    routing: Tensor | None = None

    @staticmethod
    def stack(parts: Sequence["Features"]) -> "Features":
        """Join encodings of the same network along the batch axis."""
        routings = [part.routing for part in parts if part.routing is not None]
        return Features(
            torch.cat([part.tokens for part in parts]),
            parts[0].grid,
            tuple(torch.cat(maps) for maps in zip(*(part.skips for part in parts), strict=True)),
            tuple(modality for part in parts for modality in part.modalities),
            torch.cat(routings) if len(routings) == len(parts) else None,
        )

    def rows(self, rows: Sequence[int]) -> "Features":
        """The encodings of some images, copied."""
        row_index = torch.tensor(rows, dtype=torch.int64, device=self.tokens.device)
        return Features(
            self.tokens[row_index],
            self.grid,
            tuple(skip[row_index] for skip in self.skips),
            tuple(self.modalities[row] for row in rows),
            None if self.routing is None else self.routing[row_index],
        )


@dataclass(frozen=True)
class PromptBatch:
    """Prompts for a batch of encodings; P prompts, any mixture of kinds.

    Attributes:
        image_index: (P,) int64, the row of Features that each prompt reads.
        structures: the structure named in each prompt's text; None = no text prompt.
        points: (P, N, 3) float, window voxels (d, h, w); None = no points at all.
        labels: (P, N) int64: 1 positive, 0 negative, -1 a padding token that the network does see,
            -2 a filler of this table that it does not.
        boxes: (P, 6) float (d0, h0, w0, d1, h1, w1), both corners included; a row of NaN = no box.
        masks: (P, 1, d, h, w) logits of an earlier answer, of the size that `Spec.previous` says; a row of NaN = none.
        wordings: how each text is put, for networks that read sentences; None = in the network's own words.
        regions: (P, 4, D, H, W) of 0 and 1 in window voxels: scribbled on the structure, off it, lasso on it, off it;
            None = nothing was drawn.
        maps: (P, 7, D, H, W) for a network of `Spec.maps`: the earlier answer, then the channels of `prompt_maps`, as
            it reads them in place of all the rest; None = it draws them itself.
    """

    image_index: Tensor
    structures: tuple[str | None, ...]
    points: Tensor | None = None
    labels: Tensor | None = None
    boxes: Tensor | None = None
    masks: Tensor | None = None
    wordings: tuple[Wording | None, ...] | None = None
    regions: Tensor | None = None
    maps: Tensor | None = None

    def __len__(self) -> int:
        return len(self.structures)

    def rows(self, rows: Sequence[int]) -> "PromptBatch":
        """Some of the prompts, which read the same images as before."""

        def chosen(values: Tensor | None) -> Tensor | None:
            return None if values is None else values[torch.tensor(rows, dtype=torch.int64, device=values.device)]

        return PromptBatch(
            self.image_index[torch.tensor(rows, dtype=torch.int64, device=self.image_index.device)],
            tuple(self.structures[row] for row in rows),
            chosen(self.points),
            chosen(self.labels),
            chosen(self.boxes),
            chosen(self.masks),
            None if self.wordings is None else tuple(self.wordings[row] for row in rows),
            chosen(self.regions),
            chosen(self.maps),
        )


@dataclass(frozen=True)
class Masks:
    """Answers to prompts.

    Attributes:
        logits: (P, M, d, h, w) at the decoder's own resolution; foreground is > 0. M is 1, or 3 alternatives.
        iou: (P, M), the network's own estimate of its overlap with the truth.
        window: (D, H, W), the size of the encoded window.
        auxiliary_loss: a scalar that the network adds to its training loss; None outside training, and for most.
    """

    logits: Tensor
    iou: Tensor
    window: Triple
    auxiliary_loss: Tensor | None = None

    def full(self) -> Tensor:
        """(P, M, D, H, W): logits upsampled trilinearly to the window; themselves where they have its size."""
        if self.logits.shape[2:] == self.window:
            return self.logits
        return functional.interpolate(self.logits, self.window, mode="trilinear", align_corners=False)


class Encode(Protocol):
    """An encoding."""

    def __call__(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """See Backbone.encode."""
        ...


class Decode(Protocol):
    """A decoding."""

    def __call__(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode."""
        ...


@dataclass
class Hooks:
    """Places where an adapter may enter a network; None leaves it bit for bit as it is.

    encode: (the network's own encoding, images, modalities) -> features; called in its place.
    decode: (the network's own decoding, features, prompts, contexts, multimask) -> masks; called in its place.
    recompute_context: () -> a context in which layers answer as they do at this moment. Gradient checkpointing asks
        for it now, and computes the layers again within it.

    Within a decoding:

    fuse: (image tokens (P, N, C), contexts) -> (image tokens, state); called once a decoding, before the decoder. The
        state is any value that the later hooks of the same decoding need, such as a posterior; the network only hands
        it on, so that two decodings never share it.
    mask_tokens: (mask tokens (P, M, C), contexts, state) -> mask tokens; called before the hypernetworks.
    mask_vectors: (vectors (P, m, c), contexts, state) -> vectors; called before their inner product with the upscaled
        features, which gives the logits of the m masks that are answered.

    In one decoding they are called in this order, with the same contexts; without `fuse` the state is None.
    """

    encode: Callable[[Encode, Tensor, Sequence[Modality | None]], Features] | None = None
    decode: Callable[[Decode, Features, PromptBatch, Sequence[Context], bool], Masks] | None = None
    recompute_context: Callable[[], AbstractContextManager[None]] | None = None
    fuse: Callable[[Tensor, Sequence[Context]], tuple[Tensor, Any]] | None = None
    mask_tokens: Callable[[Tensor, Sequence[Context], Any], Tensor] | None = None
    mask_vectors: Callable[[Tensor, Sequence[Context], Any], Tensor] | None = None


@runtime_checkable
class Backbone(Protocol):
    """A promptable 3-D network; implementations are torch.nn.Module subclasses (see BackboneModule)."""

    spec: Spec
    hooks: Hooks

    def encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """(B, 1, D, H, W), normalised as the Spec says -> features, which serve all prompts: no structure is told."""
        ...

    def decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """P prompts -> P masks (M = 1), or three alternatives each with `multimask`; one context a prompt."""
        ...


@dataclass
class AttachedAdapters:
    """The adapters of a network, see adapters/switch.py.

    Attributes:
        active: the one that it answers by at the moment; None for the bare base.
        standby: those that are attached and switched off.
        merge_count: how many have become part of it.
    """

    active: Any = None
    standby: list[Any] = field(default_factory=list)
    merge_count: int = 0


class BackboneModule(torch.nn.Module, ABC):
    """Base class of implementations: a Module that is a Backbone. Subclasses define `_encode` and `_decode`.

    Attributes:
        adapters: those attached to it; only the room `adapters` reads or writes them.
        lock: re-entrant; held during one encoding or one decoding, and while an adapter enters or leaves. So several
            threads may ask one network, and each gets the answer that it gets alone. A copy has a lock of its own.
    """

    spec: Spec
    lock: RLock

    def __init__(self) -> None:
        super().__init__()
        self.hooks = Hooks()
        self.adapters = AttachedAdapters()
        self.lock = RLock()

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles, which cannot hold a lock."""
        return {name: value for name, value in self.__dict__.items() if name != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """The way back from `__getstate__`."""
        self.__dict__.update(state)
        self.lock = RLock()

    def encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """See Backbone.encode."""
        with self.lock:
            if self.hooks.encode is not None:
                return self.hooks.encode(self._encode, images, modalities)
            return self._encode(images, modalities)

    def decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; raises PromptError for drawn regions that the network does not take."""
        if prompts.regions is not None and not self.spec.accepts & {PromptKind.SCRIBBLE, PromptKind.LASSO}:
            known = ", ".join(sorted(self.spec.accepts))
            raise PromptError(f"this model takes no scribble or lasso prompt; it takes {known}.")
        with self.lock:
            if self.hooks.decode is not None:
                return self.hooks.decode(self._decode, features, prompts, contexts, multimask)
            return self._decode(features, prompts, contexts, multimask=multimask)

    @abstractmethod
    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """The network's own encoding; routing stays None."""

    @abstractmethod
    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """The network's own decoding, with the hooks that lie within it."""

    @property
    def blocks(self) -> Sequence[torch.nn.Module]:
        """Parts whose activations training may compute twice instead of keeping them; none unless a network says."""
        return ()

    def name_vectors(self, names: Sequence[str]) -> Tensor | None:
        """(N, C): what its text encoder makes of the names of structures or modalities, near ones alike.

        None where the network has no text encoder, or cannot read text as it was loaded.
        """
        return None

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        with self.lock:  # an adapter of another thread may be entering
            return next(self.parameters()).device
