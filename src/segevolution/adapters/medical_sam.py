"""Medical SAM Adapter: small perceptrons in each block of the encoder, and a look across slices for 2-D networks.

In each block, with x its input and n a layer norm, three perceptrons are added: `space` behind the attention, `depth`
behind the same attention over the tokens of neighbouring slices at each place, and `side` beside the block's own:

    a = attention(n(x));    y = a + space(a) + depth(attention across slices(n(x)));    z = x + y
    z + mlp(n(z)) + 0.5 side(n(z))

The decoder trains as it is. Every added perceptron starts at zero, so that before the first step the adapted network is
the base, bit for bit. Source: Wu et al. 2023, arXiv:2304.12620, on the correct block of SAM: the published code loses
relative positions, pads before the norm, and in windows mixes slices with windows.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional

from ..errors import AdapterError
from ..models.backbone import BackboneModule, Encode, Features, Spec
from ..vocabulary import Modality
from . import targets as choose
from .base import BaseAdapter
from .config import AdapterConfig
from .in_place import InPlace

_SIDE = 0.5  # strength of the perceptron beside the block's own


@dataclass(frozen=True)
class MedicalSamConfig(AdapterConfig):
    """Settings of a Medical SAM Adapter.

    Attributes:
        ratio: channels inside a perceptron, in those of the encoder.
        slices: that a 2-D network sees at once, an odd number; with 1 it has no depth branch. A 3-D network sees depth
            anyway and has none.
        also_train: parameters of the base that train as they are, see `targets.parameters`; they are in the file.

    Raises:
        AdapterError: an impossible value.
    """

    limits: ClassVar[Mapping[str, float]] = {"ratio": 4, "slices": 31, "also_train": 10_000}

    ratio: float = 0.25
    slices: int = 1
    also_train: tuple[str, ...] = ("decoder",)

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 4:
            raise AdapterError(f"ratio {self.ratio} is not possible; give a share above 0, up to 4.")
        if not isinstance(self.slices, int) or self.slices < 1 or self.slices % 2 == 0:
            raise AdapterError(f"slices {self.slices} is not possible; give an odd number of at least 1.")
        if isinstance(self.also_train, str):
            raise AdapterError("also_train is a list of names; put a single name into a list.")


class SidePerceptron(nn.Module):
    """Two linear layers with exact GELU between; the second starts at zero."""

    def __init__(self, width: int, ratio: float) -> None:
        super().__init__()
        inner = max(1, round(width * ratio))
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, values: Tensor) -> Tensor:
        """(..., W) -> the same shape."""
        changed: Tensor = self.up(functional.gelu(self.down(values)))
        return changed


class AdaptedAttention(nn.Module):
    """An attention with its perceptrons.

    Attributes:
        images: slices in the batch at the moment, neighbours included; what each of them was cut into is told by it.
    """

    def __init__(self, base: nn.Module, width: int, config: MedicalSamConfig, slices: int) -> None:
        super().__init__()
        self.base, self.slices, self.images = base, slices, 0
        self.space = SidePerceptron(width, config.ratio)
        self.depth = SidePerceptron(width, config.ratio) if slices > 1 else None

    def forward(self, values: Tensor, *given: Any, **named: Any) -> Tensor:
        """What the attention takes -> what it gives."""
        mixed = self.base(values, *given, **named)
        answer: Tensor = mixed + self.space(mixed)
        if self.depth is not None:
            answer = answer + self.depth(self._across(values))
        return answer

    def _across(self, values: Tensor) -> Tensor:
        """(images * windows, h, w, W): the same attention over each place's slices, laid on a nearly square grid."""
        _, h, w, width = values.shape
        split = values.reshape(self.images // self.slices, self.slices, -1, h * w, width)
        placed = split.permute(0, 2, 3, 1, 4)  # (slabs, windows, places, slices, W)
        rows = max(side for side in range(1, math.isqrt(self.slices) + 1) if self.slices % side == 0)
        mixed: Tensor = self.base(placed.reshape(-1, rows, self.slices // rows, width)).reshape(placed.shape)
        return mixed.permute(0, 3, 1, 2, 4).reshape(values.shape)


class AdaptedPerceptron(nn.Module):
    """A block's perceptron with another beside it."""

    def __init__(self, base: nn.Module, width: int, config: MedicalSamConfig) -> None:
        super().__init__()
        self.base, self.side = base, SidePerceptron(width, config.ratio)

    def forward(self, values: Tensor) -> Tensor:
        """(..., W) -> the same shape."""
        answer: Tensor = self.base(values) + _SIDE * self.side(values)
        return answer


class MedicalSamAdapter(BaseAdapter):
    """A Medical SAM Adapter on a network that names the parts of its blocks (`Spec.block_parts`)."""

    method: ClassVar[str] = "medical_sam_adapter"
    config_type: ClassVar[type[AdapterConfig]] = MedicalSamConfig

    def __init__(self, config: MedicalSamConfig | None = None) -> None:
        super().__init__(config)
        self._originals: dict[str, nn.Module] = {}
        self._parts: dict[str, AdaptedAttention | AdaptedPerceptron] = {}
        self._in_place = InPlace({})

    @property
    def config(self) -> MedicalSamConfig:
        """The settings it was made with."""
        assert isinstance(self._config, MedicalSamConfig)
        return self._config

    def adapted_spec(self) -> Spec:
        """See BaseAdapter.adapted_spec: slices come with their neighbours."""
        spec = super().adapted_spec()
        return replace(spec, neighbours=self._slices(spec) // 2)

    def _slices(self, spec: Spec) -> int:
        return self.config.slices if spec.window[0] == 1 else 1

    def _enter(self, backbone: BackboneModule) -> None:
        spec = backbone.spec
        if not spec.block_parts:
            raise AdapterError(
                "this network does not name the parts of its blocks; use LoRA, or a network of SAM's family."
            )
        if self._slices(spec) > 1 and not spec.attends_grids:
            raise AdapterError(
                "this network's attention has windows of one size only, so it cannot look across slices; use slices: 1."
            )
        self._in_place = InPlace(choose.parameters(backbone, self.config.also_train))
        for attention, perceptron in spec.block_parts:
            base, mlp = backbone.get_submodule(attention), backbone.get_submodule(perceptron)
            width = next(part for part in mlp.modules() if isinstance(part, nn.Linear)).in_features
            self._originals |= {attention: base, perceptron: mlp}
            self._parts[attention] = AdaptedAttention(base, width, self.config, self._slices(spec))
            self._parts[perceptron] = AdaptedPerceptron(mlp, width, self.config)
        for part in self._parts.values():
            part.to(backbone.device)
        self._put_in()

    def _put_in(self) -> None:
        for name, part in self._parts.items():
            part.train(self._originals[name].training)
            self.backbone.set_submodule(name, part)
        self.backbone.hooks.encode = self._encode
        self.backbone.hooks.recompute_context = self._recompute_context

    def _leave(self) -> None:
        self.backbone.hooks.encode = self.backbone.hooks.recompute_context = None
        for name, original in self._originals.items():
            if name in self._parts:
                original.train(self._parts[name].training)
            self.backbone.set_submodule(name, original)
        self._in_place.restore()

    def _return(self) -> None:
        self._put_in()
        self._in_place.reapply()

    def _forget(self) -> None:
        self._originals, self._parts, self._in_place = {}, {}, InPlace({})

    def _fold(self) -> None:
        raise AdapterError("a Medical SAM Adapter is not linear, so it cannot be merged into the base's weights.")

    def _parameters(self) -> dict[str, nn.Parameter]:
        block_parameters = {
            f"{name}.{kind}": parameter
            for name, part in self._parts.items()
            for kind, parameter in part.named_parameters()
            if not kind.startswith("base.")
        }
        return {**block_parameters, **self._in_place.parameters}

    def _encode(self, inner: Encode, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """Hooks.encode: (B, 1, K, H, W), of which the middle slice is encoded, with K - 1 neighbours to look at."""
        slices = self._slices(self._spec or self.backbone.spec)
        self._tell(len(images) * slices)
        if slices == 1:
            return inner(images, modalities)
        apart = images.transpose(1, 2).flatten(0, 1)[:, :, None]
        features = inner(apart, [modality for modality in modalities for _ in range(slices)])
        return features.rows([row * slices + slices // 2 for row in range(len(images))])

    def _tell(self, images: int) -> None:
        for part in self._parts.values():
            if isinstance(part, AdaptedAttention):
                part.images = images

    def _recompute_context(self) -> AbstractContextManager[None]:
        """See Hooks.recompute_context: a context in which the batch is as large as at the moment."""
        count = next((part.images for part in self._parts.values() if isinstance(part, AdaptedAttention)), 0)
        return self._as(count)

    @contextmanager
    def _as(self, images: int) -> Iterator[None]:
        before = next((part.images for part in self._parts.values() if isinstance(part, AdaptedAttention)), 0)
        self._tell(images)
        try:
            yield
        finally:
            self._tell(before)
