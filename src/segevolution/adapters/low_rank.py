"""The layer of LoRA: a linear layer or a convolution, and beside it any number of low-rank updates.

It answers, draws its first values and names its parameters as peft's layer does, which a test holds to the last bit,
so that files stay peft's. Only where nothing learns, updates of convolutions of large maps are folded into the weight,
which changes an answer by rounding. It stands here because peft brings all of transformers with it, three seconds of
the five in which a scan is to have its first answer. DoRA stays peft's own (see `lora.inject`).

Source: Hu et al. 2021, arXiv:2106.09685; Kalajdzievski 2023, arXiv:2312.03732.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

Strength = float | Tensor

_HALF = (torch.float16, torch.bfloat16)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LARGE = 100_000  # values of a map


@dataclass(frozen=True)
class Update:
    """What decides one low-rank update.

    Attributes:
        rank: r.
        alpha: its strength is alpha / r, or alpha / sqrt(r) where it is rank-stabilised.
        rank_stabilised: see there.
        dropout: on the input of A while training, in [0, 1).
    """

    rank: int
    alpha: float
    rank_stabilised: bool
    dropout: float

    @property
    def strength(self) -> float:
        """Factor on B A x."""
        return self.alpha / (math.sqrt(self.rank) if self.rank_stabilised else self.rank)


class LowRankLayer(nn.Module):
    """W x plus s B A x for each update that is active; without one it is the bare layer, bit for bit.

    Args:
        base_layer: nn.Linear, nn.Conv1d, nn.Conv2d or nn.Conv3d; its parameters are left as they are.
    """

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.lora_A, self.lora_B, self.lora_dropout = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        self.lora_magnitude_vector: dict[str, Any] = {}  # of DoRA, which this layer is not
        self.scaling: dict[str, Strength] = {}
        self._updates: dict[str, Update] = {}
        self._active_adapter: list[str] = []

    @property
    def active_adapters(self) -> list[str]:
        """Names of the updates that answer."""
        return self._active_adapter

    @property
    def weight(self) -> Tensor:
        """Of the bare layer."""
        return cast(Tensor, self.base_layer.weight)

    @property
    def bias(self) -> Tensor | None:
        """Of the bare layer."""
        return cast("Tensor | None", self.base_layer.bias)

    def get_base_layer(self) -> nn.Module:
        """The bare layer."""
        return self.base_layer

    def add(self, name: str, update: Update) -> None:
        """Put an update in, beside others; A starts as an nn.Linear's weights do, B at zero. It is active alone.

        Args:
            name: of the update; one of that name is replaced.
            update: its sizes.
        """
        down, up = _factors(self.base_layer, update.rank)
        nn.init.kaiming_uniform_(down.weight, a=math.sqrt(5))
        nn.init.zeros_(up.weight)
        kind = torch.float32 if self.weight.dtype in _HALF else self.weight.dtype
        self.lora_A[name] = down.to(self.weight.device, kind)
        self.lora_B[name] = up.to(self.weight.device, kind)
        self.lora_dropout[name] = nn.Dropout(update.dropout) if update.dropout > 0 else nn.Identity()
        self._updates[name] = update
        self.scaling[name] = update.strength
        self._active_adapter = [name]

    def delete_adapter(self, name: str) -> None:
        """Take an update out for good."""
        del self.lora_A[name], self.lora_B[name], self.lora_dropout[name], self.scaling[name], self._updates[name]
        self._active_adapter = [other for other in self._active_adapter if other != name]

    def set_scale(self, name: str, weight: Strength) -> None:
        """Let an update answer with so much of its strength; a tensor is a scalar, and may ask for gradients."""
        self.scaling[name] = weight * self._updates[name].strength

    def forward(self, values: Tensor) -> Tensor:
        """Of the shapes that the bare layer takes and gives."""
        if self._folds(values):
            return self._folded(values)
        answer: Tensor = self.base_layer(values)
        kind = answer.dtype
        for name in self._active_adapter:
            down, up = self.lora_A[name], self.lora_B[name]
            inputs = self.lora_dropout[name](values.to(cast(Tensor, down.weight).dtype))
            answer = answer + up(down(inputs)) * self.scaling[name]
        return answer.to(kind)

    def folded_weight(self, names: Iterable[str]) -> Tensor:
        """The weight with which the bare layer answers as it does with these updates; of its shape and type."""
        weight = self.weight.detach()
        folded = weight.float()
        for name in names:
            down, up = (cast(Tensor, factors[name].weight).detach() for factors in (self.lora_A, self.lora_B))
            folded = folded + torch.tensordot(up.flatten(1).float(), down.float(), dims=1) * self.scaling[name]
        return folded.to(weight.dtype)

    def _folds(self, values: Tensor) -> bool:
        """Whether nothing learns, and the updates are of a convolution of large maps, in float32.

        A and B look at each voxel of a map, and cost more than a convolution of few channels; their product costs next
        to nothing. Where values are rounded to less than float32, a small update would be lost in the weight.
        """
        return (
            bool(self._active_adapter)
            and not torch.is_grad_enabled()
            and not self.training
            and isinstance(self.base_layer, _CONVOLUTIONS)
            and self.base_layer.groups == 1
            and values.numel() >= _LARGE
            and values.dtype == self.weight.dtype == torch.float32
            and not (values.is_meta or torch.is_autocast_enabled(values.device.type))
        )

    def _folded(self, values: Tensor) -> Tensor:
        layer: Any = self.base_layer
        folded: Tensor = layer._conv_forward(values, self.folded_weight(self._active_adapter), layer.bias)
        return folded


def _factors(layer: nn.Module, rank: int) -> tuple[Any, Any]:
    """A and B as layers; A looks at the voxels that the bare layer looks at, B at one."""
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, rank, bias=False), nn.Linear(rank, layer.out_features, bias=False)
    assert isinstance(layer, _CONVOLUTIONS)
    made: Any = type(layer)
    sides: Any = layer.kernel_size, layer.stride, layer.padding, layer.dilation
    down = made(layer.in_channels, rank, *sides, bias=False)
    return down, made(rank, layer.out_channels, 1, groups=layer.groups, bias=False)
