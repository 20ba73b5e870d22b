"""Mixture of adapters: LoRA experts beside an identity expert, and a gate that chooses among them for each image.

A layer answers base(x) + sum over the chosen experts of w_e * delta_e(x). What is routed to identity runs through the
base with every expert off, so it gets the base's answer bit for bit, whatever the experts have learned and whatever
else is in the batch. Before the first step every expert's delta is zero: the adapted network is the base.

An image is routed once, when it is encoded, and its prompts are decoded with the same experts. Only the gate "task"
chooses at decoding, by the structure: an encoding never hears of one, so under it the encoder stays the base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ...errors import AdapterError
from ...models.backbone import BackboneModule, Decode, DecoderSizes, Encode, Features, Masks, PromptBatch
from ...vocabulary import Context, Modality
from .. import targets as choose
from ..base import BaseAdapter
from ..lora import LoraAdapter
from .config import GATE, MixtureConfig
from .decision import Routing, Tally, by_scores, by_table, while_learning
from .experts import Experts, different, layers_in
from .gates import NEWCOMER, LearnedGate, input_count, inputs
from .routing import RoutedGroup, back_in_order, groups, joined, of_prompts, selected

MODULE = "mixture_gate"
"""Under this name a learned gate is a part of the network while it is attached, beside its own parts."""
RATE = 3.0
"""The learning rate of a learned gate, in those of its experts."""


class MixtureAdapter(BaseAdapter):
    """A mixture of adapters, see the module; `MixtureConfig` holds the choices.

    Which experts are on is a state of the network's layers during one call, under the network's lock; what was decided
    for an image travels with its features.

    Attributes:
        tally: what was decided since it was attached.
    """

    method: ClassVar[str] = "mixture"
    config_type: ClassVar[type[MixtureConfig]] = MixtureConfig
    module: ClassVar[str | None] = MODULE

    def __init__(self, config: MixtureConfig | None = None) -> None:
        super().__init__(config)
        self._experts: Experts | None = None
        self._gate: LearnedGate | None = None
        self._loss: Tensor | None = None
        self.tally = Tally()

    @property
    def config(self) -> MixtureConfig:
        """The settings it was made with, and what `add_expert` made of them."""
        assert isinstance(self._config, MixtureConfig)
        return self._config

    def trainable_parameters(self) -> list[nn.Parameter]:
        """See Adapter.trainable_parameters; what `train` in the settings names."""
        return [parameter for name, parameter in self._parameters().items() if _part(name) in self._wanted]

    @property
    def lr_multipliers(self) -> Mapping[str, float]:
        """A learned gate learns `RATE` times as fast as its experts, or it is still unsure when they are done."""
        return {MODULE: RATE} if self._gate is not None and GATE in self._wanted else {}

    def auxiliary_loss(self) -> Tensor | None:
        """The gate's weighted losses of the last training encoding; the second call in a row returns None.

        If every image of a step went to the identity expert, no trained parameter took part in the step, and the
        backward pass would fail. The loss is then zero times the sum of all trained parameters.
        """
        loss, self._loss = self._loss, None
        return loss

    def route(self, images: Tensor, modalities: Sequence[Modality | None]) -> Routing:
        """What the gate would decide for images as `encode` takes them, outside training; nothing is counted.

        Raises:
            AdapterError: it is not attached, or decides by structure.
        """
        if self.config.gate == "task":
            raise AdapterError("a task gate decides by the structure of each prompt, not by the image.")
        if self._gate is None:
            return by_table(self.config, modalities, images.device)
        with torch.no_grad():
            with self.suspended() as base:
                features = base.encode(images, modalities)
            return by_scores(self.config, self._gate.one_by_one(inputs(features, self._sizes), modalities))

    def add_expert(self, name: str, lora: LoraAdapter | None = None, *, key: str = "", alone: bool = False) -> None:
        """Add an expert; every tensor of the others, and of the gate, stays as it is.

        A learned gate will hardly choose it before it is trained again. An optimiser that exists does not know it.

        Args:
            name: of the expert.
            lora: what it starts from, trained on the same base; None starts from nothing.
            key: the modality, or structure, that leads to it, where its name does not say that.
            alone: from now on only it trains, and the gate where that learns.

        Raises:
            AdapterError: the mixture is not attached, the name is taken, or `lora` has other settings.
        """
        experts, old = self._inside(), self.config
        train = (*old.train, name) if old.train else ()
        if alone:
            train = (name, GATE) if old.learned else (name,)
        table = (*old.table, (key, name)) if key else old.table
        new = replace(old, experts=(*old.experts, name), table=table, train=train)
        with self._on():
            experts.add(name)
            if lora is not None:
                try:
                    self.fill(name, lora)
                except AdapterError:
                    experts.remove(name)
                    raise
        if self._gate is not None:
            self._gate.add(name, NEWCOMER)
        self._config = new
        self._mark()

    def fill(self, name: str, lora: LoraAdapter) -> None:
        """Give an expert the weights of a LoRA.

        Raises:
            AdapterError: the mixture is not attached, has no such expert, or `lora` has other settings.
        """
        experts = self._inside()
        if name not in experts.names:
            raise AdapterError(f'there is no expert "{name}"; known are {", ".join(experts.names)}.')
        differing = different(self.config.lora(), lora.config)
        if differing:
            differing_names = ", ".join(differing)
            raise AdapterError(
                f"the LoRA differs from this mixture's experts in {differing_names}; train it with the same."
            )
        experts.write(name, lora.state())
        self.take_over(lora.structures, lora.exchanged_greys)

    def expert(self, name: str) -> LoraAdapter:
        """One expert as a LoRA of its own, not attached: to be saved, merged, or used alone.

        Raises:
            AdapterError: there is no such expert, or the mixture holds no weights yet.
        """
        if name not in self.config.experts:
            raise AdapterError(f'there is no expert "{name}"; known are {", ".join(self.config.experts)}.')
        start = f"experts.{name}."
        state = {key.removeprefix(start): value for key, value in self.state().items() if key.startswith(start)}
        config = self.config.lora()
        lora = LoraAdapter(replace(config, targets=layers_in(state)) if self.config.gate == "task" else config)
        lora.load_state(state)
        lora.take_over(self.structures, self.exchanged_greys)
        return lora

    def _enter(self, backbone: BackboneModule) -> None:
        config = self.config
        names = choose.layers(backbone, config.targets)
        if config.gate == "task":
            names = tuple(name for name in names if name not in backbone.spec.encoding)
            if not names:
                raise AdapterError("a task gate adapts the decoder only, and targets name none of its layers.")
        if config.learned:
            if hasattr(backbone, MODULE):
                raise AdapterError(f'this network has a part "{MODULE}" of its own; a learned gate cannot enter it.')
            width = input_count(self._sizes)
            gate = LearnedGate(width, config.hidden, config.choices, reads_modality=config.gate == "learned+modality")
            self._gate = gate.to(backbone.device)
        self._experts = Experts(backbone, config, names, config.experts)
        self._hook()
        self._mark()

    def _hook(self) -> None:
        backbone = self.backbone
        if self._gate is not None:
            backbone.add_module(MODULE, self._gate.train(backbone.training))
        if self.config.gate != "task":
            backbone.hooks.encode = self._encode
        backbone.hooks.decode = self._decode
        backbone.hooks.recompute_context = self._inside().recompute_context

    def _leave(self) -> None:
        backbone = self.backbone
        backbone.hooks.encode = backbone.hooks.decode = backbone.hooks.recompute_context = None
        if self._gate is not None and getattr(backbone, MODULE, None) is self._gate:
            delattr(backbone, MODULE)
        if self._experts is not None:
            self._experts.take_out()

    def _return(self) -> None:
        self._inside().put_in()
        self._hook()

    def _fold(self) -> None:
        raise AdapterError(
            "a mixture chooses for each image, so it cannot be merged into fixed weights; merge one of its experts."
        )

    def _forget(self) -> None:
        self._experts = self._gate = self._loss = None
        self.tally = Tally()

    def _parameters(self) -> dict[str, nn.Parameter]:
        experts = self._inside()
        parameters = {
            f"experts.{name}.{key}": value for name in experts.names for key, value in experts.parameters(name).items()
        }
        gate = {} if self._gate is None else dict(self._gate.named_parameters())
        return {**parameters, **{f"{GATE}.{name}": value for name, value in gate.items()}}

    def _inside(self) -> Experts:
        """The experts; raises AdapterError where it is not attached."""
        if self._experts is None:
            raise AdapterError("this mixture adapter is not attached to a network; call attach first.")
        return self._experts

    @property
    def _sizes(self) -> DecoderSizes:
        """What the network says to a learned gate; raises AdapterError where it says nothing."""
        sizes = self.backbone.spec.decoder
        if sizes is None:
            raise AdapterError('this network does not say its width to a learned gate; use gate "modality".')
        return sizes

    @property
    def _wanted(self) -> tuple[str, ...]:
        """Whose parameters train: names of experts, and the gate's."""
        return self.config.train or (*self.config.experts, GATE)

    def _mark(self) -> None:
        """Exactly what trains asks for gradients."""
        trained = {id(parameter) for parameter in self.trainable_parameters()}
        for parameter in self._parameters().values():
            parameter.requires_grad_(id(parameter) in trained)

    def absence(self, context: Context, routed: Tensor | None) -> str | None:
        """See Adapter.absence."""
        return self.config.absence(context, routed)

    def _encode(self, inner: Encode, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """Hooks.encode: for a learned gate the base's own encoding first, which stays the answer where it says so."""
        bare: Features | None = None
        if self._gate is None:
            routing = by_table(self.config, modalities, images.device)
            self.tally.add(self.config, routing, modalities, training=self.backbone.training)
        else:
            with torch.no_grad(), self._inside().on({}):  # asked in the middle of another call, experts may be on
                bare = inner(images, modalities)
            routing = self._ask(self._gate, bare, modalities)
        routed_groups = groups(routing.weights, self.config.choices)
        parts = []
        for group in routed_groups:
            whole, rows = len(routed_groups) == 1, list(group.rows)
            if bare is not None and not group.weights:
                parts.append(bare if whole else bare.rows(rows))
                continue
            with self._inside().on(group.weights):
                group_modalities = [modalities[row] for row in rows]
                parts.append(inner(images, modalities) if whole else inner(images[rows], group_modalities))
        answer = parts[0] if len(parts) == 1 else Features.stack(parts).rows(back_in_order(routed_groups))
        return replace(answer, routing=routing.weights)

    def _ask(self, gate: LearnedGate, features: Features, modalities: Sequence[Modality | None]) -> Routing:
        """A learned gate's decision; in training its losses are kept."""
        values = inputs(features, self._sizes)
        if gate.training and torch.is_grad_enabled() and any(value.requires_grad for value in gate.parameters()):
            routing, self._loss = while_learning(self.config, gate, values, modalities)
        else:
            routing, self._loss = by_scores(self.config, gate.one_by_one(values, modalities)), None
            self.tally.add(self.config, routing, modalities, training=gate.training)
        return routing

    def _decode(
        self, inner: Decode, features: Features, prompts: PromptBatch, contexts: Sequence[Context], multimask: bool
    ) -> Masks:
        """Hooks.decode."""
        routed_groups = self._prompt_groups(features, prompts, contexts)
        self._ensure_gradient(routed_groups)
        if len(routed_groups) <= 1:
            with self._inside().on(routed_groups[0].weights if routed_groups else {}):
                return inner(features, prompts, contexts, multimask=multimask)
        answers = []
        for group in routed_groups:
            group_contexts = [contexts[row] for row in group.rows]
            with self._inside().on(group.weights):
                answers.append(inner(*selected(features, prompts, group.rows), group_contexts, multimask=multimask))
        return joined(answers, routed_groups)

    def _prompt_groups(
        self, features: Features, prompts: PromptBatch, contexts: Sequence[Context]
    ) -> list[RoutedGroup]:
        choices = self.config.choices
        if self.config.gate == "task":
            structures = [context.structure for context in contexts]
            routing = by_table(self.config, structures, features.tokens.device)
            self.tally.add(self.config, routing, structures, training=self.backbone.training)
            return groups(routing.weights, choices)
        if features.routing is None or features.routing.shape[1] != len(choices):
            raise AdapterError("these features were not encoded through this mixture; encode the image again.")
        return of_prompts(groups(features.routing, choices), prompts.image_index.tolist())

    def _ensure_gradient(self, routed_groups: Sequence[RoutedGroup]) -> None:
        """Set a loss of zero times all trained parameters if none of them took part in this training step."""
        if self._loss is not None or not self.backbone.training or not torch.is_grad_enabled():
            return
        expert_names = {name for group in routed_groups for name in group.weights}
        if not expert_names & set(self.config.train or self.config.experts):
            self._loss = torch.stack([parameter.sum() * 0 for parameter in self.trainable_parameters()]).sum()


def _part(name: str) -> str:
    """Whose a parameter is, by its name in the state: an expert's, or the gate's."""
    first, second, *_ = name.split(".")
    return second if first == "experts" else first
