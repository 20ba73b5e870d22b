"""Attach several adapters to one network, switch between them, and run sessions with different ones side by side."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..errors import AdapterError
from ..models.backbone import BackboneModule, Features, Masks, PromptBatch, Spec
from ..vocabulary import Context, Modality
from .protocol import Adapter


def attached(backbone: BackboneModule) -> Adapter | None:
    """The adapter that a backbone answers by at the moment; those that are switched off are not it."""
    adapter: Adapter | None = backbone.adapters.active
    return adapter


def require_network(backbone: object) -> None:
    """Refuse, with an AdapterError, what is no network."""
    if not isinstance(backbone, BackboneModule):
        raise AdapterError(
            f"an adapter belongs to a network, such as load() gives, not to a {type(backbone).__name__}."
        )


@contextmanager
def switched(backbone: BackboneModule, adapter: Adapter | None) -> Iterator[None]:
    """A context in which a backbone answers by this adapter, or None for the bare base; the lock is held throughout.

    Afterwards it answers by what it answered by before, whatever was attached or switched meanwhile.

    Raises:
        AdapterError: the adapter is not attached to this backbone.
    """
    with backbone.lock:
        before = attached(backbone)
        switch(backbone, adapter)
        try:
            yield
        finally:
            switch(backbone, before if before is not None and before.is_attached_to(backbone) else None)


def switch(backbone: BackboneModule, adapter: Adapter | None) -> None:
    """Let a backbone answer by this adapter from now on, or by None as the bare base; raises as `switched`."""
    if adapter is not None and not adapter.is_attached_to(backbone):
        raise AdapterError(f"this {adapter.method} adapter is not attached to this network; attach it first.")
    now = attached(backbone)
    if now is adapter:
        return
    if now is not None:
        now.switch_off()
    if adapter is not None:
        adapter.switch_on()


class AdaptedNetwork:
    """A network together with the adapter that it is to answer by, whatever else it carries at the moment.

    It is used in place of the network by whoever asks: each call takes the network's lock, switches the adapter on
    where it is off, and leaves the network as it was. So threads share one network, each with an adapter of its own.

    Args:
        backbone: the network.
        adapter: attached to it, on or off; None for the bare base.

    Raises:
        AdapterError: the adapter is not attached to this network; every call raises it once that is so.
    """

    @classmethod
    def of(cls, network: "BackboneModule | AdaptedNetwork") -> "AdaptedNetwork":
        """A network with the adapter that is on at the moment; one that has its adapter stays as it is."""
        if isinstance(network, AdaptedNetwork):
            return network
        with network.lock:
            return cls(network, attached(network))

    def __init__(self, backbone: BackboneModule, adapter: Adapter | None) -> None:
        self.backbone, self.adapter = backbone, adapter
        with switched(backbone, adapter):
            self._bare = backbone.spec

    @property
    def spec(self) -> Spec:
        """The network's, with the structures that the adapter was trained on."""
        return self._bare if self.adapter is None else self.adapter.adapted_spec()

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.backbone.device

    def revision(self) -> Hashable:
        """Another value for other weights of the adapter, or after a merge: what features of an image belong to."""
        return self.backbone.adapters.merge_count, None if self.adapter is None else self.adapter.revision()

    def encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """See Backbone.encode."""
        with switched(self.backbone, self.adapter):
            return self.backbone.encode(images, modalities)

    def decode(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context], *, multimask: bool = False
    ) -> Masks:
        """See Backbone.decode."""
        with switched(self.backbone, self.adapter):
            return self.backbone.decode(features, prompts, contexts, multimask=multimask)
