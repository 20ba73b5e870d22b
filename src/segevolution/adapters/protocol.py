"""The protocol of an adapter: all that the rest of the package calls."""

from collections.abc import Hashable, Mapping
from contextlib import AbstractContextManager
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from ..models.backbone import BackboneModule, Spec
from ..vocabulary import Context
from .config import AdapterConfig


@runtime_checkable
class Adapter(Protocol):
    """A method of adaptation with its settings and weights, see base.py."""

    method: ClassVar[str]

    @property
    def config(self) -> AdapterConfig:
        """The settings it was made with."""
        ...

    def adapted_spec(self) -> Spec:
        """The spec of its network while it is on."""
        ...

    def revision(self) -> Hashable:
        """Another value for other weights: what an encoding made with it belongs to."""
        ...

    def attach(self, backbone: BackboneModule) -> None:
        """Freeze the base and enter it; with weights from an earlier life, continue them."""
        ...

    def detach(self) -> None:
        """Leave; the base is again what it was, bit for bit."""
        ...

    def switch_off(self) -> None:
        """Leave the network to others, or to the bare base, and stay attached."""
        ...

    def switch_on(self) -> None:
        """Be again what the network answers by."""
        ...

    def is_attached_to(self, backbone: BackboneModule) -> bool:
        """Whether it is attached to this backbone, on or off."""
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
    def lr_multipliers(self) -> Mapping[str, float]:
        """Factors on the learning rate by the beginning of parameters' names in the network, where a run says none."""
        ...

    def auxiliary_loss(self) -> Tensor | None:
        """What it adds to the loss of the last decoding, a weighted scalar; None where it adds nothing."""
        ...

    def absence(self, context: Context, routed: Tensor | None) -> str | None:
        """Why it had no part in an answer, a clause; None where it had one.

        Args:
            context: what was known when it was asked.
            routed: (K,) float, what its experts weighed in the encodings of the image together, see `Features.routing`.
        """
        ...

    def merge(self) -> None:
        """Fold the adapter into the base for good, or an AdapterError that says why not."""
        ...
