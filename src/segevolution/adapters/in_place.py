"""Parameters of the base that an adapter trains where they are, and the way there and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class InPlace:
    """Keeps the base's values of some parameters while they train.

    Attributes:
        parameters: those that train, by name; live.
        base: copies of their values at the start.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.base = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._trained: dict[str, Tensor] = {}

    def changed(self) -> dict[str, Tensor]:
        """Copies of those that differ from the base."""
        return {
            name: parameter.detach().clone()
            for name, parameter in self.parameters.items()
            if not torch.equal(parameter.detach(), self.base[name].to(parameter.device, parameter.dtype))
        }

    def restore(self) -> None:
        """Write the base's values; the trained ones are kept for `reapply`."""
        self._trained = self.changed()
        self._copy(self.base)

    def reapply(self) -> None:
        """Write the trained values again."""
        self._copy(self._trained)

    @torch.no_grad()
    def _copy(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self.parameters[name].copy_(value)
