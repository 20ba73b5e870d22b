"""Baselines that train the network itself: all of it, its decoder, or its biases.

They stand behind the same interface, so that a study compares them with small adapters on equal terms. Their files
hold every tensor that changed, whole. While attached they keep a copy of the base's values of what trains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import AdapterError
from ..models.backbone import BackboneModule
from . import targets as choose
from .base import BaseAdapter
from .config import AdapterConfig
from .in_place import InPlace
from .state_checks import check_fit


@dataclass(frozen=True)
class FullConfig(AdapterConfig):
    """What trains.

    Attributes:
        parts: parameters or modules by name or pattern, see `targets.parameters`; empty takes the method's own.
    """

    limits: ClassVar[Mapping[str, float]] = {"parts": 10_000}

    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.parts, str):
            raise AdapterError("parts is a list of names; put a single name into a list.")


class FullAdapter(BaseAdapter):
    """Full fine-tuning: everything that the network itself lets train, so not what its config froze (a text tower)."""

    method: ClassVar[str] = "full"
    config_type: ClassVar[type[AdapterConfig]] = FullConfig
    parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: FullConfig | None = None) -> None:
        super().__init__(config)
        self._in_place = InPlace({})

    @property
    def config(self) -> FullConfig:
        """The settings it was made with."""
        assert isinstance(self._config, FullConfig)
        return self._config

    def _learned(self) -> dict[str, Tensor]:
        """See Adapter.state: the tensors that differ from the base."""
        return self._in_place.changed()

    def _enter(self, backbone: BackboneModule) -> None:
        parts = self.config.parts or self.parts
        if parts:
            self._in_place = InPlace(choose.parameters(backbone, parts))
            return
        free = {id(parameter) for parameter, flag in self._flags if flag}
        self._in_place = InPlace({name: p for name, p in backbone.named_parameters() if id(p) in free})

    def _leave(self) -> None:
        self._in_place.restore()

    def _return(self) -> None:
        self._in_place.reapply()

    def _fold(self) -> None:
        """The values are in the base already; leaving without restoring gives up the way back."""

    def _forget(self) -> None:
        self._in_place = InPlace({})

    def _parameters(self) -> dict[str, nn.Parameter]:
        return self._in_place.parameters

    @torch.no_grad()
    def _write(self, state: Mapping[str, Tensor]) -> None:
        check_fit(state, {name: tuple(p.shape) for name, p in self._parameters().items()}, partly=True)
        for name, parameter in self._parameters().items():
            parameter.copy_(state.get(name, self._in_place.base[name]))


class DecoderAdapter(FullAdapter):
    """Decoder-only fine-tuning: the group "decoder" of the network's parameters; one without it needs `parts`."""

    method: ClassVar[str] = "decoder"
    parts: ClassVar[tuple[str, ...]] = ("decoder",)


class BiasAdapter(FullAdapter):
    """The biases of all adaptable layers, after BitFit (Ben Zaken et al. 2021, arXiv:2106.10199)."""

    method: ClassVar[str] = "bias"
    parts: ClassVar[tuple[str, ...]] = (choose.BIASES,)
