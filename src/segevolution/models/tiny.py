"""The test double that ships: a promptable 3-D network of a few thousand parameters.

It is no model of anatomy. It stands where SegVol stands, so that sessions, adapters, training loops and command
lines are tested in milliseconds, here and in other people's projects, and its untrained answers already mean
something: bright voxels are foreground, a box forbids everything outside it, a positive point attracts and a
negative one repels, and each structure named in a text shifts the answer in its own learned way. Where an earlier
answer is told back, what was foreground stays likelier.

It comes in one variant for each strategy of `inference/strategies/`, see VARIANTS.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import CheckpointError, PromptError
from ..imaging.prompts import PromptKind
from ..vocabulary import STRUCTURES, Context, Modality, require_known
from .backbone import NEGATIVE, POSITIVE, BackboneModule, DecoderSizes, Features, Masks, PromptBatch, Spec, Triple
from .network_config import NetworkConfig

Framing = Literal["zoom", "click", "slices", "sliding"]

PATCH: Triple = (2, 4, 4)  # (1, 4, 4) where a window is a slice
POOL: Triple = (1, 2, 2)  # the decoder answers on the window pooled by this
MASK_TOKENS = 4  # the single answer, and three alternatives
GAIN = 8.0  # logits
ENCODING = ("patches", "mlp.0", "mlp.2")
DECODING = ("keys", "queries", "voxels")
ADAPTABLE = (*ENCODING, *DECODING)


@dataclass(frozen=True)
class TinyConfig(NetworkConfig):
    """Sizes of a TinyBackbone.

    Attributes:
        window: (D, H, W), multiples of (2, 4, 4), or (1, H, W) of (1, 4, 4).
        structures: names that a text prompt may use, each with an embedding of its own.
        width: C, channels of a token.
        seed: the weights follow from it.
        framing: which kind of network it stands for, see VARIANTS.

    Raises:
        CheckpointError: the window cannot be cut into patches, or the framing is not known.
    """

    described: ClassVar[str] = "a tiny network"

    window: Triple = (8, 32, 32)
    structures: tuple[str, ...] = STRUCTURES
    width: int = 16
    seed: int = 0
    framing: Framing = "zoom"

    def __post_init__(self) -> None:
        if any(side < patch or side % patch for side, patch in zip(self.window, self.patch, strict=True)):
            raise CheckpointError(f"a tiny network cannot have the window {self.window}; use multiples of {PATCH}.")
        if self.framing not in get_args(Framing):
            known = ", ".join(get_args(Framing))
            raise CheckpointError(f'a tiny network has no framing "{self.framing}"; use one of {known}.')

    @property
    def patch(self) -> Triple:
        """Voxels a token along each axis."""
        return PATCH if self.window[0] > 1 else (1, *PATCH[1:])

    @property
    def grid(self) -> Triple:
        """Tokens along each axis."""
        return _divided(self.window, self.patch)


VARIANTS: dict[str, TinyConfig] = {
    "zoom": TinyConfig(),  # a whole volume, text, points and a box: as SegVol
    "click": TinyConfig((16, 24, 24), framing="click"),  # 1.5 mm, z-scored; points, a box, an earlier answer
    "slices": TinyConfig((1, 32, 32), framing="slices"),  # 2-D; points, a box, an earlier answer: as SAM
    "sliding": TinyConfig((8, 32, 32), framing="sliding"),  # no prompts, structures by name: as nnU-Net
}


class _TinyConstants(NamedTuple):
    """What an untrained network goes by.

    Attributes:
        middle: intensity between dark and bright.
        slope: logits that a step of one in intensity is worth.
        point: logits between the place of a point and far from it.
        lost: share of these that every voxel loses where there is a positive point.
    """

    middle: float = 0.5
    slope: float = GAIN
    point: float = GAIN
    lost: float = 0.5


_STARTS: dict[Framing, _TinyConstants] = {
    "zoom": _TinyConstants(),
    "click": _TinyConstants(middle=1.0),  # of a z-score
    # A point in the dark must find nothing, and another bright body nothing either, or walks over slices have no end.
    "slices": _TinyConstants(slope=2 * GAIN, point=2 * GAIN, lost=0.75),
    "sliding": _TinyConstants(),
}


def _spec(config: TinyConfig) -> Spec:
    """What each variant asks of its inputs."""
    everywhere: dict[str, Any] = {
        "window": config.window,
        "framing": config.framing,
        "adaptable": ADAPTABLE,
        "encoding": ENCODING,
        "layer_groups": {"encoder": ENCODING, "decoder": DECODING},
        "parameter_groups": {
            "decoder": (*(f"{name}.**" for name in (*DECODING, "overlap")), "mask_tokens"),
            "mask_tokens": ("mask_tokens",),
            "prompt_tokens": ("said_point", "said_box"),
            "text": ("text.**",),
        },
        "decoder": DecoderSizes(config.width, MASK_TOKENS, config.width),
    }
    placed = frozenset({PromptKind.POINT, PromptKind.BOX})
    previous = _divided(config.window, POOL)
    if config.framing == "click":
        return Spec(
            accepts=placed | {PromptKind.MASK},
            intensity="z_score",
            spacing=(1.5, 1.5, 1.5),
            previous=previous,
            **everywhere,
        )
    if config.framing == "slices":
        return Spec(accepts=placed | {PromptKind.MASK}, intensity="soft_tissue", previous=previous, **everywhere)
    accepts = frozenset({PromptKind.TEXT}) if config.framing == "sliding" else placed | {PromptKind.TEXT}
    return Spec(accepts=accepts, intensity="foreground", structures=config.structures, **everywhere)


class TinyBackbone(BackboneModule):
    """A Backbone for tests: patches to tokens by a linear layer, masks by a few dot products.

    For mask token q (a learned token plus the embeddings of what the prompt says) and voxel v of intensity x:
    logit(v) = voxels(q) . (1, x, x^2) + queries(q) . keys(token at v) - box(v) + points(v).
    """

    def __init__(self, config: TinyConfig | None = None) -> None:
        super().__init__()
        self.config = config or TinyConfig()
        self.spec = _spec(self.config)
        width, grid = self.config.width, self.config.grid
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            self.patches = nn.Linear(math.prod(self.config.patch), width)
            self.positions = nn.ParameterList(nn.Parameter(torch.randn(side, width) * 0.1) for side in grid)
            self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            self.keys = nn.Linear(width, width)
            self.queries = nn.Linear(width, width)
            self.voxels = nn.Linear(width, 3)
            self.overlap = nn.Linear(width, 1)
            self.mask_tokens = nn.Parameter(torch.randn(MASK_TOKENS, width) * 0.1)
            self.text = nn.Embedding(max(len(self.config.structures), 1), width)
            self.said_point = nn.Parameter(torch.randn(width) * 0.1)
            self.said_box = nn.Parameter(torch.randn(width) * 0.1)
        start = _STARTS[self.config.framing]
        self.point_gain = nn.Parameter(torch.tensor(start.point))
        self.box_gain = nn.Parameter(torch.tensor(4 * GAIN))
        self.reach = nn.Parameter(torch.tensor(0.2))  # of a point, as a fraction of the window
        with torch.no_grad():
            self.text.weight.mul_(0.3)
            self.voxels.bias.copy_(torch.tensor([-start.slope * start.middle, start.slope, 0.0]))
        self.previous_gain = nn.Parameter(torch.tensor(GAIN / 4)) if self.spec.previous else None

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """See BackboneModule.blocks."""
        return (self.mlp,)

    def _encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """(B, 1, D, H, W) -> tokens (B, N, C), and the image pooled to the decoder's resolution."""
        (d, h, w), (p, q, r) = self.config.grid, self.config.patch
        patches = images.reshape(-1, d, p, h, q, w, r).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, d * h * w, p * q * r)
        along_d, along_h, along_w = self.positions
        position = along_d[:, None, None] + along_h[None, :, None] + along_w[None, None]
        tokens = self.patches(patches) + position.reshape(1, d * h * w, -1)
        pooled = functional.avg_pool3d(images, POOL)
        return Features(tokens + self.mlp(tokens), (d, h, w), (pooled,), tuple(modalities))

    def _decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode; logits come at (D, H/2, W/2).

        Raises:
            PromptError: a mask prompt, which this network does not accept.
            VocabularyError: a structure that it was not built with.
        """
        if prompts.masks is not None and self.previous_gain is None:
            raise PromptError("the tiny network accepts no mask prompt; give text, points or a box.")
        tokens = features.tokens[prompts.image_index]
        state = None
        if self.hooks.fuse is not None:
            tokens, state = self.hooks.fuse(tokens, contexts)
        mask_slice = slice(1, MASK_TOKENS) if multimask else slice(0, 1)
        queries = self.mask_tokens[None] + self._said(prompts)[:, None]
        if self.hooks.mask_tokens is not None:
            queries = self.hooks.mask_tokens(queries, contexts, state)
        queries = queries[
            :, mask_slice
        ].contiguous()  # torch multiplies strided input otherwise when weights are frozen

        intensity = features.skips[-1][prompts.image_index]
        powers = torch.cat([torch.ones_like(intensity), intensity, intensity**2], dim=1)
        logits = torch.einsum("pmk,pkdhw->pmdhw", self.voxels(queries), powers)
        vectors = self.queries(queries)
        if self.hooks.mask_vectors is not None:
            vectors = self.hooks.mask_vectors(vectors, contexts, state)
        coarse = torch.einsum("pmc,pnc->pmn", vectors, self.keys(tokens)).unflatten(2, features.grid)
        logits = logits + functional.interpolate(coarse, logits.shape[2:], mode="trilinear", align_corners=False)
        logits = logits + (self._points(prompts) - self._outside(prompts))[:, None]
        if prompts.masks is not None and self.previous_gain is not None:
            logits = logits + self.previous_gain * torch.tanh(prompts.masks.nan_to_num(0.0) / GAIN)
        return Masks(logits, torch.sigmoid(self.overlap(queries)[..., 0]), self.config.window)

    def _said(self, prompts: PromptBatch) -> Tensor:
        """(P, C): the sum of the embeddings of what each prompt says."""
        text_vectors = self.mask_tokens.new_zeros(len(prompts), self.config.width)
        rows_with_structure = [row for row, structure in enumerate(prompts.structures) if structure is not None]
        if rows_with_structure:
            known = self.config.structures
            numbers = [known.index(require_known(name, known)) for name in prompts.structures if name is not None]
            text_vectors = text_vectors.index_add(
                0, _int64(rows_with_structure, text_vectors), self.text(_int64(numbers, text_vectors))
            )
        if prompts.labels is not None:
            text_vectors = text_vectors + (prompts.labels == POSITIVE).any(dim=1)[:, None] * self.said_point
        if prompts.boxes is not None:
            text_vectors = text_vectors + (~prompts.boxes.isnan().any(dim=1))[:, None] * self.said_box
        return text_vectors

    def _points(self, prompts: PromptBatch) -> Tensor:
        """(P, d, h, w), or (1, 1, 1, 1) of zero: logits round points; with a positive one, far voxels lose."""
        if prompts.points is None or prompts.labels is None:
            return self.point_gain.new_zeros(1, 1, 1, 1)
        window = torch.tensor(self.config.window, device=prompts.points.device)
        apart = (self._centres()[None, None] - prompts.points[:, :, None, None, None].to(window.device)) / window
        closeness = torch.exp(-apart.square().sum(dim=-1) / (2 * self.reach**2))
        positive, negative = prompts.labels == POSITIVE, prompts.labels == NEGATIVE
        sign = (positive.to(closeness.dtype) - negative.to(closeness.dtype))[:, :, None, None, None]
        baseline = _STARTS[self.config.framing].lost * positive.any(dim=1).to(closeness.dtype)[:, None, None, None]
        return self.point_gain * ((sign * closeness).sum(dim=1) - baseline)

    def _outside(self, prompts: PromptBatch) -> Tensor:
        """(P, d, h, w), or (1, 1, 1, 1) of zero: the penalty outside each box, full from one voxel away."""
        if prompts.boxes is None:
            return self.box_gain.new_zeros(1, 1, 1, 1)
        low, high = prompts.boxes[:, None, None, None].split(3, dim=-1)
        centres = self._centres()[None]
        beyond = torch.maximum(low - centres, centres - high).amax(dim=-1) - 0.5
        return self.box_gain * beyond.clamp(0, 1).nan_to_num(0.0)

    def _centres(self) -> Tensor:
        """(d, h, w, 3): centres of the decoder's cells in window voxels."""
        sides = _divided(self.config.window, POOL)
        axes = [
            torch.arange(side, device=self.device, dtype=self.reach.dtype) * pool + (pool - 1) / 2
            for side, pool in zip(sides, POOL, strict=True)
        ]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def _divided(window: Triple, by: Triple) -> Triple:
    return window[0] // by[0], window[1] // by[1], window[2] // by[2]


def _int64(values: Sequence[int], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device=like.device)
