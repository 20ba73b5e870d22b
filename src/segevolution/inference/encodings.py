"""The encodings of one image: the whole once, windows when first touched, as many kept as memory allows.

This is where "encode once, prompt often" is kept, and counted.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..adapters.switch import AdaptedNetwork
from ..models.backbone import BackboneModule, Features
from ..runtime import has_bfloat16
from ..vocabulary import Context, Modality
from .frame_prompt import FramePrompt, collate
from .windows import FrameImage, VoxelBlock, Window, picked

Precision = Literal["fp32", "bf16"]

DEFAULT_BATCH = 2
DEFAULT_MEMORY = 1 << 30  # bytes of window encodings kept


@dataclass
class Counts:
    """Work done so far: images encoded (the whole and windows) and prompts decoded (in each of them)."""

    encodings: int = 0
    decodings: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(self.encodings + other.encodings, self.decodings + other.decodings)


class Encodings:
    """One image (D, H, W) through one network; features stay on the network's device.

    Args:
        backbone: in eval mode; a bare network answers by the adapter that is on at this moment, also later.
        image: (D, H, W) float32 of a frame, on the network's device, or as a table in the processor's memory.
        modality: what the encoder may know.
        pad: the number that stands outside the image.
        precision: "bf16" runs the network under autocast where the device has bfloat16; answers are float32 either way.
        batch: windows encoded, and prompts decoded, in one call of the network.
        memory: bytes of window encodings to keep; the least recently used go first.

    Attributes:
        routed: (K,) float, what an adapter's experts weighed in all encodings, see `Features.routing`; None without.
    """

    def __init__(
        self,
        backbone: BackboneModule | AdaptedNetwork,
        image: FrameImage,
        modality: Modality | None,
        *,
        pad: float = 0.0,
        precision: Precision = "fp32",
        batch: int = DEFAULT_BATCH,
        memory: int = DEFAULT_MEMORY,
    ) -> None:
        self.backbone = AdaptedNetwork.of(backbone)
        self._revision = self.backbone.revision()
        self.image = image
        self.pad = pad
        self.counts = Counts()
        self.modality = modality
        self._bfloat16 = precision == "bf16" and has_bfloat16(self.device)
        self.batch = max(1, batch)
        self._memory = memory
        self._whole: Features | None = None
        self._windows: OrderedDict[Window, Features] = OrderedDict()
        self._planned: list[Window] = []
        self.routed: Tensor | None = None

    @property
    def device(self) -> torch.device:
        """Where the image, features and answers are."""
        return self.image.device if isinstance(self.image, Tensor) else torch.device("cpu")

    @property
    def window(self) -> tuple[int, int, int]:
        """(D, H, W) of the network."""
        return self.backbone.spec.window

    def whole(self) -> Features:
        """The image resized to the window by nearest-exact, encoded once."""
        self._forget_other_weights()
        if self._whole is None:
            small = picked(self.image, VoxelBlock.whole(self.image.shape), self.window)
            self._whole = self._encode(small[None, None])
        return self._whole

    def plan(self, windows: Iterable[Window]) -> None:
        """Say which windows will be asked for, in order, so that they are encoded in batches."""
        self._planned = list(dict.fromkeys(windows))

    def at(self, window: Window) -> Features:
        """A window's features, encoded when first touched together with the next planned ones that are missing."""
        self._forget_other_weights()
        if window not in self._windows:
            ahead = self._planned[self._planned.index(window) :] if window in self._planned else [window]
            missing = [entry for entry in ahead if entry not in self._windows][: self.batch]
            encoded = self._encode(torch.stack([entry.cut(self.image, self.pad) for entry in missing])[:, None])
            for row, entry in enumerate(missing):
                self._windows[entry] = _row(encoded, row, alone=len(missing) == 1)
            self._forget_down_to(len(missing))
        self._windows.move_to_end(window)
        return self._windows[window]

    def decode(
        self,
        views: Sequence[Features],
        prompts: Sequence[FramePrompt],
        contexts: Sequence[Context],
        *,
        multimask: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode one prompt a view, or every prompt on a lone view, a batch at a time.

        Returns:
            Logits (P, M, D, H, W) in window voxels and predicted overlap (P, M), float32.
        """
        return self.decode_both(views, prompts, contexts, multimask=multimask)[:2]

    def decode_both(
        self,
        views: Sequence[Features],
        prompts: Sequence[FramePrompt],
        contexts: Sequence[Context],
        *,
        multimask: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """As `decode`, and last the logits at the decoder's own size (P, M, d, h, w), as they are told back."""
        logits, overlaps, small = [], [], []
        for start in range(0, len(prompts), self.batch):
            part = slice(start, start + self.batch)
            some = views[part] if len(views) > 1 else views
            rows = list(range(len(some))) if len(views) > 1 else [0] * len(prompts[part])
            full, overlap, answered = self._decode(some, rows, prompts[part], contexts[part], multimask=multimask)
            logits.append(full)
            overlaps.append(overlap)
            small.append(answered)
        return torch.cat(logits), torch.cat(overlaps), torch.cat(small)

    def decode_everywhere(
        self,
        views: Sequence[Features],
        prompts: Sequence[FramePrompt],
        contexts: Sequence[Context],
        *,
        multimask: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode every prompt on every view: in one call, for a network that answers structures together.

        Returns:
            Logits (V, P, M, D, H, W) in window voxels and predicted overlap (V, P, M), float32.
        """
        if self.backbone.spec.answer_groups:
            rows = [row for row in range(len(views)) for _ in prompts]
            all_prompts, all_contexts = [*prompts] * len(views), [*contexts] * len(views)
            logits, overlaps, _ = self._decode(views, rows, all_prompts, all_contexts, multimask=multimask)
            shape = (len(views), len(prompts))
            return logits.unflatten(0, shape), overlaps.unflatten(0, shape)
        parts = [self.decode([view], prompts, contexts, multimask=multimask) for view in views]
        return torch.stack([part for part, _ in parts]), torch.stack([overlap for _, overlap in parts])

    def _decode(
        self,
        views: Sequence[Features],
        rows: Sequence[int],
        prompts: Sequence[FramePrompt],
        contexts: Sequence[Context],
        *,
        multimask: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One call of the network; prompt i reads the view rows[i]. See `decode_both` for what comes back."""
        features = views[0] if len(views) == 1 else Features.stack(views)
        batch = collate(prompts, rows, features.tokens.device, self.window)
        self.counts.decodings += len(rows)
        with torch.inference_mode(), self._autocast():
            masks = self.backbone.decode(features, batch, contexts, multimask=multimask)
            overlaps = masks.iou.float()
            if not self.backbone.spec.estimates_overlap:
                overlaps = torch.full_like(overlaps, torch.nan)
            return masks.full().float(), overlaps, masks.logits.float()

    def _encode(self, images: Tensor) -> Features:
        self.counts.encodings += len(images)
        with torch.inference_mode(), self._autocast():
            features = self.backbone.encode(images, [self.modality] * len(images))
        if features.routing is not None:
            weights = features.routing.sum(dim=0)
            self.routed = weights if self.routed is None else self.routed + weights
        return features

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16)

    def forget(self) -> None:
        """Drop all that was encoded, for whoever changed weights in a way that the revision does not tell."""
        self._whole = self.routed = None
        self._windows.clear()

    def _forget_other_weights(self) -> None:
        """Drop what was encoded with weights that the adapter no longer has."""
        if self._revision != self.backbone.revision():
            self._revision = self.backbone.revision()
            self.forget()

    def _forget_down_to(self, fewest: int) -> None:
        """Drop the oldest windows until the rest fit into memory, but keep the `fewest` newest."""
        while len(self._windows) > fewest and sum(map(_bytes, self._windows.values())) > self._memory:
            self._windows.popitem(last=False)


def _row(features: Features, row: int, *, alone: bool) -> Features:
    """One image's features; copied out of a batch, so that dropping one frees its memory."""
    return features if alone else features.rows([row])


def _bytes(features: Features) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (features.tokens, *features.skips))
