"""The experts of a mixture: several LoRAs in the same layers of a network, all off unless they are switched on."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...models.backbone import BackboneModule
from ..lora import PREFIX, LoraConfig, Wrapped, activate, inject, named, remember
from ..state_checks import check_fit


class Experts:
    """LoRA experts inside a backbone.

    Args:
        backbone: whose layers are wrapped at once.
        config: of every expert.
        layers: names of the layers.
        names: of the experts.

    Raises:
        AdapterError: a layer cannot be wrapped.
    """

    def __init__(
        self, backbone: BackboneModule, config: LoraConfig, layers: Sequence[str], names: Sequence[str]
    ) -> None:
        self.backbone, self.config, self.names = backbone, config, tuple(names)
        self._originals: dict[str, Any] = {name: backbone.get_submodule(name) for name in layers}
        self._layers: dict[str, Wrapped] = {}
        try:
            for name in names:
                self._inject(name, beside=bool(self._layers))
        except Exception:
            self.take_out()
            raise
        self._settle()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the wrapped layers."""
        return tuple(self._originals)

    def add(self, name: str) -> None:
        """One more expert beside the others."""
        self._inject(name, beside=True)
        self.names = (*self.names, name)
        self._settle()

    def remove(self, name: str) -> None:
        """Take an expert out for good."""
        for layer in self._layers.values():
            layer.delete_adapter(_internal(name))
        self.names = tuple(other for other in self.names if other != name)
        self._settle()

    def take_out(self) -> None:
        """Put the base's layers back; the experts are kept."""
        for name, original in self._originals.items():
            if name in self._layers:
                original.train(self._layers[name].training)
            self.backbone.set_submodule(name, original)

    def put_in(self) -> None:
        """Put the wrapped layers in again."""
        for name, layer in self._layers.items():
            layer.train(self._originals[name].training)
            self.backbone.set_submodule(name, layer)

    @contextmanager
    def on(self, weights: Mapping[str, float | Tensor]) -> Iterator[None]:
        """A context in which exactly these experts answer, each times its weight; with none it is the base."""
        layers = self._layers.values()
        with _afterwards(remember(layers)):
            activate(layers, {_internal(name): weight for name, weight in weights.items()})
            yield

    def recompute_context(self) -> AbstractContextManager[None]:
        """See Hooks.recompute_context: a context in which those answer that are on at the moment."""
        return self._as(remember(self._layers.values()))

    @contextmanager
    def _as(self, restore: Callable[[], None]) -> Iterator[None]:
        with _afterwards(remember(self._layers.values())):
            restore()
            yield

    def parameters(self, name: str) -> dict[str, nn.Parameter]:
        """One expert's parameters by the names of a LoRA's file."""
        return named(self._layers, _internal(name))

    def write(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Give an expert the weights of a LoRA; raises AdapterError where they do not fit."""
        parameters = self.parameters(name)
        check_fit(state, {key: tuple(parameter.shape) for key, parameter in parameters.items()})
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(state[key])

    def _inject(self, name: str, *, beside: bool) -> None:
        self._layers = inject(self.backbone, self.config, self.layers, _internal(name), beside=beside)

    def _settle(self) -> None:
        activate(self._layers.values(), {})
        for name, layer in self._layers.items():
            layer.train(self._originals[name].training)


@contextmanager
def _afterwards(restore: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        restore()


def layers_in(state: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The layers that a LoRA's state belongs to, in its order."""
    return tuple(dict.fromkeys(key.removeprefix(PREFIX).partition(".lora_")[0] for key in state))


def different(first: LoraConfig, second: LoraConfig) -> list[str]:
    """Settings by which two LoRAs cannot stand in the same layers; dropout may differ."""
    names = ("rank", "alpha", "rank_stabilised", "dora", "targets")
    return [name for name in names if getattr(first, name) != getattr(second, name)]


def _internal(name: str) -> str:
    """What peft calls an expert."""
    return f"expert_{name}"
