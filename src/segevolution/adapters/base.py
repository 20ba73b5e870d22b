"""The seam behind which every method of adaptation lives.

An adapter is attached to a backbone, which freezes all of the base; what then trains is exactly what the adapter
lists, and `trainable` shows it. Detached, the base is back bit for bit, and the adapter keeps its weights, so a
session switches between adapters without reading the base again. An adapter touches the layers that
`backbone.spec.adaptable` names, the parameters that its settings name, and `backbone.hooks`: nothing else. A module of
its own it may hang beside the network's parts, so that it trains, moves and changes mode with them.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule, Spec
from ..vocabulary import closest
from .states import check_fit


@runtime_checkable
class Adapter(Protocol):
    """What the rest of the package knows of an adapter."""

    method: ClassVar[str]

    @property
    def config(self) -> "AdapterConfig":
        """The settings it was made with."""
        ...

    def attach(self, backbone: BackboneModule) -> None:
        """Freeze the base and enter it; with weights from an earlier life, continue them."""
        ...

    def detach(self) -> None:
        """Leave; the base is again what it was, bit for bit."""
        ...

    def suspended(self) -> AbstractContextManager[BackboneModule]:
        """A context in which the backbone is the bare base; afterwards the same parameters are back."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What has been learned, by stable names: what a file holds."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave, attached or not."""
        ...

    def trainable_parameters(self) -> list[nn.Parameter]:
        """What an optimiser gets, and nothing beside it asks for gradients."""
        ...

    @property
    def rates(self) -> Mapping[str, float]:
        """Factors on the learning rate by the beginning of parameters' names in the network, where a run says none."""
        ...

    def auxiliary_loss(self) -> Tensor | None:
        """What it adds to the loss of the last decoding, a weighted scalar; None where it adds nothing."""
        ...

    def merge(self) -> None:
        """Fold the adapter into the base for good, or an AdapterError that says why not."""
        ...


@dataclass(frozen=True)
class AdapterConfig:
    """Settings of a method; each method extends it with fields of plain values and tuples of them.

    Attributes:
        presets: name -> settings to start from; a method without any has no key "preset".
        preset_word: what one is called in a sentence.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset_word: ClassVar[str] = "preset"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @classmethod
    def preset(cls, name: str) -> Self:
        """One of `presets` by name; raises AdapterError for another."""
        if name not in cls.presets:
            raise AdapterError(f'"{name}" is not a {cls.preset_word}; known are {", ".join(cls.presets)}.')
        return cls(**cls.presets[name])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """From what `to_dict` gave, or a recipe wrote; what is not said keeps its default, or its preset's value.

        Raises:
            AdapterError: an unknown setting (the sentence names the nearest), or an impossible value.
        """
        if cls.presets and "preset" in values:
            said = {key: value for key, value in values.items() if key != "preset"}
            values = {**cls.preset(values["preset"]).to_dict(), **said}
        known = [part.name for part in fields(cls)]
        for key in values:
            if key not in known:
                near = closest(key, known)
                hint = f'did you mean "{near}"?' if near else f"known are {', '.join(known) or 'none'}."
                raise AdapterError(f'"{key}" is not a setting of this adapter; {hint}')
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


_ATTACHED: "weakref.WeakKeyDictionary[nn.Module, BaseAdapter]" = weakref.WeakKeyDictionary()


def attached(backbone: nn.Module) -> "BaseAdapter | None":
    """The adapter that a backbone carries at the moment."""
    return _ATTACHED.get(backbone)


def trainable(backbone: nn.Module) -> dict[str, int]:
    """Name and number of values of every parameter that asks for gradients, as they are named at the moment."""
    return {name: p.numel() for name, p in backbone.named_parameters() if p.requires_grad}


class BaseAdapter(ABC):
    """What all methods share: one adapter a backbone, freezing, keeping weights while detached, checks of state.

    A method defines `method`, `config_type` and the six underscored functions at the end.
    """

    method: ClassVar[str]
    config_type: ClassVar[type[AdapterConfig]]

    def __init__(self, config: AdapterConfig | None = None) -> None:
        self._config = self.config_type() if config is None else config
        self._backbone: BackboneModule | None = None
        self._flags: list[tuple[nn.Parameter, bool]] = []
        self._kept: dict[str, Tensor] | None = None
        self._spec: Spec | None = None
        self._structures: tuple[str, ...] = ()

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures that it was trained on; the network answers to their names while it is attached."""
        return self._structures

    def peft_settings(self, base: str) -> dict[str, Any]:
        """What peft needs to read the saved adapter, as plain values; nothing for a method that peft does not know."""
        return {}

    def teach(self, structures: Iterable[str]) -> None:
        """Name structures that it is, or will be, trained on."""
        self._structures = tuple(dict.fromkeys((*self._structures, *structures)))
        self._extend()

    def _extend(self) -> None:
        if self._backbone is not None and self._backbone.spec.structures:
            known = tuple(dict.fromkeys((*self._backbone.spec.structures, *self._structures)))
            self._backbone.spec = replace(self._backbone.spec, structures=known)

    @property
    def config(self) -> AdapterConfig:
        """The settings it was made with."""
        return self._config

    @property
    def backbone(self) -> BackboneModule:
        """The network it is attached to; raises AdapterError where there is none."""
        if self._backbone is None:
            raise AdapterError(f"this {self.method} adapter is not attached to a network; call attach first.")
        return self._backbone

    def attach(self, backbone: BackboneModule) -> None:
        """See Adapter.attach.

        Raises:
            AdapterError: it or the backbone is taken already, or its settings or kept weights do not fit.
        """
        if self._backbone is not None:
            raise AdapterError(f"this {self.method} adapter is attached already; detach it first.")
        other = attached(backbone)
        if other is not None:
            raise AdapterError(f"the network carries a {other.method} adapter already; detach or merge that one first.")
        self._flags = [(parameter, parameter.requires_grad) for parameter in backbone.parameters()]
        backbone.requires_grad_(False)
        self._backbone = backbone
        try:
            self._enter(backbone)
            if self._kept is not None:
                self._write(self._kept)
        except Exception:
            self._leave()
            self._release()
            raise
        for parameter in self.trainable_parameters():
            parameter.requires_grad_(True)
        _ATTACHED[backbone] = self
        self._spec = backbone.spec
        self._extend()

    def detach(self) -> None:
        """See Adapter.detach; gradients are dropped.

        Raises:
            AdapterError: it is not attached.
        """
        self._kept = self.state()
        self._leave()
        self._release()

    @contextmanager
    def suspended(self) -> Iterator[BackboneModule]:
        """See Adapter.suspended.

        Raises:
            AdapterError: it is not attached.
        """
        backbone = self.backbone
        self._leave()
        try:
            yield backbone
        finally:
            self._return()

    def state(self) -> dict[str, Tensor]:
        """See Adapter.state; copies.

        Raises:
            AdapterError: it was neither attached nor loaded yet.
        """
        if self._backbone is not None:
            return {name: parameter.detach().clone() for name, parameter in self._parameters().items()}
        if self._kept is None:
            raise AdapterError(f"this {self.method} adapter holds no weights yet; attach it to a network first.")
        return {name: tensor.clone() for name, tensor in self._kept.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See Adapter.load_state; what does not fit is found at once if attached, else when it is.

        Raises:
            AdapterError: names what is missing, unexpected or of another shape.
        """
        if self._backbone is None:
            self._kept = {name: tensor.detach().clone() for name, tensor in state.items()}
        else:
            self._write(state)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """See Adapter.trainable_parameters."""
        return list(self._parameters().values())

    @property
    def rates(self) -> Mapping[str, float]:
        """See Adapter.rates; one rate for all, unless a method knows better."""
        return {}

    def auxiliary_loss(self) -> Tensor | None:
        """See Adapter.auxiliary_loss; nothing, unless a method has such a loss."""
        return None

    def merge(self) -> None:
        """See Adapter.merge; the adapter keeps its weights and is detached.

        Raises:
            AdapterError: it is not attached, or cannot be folded into the base.
        """
        kept = self.state() if self.backbone is not None else None
        self._fold()
        self._kept = kept
        self._spec = self.backbone.spec  # what it learned stays
        self._release()

    def _release(self) -> None:
        """Give the backbone its own gradient flags back and forget it."""
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        if self._backbone is not None:
            _ATTACHED.pop(self._backbone, None)
            self._backbone.spec = self._spec or self._backbone.spec
        self._flags, self._backbone = [], None
        self._forget()

    def _write(self, state: Mapping[str, Tensor]) -> None:
        """Copy exactly fitting tensors into the parameters; raises AdapterError otherwise."""
        parameters = self._parameters()
        check_fit(state, {name: tuple(parameter.shape) for name, parameter in parameters.items()})
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state[name])

    @abstractmethod
    def _enter(self, backbone: BackboneModule) -> None:
        """Make the adapter's parts and put them in."""

    @abstractmethod
    def _leave(self) -> None:
        """Put the base back, also after an `_enter` that failed half-way; keep the parts."""

    @abstractmethod
    def _return(self) -> None:
        """Put the same parts in again after `_leave`."""

    @abstractmethod
    def _fold(self) -> None:
        """Make the adapter's effect part of the base, and take the parts out."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop all that belongs to the network it has left."""

    @abstractmethod
    def _parameters(self) -> dict[str, nn.Parameter]:
        """What trains, by the names of the state; the parameters are in the network at the moment."""
