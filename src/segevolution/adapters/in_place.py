"""Parameters of the base that an adapter trains where they are, and the way there and back."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class InPlace:
    """Keeps the base's values of some parameters while they train; to change between the two moves no value.

    Attributes:
        parameters: those that train, by name; live.
        base: the values at the start.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.base = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        self._trained: dict[str, Tensor] | None = None

    def changed(self) -> dict[str, Tensor]:
        """Copies of those that differ from the base."""
        return {
            name: parameter.detach().clone()
            for name, parameter in self.parameters.items()
            if not torch.equal(parameter.detach(), self.base[name].to(parameter.device, parameter.dtype))
        }

    def restore(self) -> None:
        """Put the base's values in; the trained ones are kept for `reapply`. Without effect a second time."""
        if self._trained is None:
            self._trained = self._exchange(self.base)

    def reapply(self) -> None:
        """Put the trained values in again after `restore`."""
        if self._trained is not None:
            self.base = self._exchange(self._trained)
            self._trained = None

    def _exchange(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Give each parameter other storage, on its own device, and return what it had."""
        with torch.inference_mode(False):
            before = {name: parameter.detach() for name, parameter in self.parameters.items()}
            for name, parameter in self.parameters.items():
                parameter.data = values[name].to(parameter.device, parameter.dtype)
        return before
