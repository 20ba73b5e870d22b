"""Context priors: what is known of a prompt beside the pixels, as learned tokens that the image and the decoder read.

Sources: Gao et al. 2024 (Hermes), arXiv:2306.02416; Mihailov et al. 2024, SergheiMihailov/adapt_med_seg. The base is
frozen; LoRA on its layers may train beside the priors, as in the study. Before the first step the adapted network
is the base, bit for bit.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import AdapterError
from ...models.backbone import BackboneModule
from ...vocabulary import Context, Modality, canonical
from ..base import BaseAdapter
from ..config import AdapterConfig
from ..lora import LoraAdapter, LoraConfig
from .config import ContextPriorConfig
from .nearest import nearest
from .network import CLASSES, PriorNetwork
from .token_pool import key, names_in

MODULE = "context_prior"
"""Under this name the priors are a part of the network while they are attached, beside its own parts."""

POOL = "prior.pool."
_LOG = logging.getLogger(__name__)
_MEASUREMENT: ContextVar[tuple["ContextPriorAdapter", dict[str, list[float]]] | None] = ContextVar(
    "_MEASUREMENT", default=None
)
"""The adapter that a thread measures at the moment, and what was noted."""
_KINDS = {"structures": "structure", "modalities": "modality"}


class LoraBeside(LoraAdapter):
    """LoRA that another adapter brings along: it enters and leaves with that one, and is not itself attached."""

    def enter(self, backbone: BackboneModule) -> None:
        """Wrap the layers."""
        self._backbone = backbone
        self._enter(backbone)

    def leave(self) -> None:
        """Put the base's layers back, where it entered."""
        if self._backbone is not None:
            self._leave()

    def enter_again(self) -> None:
        """Put the same wrapped layers in after `leave`."""
        self._return()

    def forget(self) -> None:
        """Drop all that belongs to the network it has left."""
        self._backbone = None
        self._forget()

    def named(self) -> dict[str, nn.Parameter]:
        """What trains, by the names of LoRA's state."""
        return self._parameters()


class ContextPriorAdapter(BaseAdapter):
    """Context priors, see the module; `ContextPriorConfig` holds the choices.

    The tokens of a structure after fusion reach the prototypes as the state that `fuse` hands to the later hooks.

    Attributes:
        stand_ins: for each name that was asked for and has no tokens, the one whose tokens were taken; None for those
            of the unknown.
    """

    method: ClassVar[str] = "context_prior"
    config_type: ClassVar[type[AdapterConfig]] = ContextPriorConfig
    module: ClassVar[str | None] = MODULE

    def __init__(self, config: ContextPriorConfig | None = None) -> None:
        super().__init__(config)
        settings = self.config
        self._modalities = settings.modalities
        self._lora = (
            LoraBeside(
                LoraConfig(
                    rank=settings.lora_rank,
                    alpha=settings.lora_alpha,
                    targets=settings.lora_targets,
                    also_train=settings.also_train,
                )
            )
            if settings.lora_rank
            else None
        )
        self._network: PriorNetwork | None = None
        self._loss: Tensor | None = None
        self.stand_ins: dict[tuple[str, str], str | None] = {}

    @property
    def config(self) -> ContextPriorConfig:
        """The settings it was made with."""
        assert isinstance(self._config, ContextPriorConfig)
        return self._config

    @property
    def network(self) -> PriorNetwork:
        """Its own parts; raises AdapterError while it is attached to nothing."""
        if self._network is None:
            raise AdapterError("context priors have no parts before they are attached to a network; call attach first.")
        return self._network

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities that have tokens."""
        return self._modalities

    def add_structures(self, structures: Iterable[str]) -> None:
        """Name structures that it is, or will be, trained on; each gets tokens, drawn by its name."""
        super().add_structures(structures)
        self._fill()

    def add(self, name: str | Modality, like: str | Modality | None = None) -> None:
        """Make tokens for a structure, or for a Modality, that has none.

        Args:
            name: a structure, or a member of Modality.
            like: one of the same kind whose tokens the new ones start from (attached only); None draws them by name.

        Raises:
            AdapterError: `like` has no tokens, or it is not attached.
        """
        kind = "modalities" if isinstance(name, Modality) else "structures"
        plain = str(name) if isinstance(name, Modality) else canonical(name)
        if like is not None:
            source = str(like) if isinstance(like, Modality) else canonical(like)
            if source not in self.network.pool.names(kind):
                raise AdapterError(f'there are no tokens of "{source}" to start from; name a {_KINDS[kind]} that has.')
            self.network.pool.add(kind, plain, source)
        if kind == "structures":
            self.add_structures([plain])
        else:
            self._modalities = tuple(dict.fromkeys((*self._modalities, plain)))
            self._fill()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """See Adapter.load_state; names that have tokens in `state` are taken over with them."""
        own_structures = {canonical(name) for name in self.structures}
        self._modalities = tuple(dict.fromkeys((*self._modalities, *names_in(state, POOL, "modalities"))))
        self.add_structures(name for name in names_in(state, POOL, "structures") if name not in own_structures)
        super().load_state(state)

    def auxiliary_loss(self) -> Tensor | None:
        """The weighted loss of naming the modality in the last decoding of training, a scalar; once, then None."""
        loss, self._loss = self._loss, None
        return loss

    @contextmanager
    def measured(self) -> Iterator[dict[str, list[float]]]:
        """A context that notes how large the prototypes are, relative to what they are added to, in this thread.

        Yields:
            By structure ("" where it is not known), for each prompt decoded meanwhile: length of the addition over
            length of the mask token (additive; the mean of all mask tokens) or mask vector (multiplicative).
        """
        sizes: dict[str, list[float]] = {}
        token = _MEASUREMENT.set((self, sizes))
        try:
            yield sizes
        finally:
            _MEASUREMENT.reset(token)

    def _fill(self) -> None:
        self.stand_ins.clear()
        if self._network is not None:
            for name in self._structures:
                self._network.pool.add("structures", canonical(name))
            for name in self._modalities:
                self._network.pool.add("modalities", name)

    def _enter(self, backbone: BackboneModule) -> None:
        sizes = backbone.spec.decoder
        if sizes is None:
            raise AdapterError("this network does not offer its decoder to context priors; use LoRA instead.")
        if hasattr(backbone, MODULE):
            raise AdapterError(f'this network has a part "{MODULE}" of its own; context priors cannot enter it.')
        if self._lora is not None:
            self._lora.enter(backbone)
        self._network = PriorNetwork(self.config, sizes)
        self._fill()
        self._network.to(backbone.device)
        self._put_in()

    def _put_in(self) -> None:
        backbone, network = self.backbone, self.network
        backbone.add_module(MODULE, network.train(backbone.training))
        backbone.hooks.fuse = self._fuse
        if network.additive is not None:
            backbone.hooks.mask_tokens = self._add
        if network.multiplicative is not None:
            backbone.hooks.mask_vectors = self._add

    def _leave(self) -> None:
        hooks = self.backbone.hooks
        hooks.fuse = hooks.mask_tokens = hooks.mask_vectors = None
        if self._network is not None and getattr(self.backbone, MODULE, None) is self._network:
            delattr(self.backbone, MODULE)
        if self._lora is not None:
            self._lora.leave()
        self._loss = None

    def _return(self) -> None:
        if self._lora is not None:
            self._lora.enter_again()
        self._put_in()

    def _fold(self) -> None:
        raise AdapterError("context priors depend on each prompt, so they cannot be merged into fixed weights.")

    def _forget(self) -> None:
        self._network = None
        self.stand_ins.clear()
        if self._lora is not None:
            self._lora.forget()

    def _parameters(self) -> dict[str, nn.Parameter]:
        prior_parameters = {f"prior.{name}": parameter for name, parameter in self.network.named_parameters()}
        return prior_parameters if self._lora is None else {**prior_parameters, **self._lora.named()}

    def _write(self, state: Mapping[str, Tensor]) -> None:
        """Tokens of names that the state does not know keep the values they start from."""
        pool_parameters = {name: parameter for name, parameter in self._parameters().items() if name.startswith(POOL)}
        super()._write({**pool_parameters, **state})

    def _fuse(self, image: Tensor, contexts: Sequence[Context]) -> tuple[Tensor, Tensor]:
        """Hooks.fuse; the state is the posteriors of the structures (P, T, w)."""
        network = self.network
        modalities = [self._held("modalities", context.modality) for context in contexts]
        structures = [self._held("structures", context.structure) for context in contexts]
        adapted, modality, structure = network(image, modalities, structures)
        if network.head is not None and network.training and torch.is_grad_enabled():
            classes = [-1 if context.modality is None else CLASSES.index(context.modality) for context in contexts]
            loss = network.head(modality, torch.tensor(classes, device=modality.device))
            self._loss = None if loss is None else self.config.auxiliary_weight * loss
        return adapted, structure

    def _add(self, values: Tensor, contexts: Sequence[Context], posterior: Tensor) -> Tensor:
        """Hooks.mask_tokens or Hooks.mask_vectors: (P, M, ...) plus the prototypes."""
        prototypes = self.network.additive or self.network.multiplicative
        assert prototypes is not None
        added: Tensor = prototypes(posterior).to(values.dtype)
        measuring, noted = _MEASUREMENT.get() or (None, {})
        if measuring is self:
            sizes = (added.detach().float().norm(dim=-1) / values.detach().float().norm(dim=-1)).mean(dim=1)
            for context, size in zip(contexts, sizes.tolist(), strict=True):
                noted.setdefault(canonical(context.structure or ""), []).append(size)
        return values + added

    def _held(self, kind: str, asked: str | None) -> str | None:
        """The name in the token pool that stands for `asked`: itself, or the nearest one, which is logged once."""
        if asked is None:
            return None
        name = str(asked) if kind == "modalities" else canonical(asked)
        pool = self.network.pool
        if key(name) in (pool.structures if kind == "structures" else pool.modalities):
            return name
        if (kind, name) not in self.stand_ins:
            nearest_name = nearest(name, pool.names(kind), self.backbone)
            self.stand_ins[kind, name] = nearest_name
            tokens_taken = (
                f'those of "{nearest_name}", the nearest known'
                if nearest_name
                else f"those of an unknown {_KINDS[kind]}"
            )
            _LOG.warning('this adapter has learned no tokens for "%s" and takes %s.', name, tokens_taken)
        return self.stand_ins[kind, name]
