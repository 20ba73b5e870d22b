"""LoRA: low-rank updates beside frozen layers (Hu et al. 2021, arXiv:2106.09685), with peft's file names.

A wrapped layer answers W x + s B A x, where A (rank x inputs) starts at random, B (outputs x rank) at zero, and s is
alpha / rank, or alpha / sqrt(rank) when rank-stabilised (Kalajdzievski 2023, arXiv:2312.03732). Before the first step
the adapted network therefore is the base, bit for bit. The layers are `low_rank`'s; those of DoRA are peft's, which is
imported for them, and for its settings in a file, alone.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule
from ..on_use import ModuleOnUse
from . import targets as choose
from .base import BaseAdapter
from .config import AdapterConfig
from .in_place import InPlace
from .low_rank import LowRankLayer, Update

if TYPE_CHECKING:
    import peft
else:
    peft = ModuleOnUse("peft")

NAME = "default"  # the only adapter in each layer, as peft calls it
PREFIX = "base_model.model."  # peft's, before every name in a file
Wrapped = Any  # a LowRankLayer, or peft's layer of DoRA
WRAPPABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "study": {"rank": 8, "alpha": 8.0, "rank_stabilised": True, "targets": ("study",)},
}


@dataclass(frozen=True)
class LoraConfig(AdapterConfig):
    """Settings of LoRA.

    Attributes:
        rank: of each update.
        alpha: strength, see the module's formula.
        dropout: on the input of A while training, in [0, 1).
        rank_stabilised: scale by alpha / sqrt(rank), so that a larger rank does not weaken the update.
        dora: learn the length of each output's weights apart from their direction (Liu et al. 2024,
            arXiv:2402.09353).
        targets: layers, see `targets.layers`.
        also_train: parameters of the base that train as they are, see `targets.parameters`; they are in the file.

    Raises:
        AdapterError: an impossible value.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    preset_word: ClassVar[str] = "LoRA preset"
    limits: ClassVar[Mapping[str, float]] = {"rank": 4096, "alpha": 1e6, "targets": 10_000, "also_train": 10_000}
    sizes: ClassVar[tuple[str, ...]] = ("rank",)

    rank: int = 8
    alpha: float = 8.0
    dropout: float = 0.0
    rank_stabilised: bool = True
    dora: bool = False
    targets: tuple[str, ...] = (choose.ALL_LINEAR,)
    also_train: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.rank, int) or self.rank < 1:
            raise AdapterError(f"rank {self.rank} is not possible; give a whole number of at least 1.")
        if not self.alpha > 0:
            raise AdapterError(f"alpha {self.alpha} is not possible; give a positive number.")
        if not 0 <= self.dropout < 1:
            raise AdapterError(f"dropout {self.dropout} is not possible; give a fraction from 0 to below 1.")
        if isinstance(self.targets, str) or isinstance(self.also_train, str):
            raise AdapterError("targets and also_train are lists of names; put a single name into a list.")


class LoraAdapter(BaseAdapter):
    """LoRA on the layers that its config names.

    Args:
        config: None takes every linear layer that the backbone offers, at rank 8.
    """

    method: ClassVar[str] = "lora"
    config_type: ClassVar[type[AdapterConfig]] = LoraConfig

    def __init__(self, config: LoraConfig | None = None) -> None:
        super().__init__(config)
        self._originals: dict[str, Any] = {}
        self._layers: dict[str, Wrapped] = {}
        self._in_place = InPlace({})

    @property
    def config(self) -> LoraConfig:
        """The settings it was made with."""
        assert isinstance(self._config, LoraConfig)
        return self._config

    def peft_config(self) -> "peft.LoraConfig":
        """The same settings as peft's, for the layers of the backbone it is attached to: exactly these, as a pattern.

        Raises:
            AdapterError: it is not attached.
        """
        return _peft_config(self.config, tuple(self._originals) if self.backbone else ())

    def peft_settings(self, base: str) -> dict[str, Any]:
        """See BaseAdapter.peft_settings."""
        config = self.peft_config()
        config.base_model_name_or_path = base
        config.inference_mode = True
        values: dict[str, Any] = json.loads(json.dumps(config.to_dict(), default=_peft_value))
        return values

    def _enter(self, backbone: BackboneModule) -> None:
        names = choose.layers(backbone, self.config.targets)
        trained = choose.parameters(backbone, self.config.also_train)
        self._in_place = InPlace(trained)
        self._originals = {name: backbone.get_submodule(name) for name in names}
        self._layers = inject(backbone, self.config, names)
        self._match_mode()

    def _leave(self) -> None:
        for name, original in self._originals.items():
            if self._layers:
                original.train(self._layers[name].training)
            self.backbone.set_submodule(name, original)
        self._in_place.restore()

    def _return(self) -> None:
        self._match_mode()
        for name, layer in self._layers.items():
            self.backbone.set_submodule(name, layer)
        self._in_place.reapply()

    def _forget(self) -> None:
        self._originals, self._layers, self._in_place = {}, {}, InPlace({})

    def _match_mode(self) -> None:
        for name, layer in self._layers.items():
            layer.train(self._originals[name].training)

    @torch.no_grad()
    def _fold(self) -> None:
        merged = {name: merged_weight(layer) for name, layer in self._layers.items()}
        for name, weight in merged.items():
            if not bool(torch.isfinite(weight).all()):
                raise AdapterError(f"the adapter cannot be merged: {name} would hold NaN or infinite weights.")
        for name, original in self._originals.items():
            original.weight.copy_(merged[name])
            self.backbone.set_submodule(name, original)

    def _parameters(self) -> dict[str, nn.Parameter]:
        parameters = named(self._layers)
        for name, parameter in self._in_place.parameters.items():
            owner, _, kind = name.rpartition(".")
            parameters[f"{PREFIX}{owner}.base_layer.{kind}" if owner in self._layers else PREFIX + name] = parameter
        return parameters


def inject(
    backbone: BackboneModule, config: LoraConfig, names: tuple[str, ...], adapter: str = NAME, *, beside: bool = False
) -> dict[str, Wrapped]:
    """Wrap exactly the named layers in place; the originals live on inside.

    Args:
        backbone: the network.
        config: of the LoRA.
        names: of its layers.
        adapter: what the layers call it.
        beside: put it beside others into layers that are wrapped already, all of the same names.

    Raises:
        AdapterError: a layer of a type that LoRA cannot wrap, or that is wrapped already.
    """
    for name in names:
        layer = backbone.get_submodule(name)
        if is_wrapped(layer):
            if beside:
                continue
            raise AdapterError(f"{name} carries LoRA already; detach or merge that adapter first.")
        if not isinstance(layer, WRAPPABLE):
            raise AdapterError(f"{name} is a {type(layer).__name__}, which LoRA cannot wrap; name it in also_train.")
    if config.dora:
        _inject_by_peft(backbone, config, names, adapter)
    else:
        update = Update(config.rank, config.alpha, config.rank_stabilised, config.dropout)
        # In the network's own order, so that a seed draws the same values however the names are sorted.
        wanted = set(names)
        for name, layer in [(name, layer) for name, layer in backbone.named_modules() if name in wanted]:
            if not isinstance(layer, LowRankLayer):
                layer = LowRankLayer(layer)
                backbone.set_submodule(name, layer)
            layer.add(adapter, update)
    wrapped = {name: layer for name, layer in backbone.named_modules() if is_wrapped(layer)}
    if wrapped.keys() != set(names):
        raise AdapterError(f"{len(wrapped)} layers carry LoRA where {len(names)} were asked for; check peft's version.")
    return wrapped


def is_wrapped(layer: nn.Module) -> bool:
    """Whether a layer carries LoRA: ours, or peft's, which can be there only where peft was imported."""
    if isinstance(layer, LowRankLayer):
        return True
    imported = sys.modules.get("peft.tuners.lora")
    return imported is not None and isinstance(layer, imported.LoraLayer)


def _inject_by_peft(backbone: BackboneModule, config: LoraConfig, names: tuple[str, ...], adapter: str) -> None:
    had = set(vars(backbone))
    peft.inject_adapter_in_model(_peft_config(config, names), backbone, adapter_name=adapter)
    for attribute in set(vars(backbone)) - had:
        delattr(backbone, attribute)


def named(layers: Mapping[str, Wrapped], adapter: str = NAME) -> dict[str, nn.Parameter]:
    """The parameters of one LoRA in wrapped layers, by the names that peft writes into a file."""
    parameters: dict[str, nn.Parameter] = {}
    for name, layer in layers.items():
        parameters[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A[adapter].weight
        parameters[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B[adapter].weight
        if adapter in layer.lora_magnitude_vector:
            parameters[f"{PREFIX}{name}.lora_magnitude_vector"] = layer.lora_magnitude_vector[adapter].weight
    return parameters


def activate(layers: Iterable[Wrapped], weights: Mapping[str, float | Tensor]) -> None:
    """Let exactly these of the LoRAs that layers hold answer, each times its weight; none leaves the bare layers.

    peft's own `set_adapter` would also change what asks for gradients, so the attribute behind it is set here.

    Args:
        layers: wrapped.
        weights: by what the layers call each; a tensor is a scalar, and may ask for gradients.
    """
    for layer in layers:
        layer._active_adapter = list(weights)
        for name, weight in weights.items():
            layer.set_scale(name, weight)


def remember(layers: Iterable[Wrapped]) -> Callable[[], None]:
    """A call that lets the LoRAs in layers answer as they do at this moment, without computing anything."""
    layer_states = [(layer, list(layer.active_adapters), dict(layer.scaling)) for layer in layers]

    def restore() -> None:
        for layer, active, scaling in layer_states:
            layer._active_adapter = active
            layer.scaling.update(scaling)

    return restore


def merged_weight(layer: Wrapped) -> Tensor:
    """The weight that makes the bare layer answer as the wrapped one does, same shape and type."""
    if isinstance(layer, LowRankLayer):
        return layer.folded_weight([NAME])
    folded: Tensor = layer.lora_variant[NAME].merge_safe(layer, NAME, layer.get_base_layer().weight.detach().clone())
    return folded


def _peft_config(config: LoraConfig, names: tuple[str, ...]) -> "peft.LoraConfig":
    made: peft.LoraConfig = peft.LoraConfig(
        lora_alpha=config.alpha,  # type: ignore[arg-type]  # it takes real numbers, too
        r=config.rank,
        lora_dropout=config.dropout,
        use_rslora=config.rank_stabilised,
        use_dora=config.dora,
        bias="none",
        target_modules="|".join(re.escape(name) for name in names),
    )
    return made


def _peft_value(value: Any) -> Any:
    return sorted(value) if isinstance(value, set) else str(value)
