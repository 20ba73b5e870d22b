"""The seam behind which every method of adaptation lives.

An adapter is attached to a backbone, which freezes all of the base; what then trains is exactly what the adapter
lists, and `trainable` shows it. Detached, the base is back bit for bit, and the adapter keeps its weights. Several may
be attached, of which one at a time is on: switched off, an adapter leaves the base bit for bit and keeps its parts, so
that it is on again without a copy of a weight (see switch.py). An adapter touches the layers that
`backbone.spec.adaptable` names, the parameters that its settings name, and `backbone.hooks`: nothing else. A module of
its own it may hang beside the network's parts, so that it trains, moves and changes mode with them.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule, Spec
from ..vocabulary import Context
from .config import AdapterConfig
from .state_checks import check_fit
from .switch import attached, require_network, switched


def trainable(backbone: nn.Module) -> dict[str, int]:
    """Name and number of values of every parameter that asks for gradients, as they are named at the moment."""
    return {name: p.numel() for name, p in backbone.named_parameters() if p.requires_grad}


class BaseAdapter(ABC):
    """What all methods share: one adapter a backbone, freezing, keeping weights while detached, checks of state.

    A method defines `method`, `config_type` and the six underscored functions at the end.
    """

    method: ClassVar[str]
    config_type: ClassVar[type[AdapterConfig]]
    module: ClassVar[str | None] = None  # the name of a part of its own that it hangs beside the network's

    def __init__(self, config: AdapterConfig | None = None) -> None:
        self._config = self.config_type() if config is None else config
        self._backbone: BackboneModule | None = None
        self._flags: list[tuple[nn.Parameter, bool]] = []
        self._own_flags: list[tuple[nn.Parameter, bool]] = []
        self._kept: dict[str, Tensor] | None = None
        self._spec: Spec | None = None
        self._structures: tuple[str, ...] = ()
        self._exchanged_greys = True

    @property
    def structures(self) -> tuple[str, ...]:
        """Structures that it was trained on; the network answers to their names while it is attached."""
        return self._structures

    def peft_settings(self, base: str) -> dict[str, Any]:
        """What peft needs to read the saved adapter, as plain values; nothing for a method that peft does not know."""
        return {}

    def add_structures(self, structures: Iterable[str]) -> None:
        """Name structures that it is, or will be, trained on."""
        self._structures = tuple(dict.fromkeys((*self._structures, *structures)))
        self._renew_spec()

    @property
    def exchanged_greys(self) -> bool:
        """Whether its network may be asked with bright and dark exchanged, see `Spec`."""
        return self._exchanged_greys

    def forgo_exchanged_greys(self) -> None:
        """Say that it is, or will be, trained on scans as they are, so that its network is asked of no others."""
        self._exchanged_greys = False
        self._renew_spec()

    def take_over(self, structures: Iterable[str], exchanged_greys: bool) -> None:
        """Say of itself what a folder, or another adapter, says that it learned; see the properties of these names."""
        self.add_structures(structures)
        if not exchanged_greys:
            self.forgo_exchanged_greys()

    def _renew_spec(self) -> None:
        if self._backbone is not None and attached(self._backbone) is self:
            self._backbone.spec = self.adapted_spec()

    def adapted_spec(self) -> Spec:
        """The spec of its network while it is on: the base's, with the structures that it was trained on.

        Raises:
            AdapterError: it is not attached.
        """
        base = self._spec or self.backbone.spec
        if not self._exchanged_greys:
            base = replace(base, exchanged_greys=False)
        if not base.structures:
            return base
        return replace(base, structures=tuple(dict.fromkeys((*base.structures, *self._structures))))

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
        """See Adapter.attach; it is on.

        Raises:
            AdapterError: it or the backbone is taken already, or its settings or kept weights do not fit.
        """
        if self._backbone is not None:
            raise AdapterError(f"this {self.method} adapter is attached already; detach it first.")
        require_network(backbone)
        with backbone.lock:
            self._require_free(backbone)
            self._spec = backbone.spec
            self._flags = _flags(backbone)
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
            backbone.adapters.active = self
            backbone.spec = self.adapted_spec()

    def detach(self) -> None:
        """See Adapter.detach, on or off; gradients are dropped.

        Raises:
            AdapterError: it is not attached.
        """
        with self._on():
            self._kept = self.state()
            self._leave()
            self._release()

    def switch_off(self) -> None:
        """See Adapter.switch_off; its gradients and what asks for them stay as they are. Without effect when off.

        Raises:
            AdapterError: it is not attached.
        """
        backbone = self.backbone
        with backbone.lock:
            if attached(backbone) is not self:
                return
            self._own_flags = _flags(backbone)
            self._leave()
            _restore(self._flags)
            backbone.spec = self._spec or backbone.spec
            backbone.adapters.active = None
            backbone.adapters.standby.append(self)

    def switch_on(self) -> None:
        """See Adapter.switch_on; without effect when on.

        Raises:
            AdapterError: it is not attached, or another one is on.
        """
        backbone = self.backbone
        with backbone.lock:
            if attached(backbone) is self:
                return
            self._require_free(backbone)
            self._spec, self._flags, place = backbone.spec, _flags(backbone), backbone.device
            self._return()
            if any(parameter.device != place for parameter in self._parameters().values()):
                backbone.to(place)
            _restore(self._own_flags)
            backbone.adapters.standby.remove(self)
            backbone.adapters.active = self
            backbone.spec = self.adapted_spec()

    def is_attached_to(self, backbone: BackboneModule) -> bool:
        """Whether it is attached to this backbone, on or off."""
        return self._backbone is backbone

    @contextmanager
    def suspended(self) -> Iterator[BackboneModule]:
        """See Adapter.suspended; the network still answers to the names of its structures, and its lock is held.

        Raises:
            AdapterError: it is not attached.
        """
        backbone = self.backbone
        with backbone.lock:
            spec = self.adapted_spec()
            with switched(backbone, None):
                bare, backbone.spec = backbone.spec, spec
                try:
                    yield backbone
                finally:
                    backbone.spec = bare

    def revision(self) -> Hashable:
        """See Adapter.revision; training and loading change it, switching does not."""
        return id(self), sum(parameter._version for parameter in self._parameters().values())

    def _on(self) -> AbstractContextManager[None]:
        """A context in which it is on; raises AdapterError where it is not attached."""
        return switched(self.backbone, self)

    @staticmethod
    def _require_free(backbone: BackboneModule) -> None:
        other = attached(backbone)
        if other is not None:
            raise AdapterError(
                f"the network carries a {other.method} adapter already; detach, merge or switch off that one first."
            )

    def state(self) -> dict[str, Tensor]:
        """See Adapter.state; copies.

        Raises:
            AdapterError: it was neither attached nor loaded yet.
        """
        if self._backbone is not None:
            with self._on():
                return self._learned()
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
            with self._on():
                self._write(state)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """See Adapter.trainable_parameters."""
        return list(self._parameters().values())

    @property
    def lr_multipliers(self) -> Mapping[str, float]:
        """See Adapter.lr_multipliers; one rate for all, unless a method knows better."""
        return {}

    def auxiliary_loss(self) -> Tensor | None:
        """See Adapter.auxiliary_loss; nothing, unless a method has such a loss."""
        return None

    def absence(self, context: Context, routed: Tensor | None) -> str | None:
        """See Adapter.absence; it has a part in every answer, unless a method chooses."""
        return None

    def merge(self) -> None:
        """See Adapter.merge; the adapter keeps its weights and is detached.

        Raises:
            AdapterError: it is not attached, others are, or it cannot be folded into the base.
        """
        backbone = self.backbone
        with self._on():
            if backbone.adapters.standby:
                other = backbone.adapters.standby[0].method
                raise AdapterError(
                    f"a {other} adapter of this network is switched off and would return to another base; "
                    "detach it before you merge."
                )
            weights = self.state()
            self._fold()
            self._kept = weights
            self._spec = backbone.spec  # what it learned stays
            self._release()
            backbone.adapters.merge_count += 1

    def _release(self) -> None:
        """Give the backbone its own gradient flags back and forget it."""
        _restore(self._flags)
        for parameter, _ in self._flags:
            parameter.grad = None
        if self._backbone is not None:
            self._backbone.adapters.active = None
            self._backbone.spec = self._spec or self._backbone.spec
        self._flags, self._own_flags, self._backbone, self._spec = [], [], None, None
        self._forget()

    def _learned(self) -> dict[str, Tensor]:
        """What `state` gives while it is on; copies."""
        return {name: parameter.detach().clone() for name, parameter in self._parameters().items()}

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


def _flags(backbone: nn.Module) -> list[tuple[nn.Parameter, bool]]:
    return [(parameter, parameter.requires_grad) for parameter in backbone.parameters()]


def _restore(flags: Iterable[tuple[nn.Parameter, bool]]) -> None:
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
