"""Settings of a mixture of adapters: its experts, how they are chosen, and which of its parts train."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor

from ...errors import AdapterError, VocabularyError
from ...vocabulary import Context, Modality, canonical, did_you_mean
from ..lora import LoraConfig

GateKind = Literal["modality", "task", "learned", "learned+modality"]

IDENTITY = "identity"
"""The expert that is the base itself."""
GATE = "gate"
"""What `train` calls the gate."""

_NAME = re.compile(r"[\w][\w /+-]*")


@dataclass(frozen=True)
class MixtureConfig(LoraConfig):
    """Settings of a mixture; those of LoRA hold for every expert.

    Attributes:
        experts: their names; the identity expert is always there beside them.
        gate: "modality" (by the known modality, else identity), "task" (by the structure in a prompt's context, in
            the decoder only), "learned" (by the image), "learned+modality" (by the image, and the modality if known).
        table: (modality or structure, expert) pairs beside those that an expert's own name says: "MRI" is for MRI,
            and under "task" an expert called "liver" is for the liver. An expert may stand in several pairs.
        top_k: experts a learned gate chooses for an image; 1 takes one whole, more are weighted.
        hidden: channels of a learned gate.
        confidence: where a learned gate is less sure of its first choice than this, it takes identity.
        balance_weight: weight of the loss that keeps a learned gate's experts evenly used.
        supervision_weight: weight of the loss that teaches a learned gate the expert of the modality, where that is
            known: by `table` and names, and identity for CT without an expert.
        modality_dropout: how often training hides the modality from "learned+modality".
        train: names of experts, and "gate": what trains; empty for everything.

    Raises:
        AdapterError: an impossible value, or a choice that does not go with the others.
    """

    limits: ClassVar[Mapping[str, float]] = {
        **LoraConfig.limits,
        "experts": 64,
        "table": 10_000,
        "hidden": 16_384,
        "balance_weight": 1e6,
        "supervision_weight": 1e6,
        "train": 65,
    }
    sizes: ClassVar[tuple[str, ...]] = (*LoraConfig.sizes, "hidden")
    renamed: ClassVar[Mapping[str, str]] = {
        "top": "top_k",
        "balance": "balance_weight",
        "supervise": "supervision_weight",
        "drop_modality": "modality_dropout",
    }

    experts: tuple[str, ...] = (Modality.MRI.value,)
    gate: GateKind = "modality"
    table: tuple[tuple[str, str], ...] = ()
    top_k: int = 1
    hidden: int = 64
    confidence: float = 0.6
    balance_weight: float = 0.01
    supervision_weight: float = 1.0
    modality_dropout: float = 0.1
    train: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gate not in get_args(GateKind):
            hint = did_you_mean(str(self.gate), get_args(GateKind), f"use one of {', '.join(get_args(GateKind))}.")
            raise AdapterError(f'gate "{self.gate}" is not known; {hint}')
        if self.also_train:
            raise AdapterError("a mixture leaves the base as it is for its identity expert; leave also_train empty.")
        if self.dora and self.learned:
            raise AdapterError("a learned gate weights its experts, which DoRA does not allow; use another gate.")
        for name in ("top_k", "hidden"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise AdapterError(f"{name} {getattr(self, name)} is not possible; give a whole number of at least 1.")
        for name in ("balance_weight", "supervision_weight"):
            if not getattr(self, name) >= 0:
                raise AdapterError(f"{name} {getattr(self, name)} is not possible; give 0 or more.")
        for name in ("confidence", "modality_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise AdapterError(f"{name} {getattr(self, name)} is not possible; give a share from 0 to below 1.")
        self._check_names()
        object.__setattr__(self, "table", tuple((self._key(key), str(expert)) for key, expert in self._pairs()))
        self._check_table()

    @property
    def learned(self) -> bool:
        """Whether the gate has parameters."""
        return self.gate in ("learned", "learned+modality")

    @property
    def choices(self) -> tuple[str, ...]:
        """What a gate chooses from: the columns of `Features.routing`."""
        return (IDENTITY, *self.experts)

    @property
    def routes(self) -> dict[str, str]:
        """Modality, or structure under "task", -> expert; what is not in it goes to identity."""
        expert_of_key = {}
        for expert in self.experts:
            try:
                expert_of_key[self._key(expert)] = expert
            except AdapterError:  # an expert need not be named after a modality
                continue
        return {**expert_of_key, **dict(self.table)}

    def route(self, key: str | None) -> str:
        """The expert of a modality, or of a structure; identity where there is none."""
        return IDENTITY if key is None else self.routes.get(self._key(key), IDENTITY)

    def absence(self, context: Context, routed: Tensor | None) -> str | None:
        """See Adapter.absence."""
        if self.learned:
            alone = routed is not None and float(routed[1:].sum()) == 0
            return "the adapter's gate is not sure of this image" if alone else None
        key = context.structure if self.gate == "task" else context.modality
        if key is not None:
            return None if self.route(str(key)) != IDENTITY else f"the adapter has no expert for {key}"
        if self.gate == "task":
            return "the adapter's gate goes by the structure, and none was said"
        return "the adapter's gate goes by the modality, which was not said; name it, for instance with --modality MRI"

    def leaves_alone(self, modality: Modality) -> bool:
        """Whether every image of a modality goes to identity, and so to the base as it is, whatever it shows."""
        return self.gate == "modality" and self.route(modality.value) == IDENTITY

    def lora(self) -> LoraConfig:
        """The settings of each expert."""
        return LoraConfig(**{part.name: getattr(self, part.name) for part in fields(LoraConfig)})

    def to_dict(self) -> dict[str, Any]:
        """See AdapterConfig.to_dict; the table is a mapping."""
        return {**super().to_dict(), "table": dict(self.table)}

    def _key(self, text: str) -> str:
        if self.gate == "task":
            return canonical(text)
        try:
            return Modality.parse(text).value
        except VocabularyError as error:
            raise AdapterError(f"the table of a {self.gate} gate begins with modalities: {error}") from error

    def _pairs(self) -> list[tuple[str, str]]:
        table: Any = self.table
        pairs = list(table.items() if isinstance(table, dict) else table)
        if isinstance(table, str) or any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
            raise AdapterError('table holds pairs, such as {"MRI": "MRI"}; give a mapping.')
        return pairs

    def _check_names(self) -> None:
        if isinstance(self.experts, str) or isinstance(self.train, str):
            raise AdapterError("experts and train are lists of names; put a single name into a list.")
        if not self.experts or len(set(self.experts)) < len(self.experts):
            raise AdapterError("a mixture needs at least one expert, each with a name of its own.")
        for name in self.experts:
            if name in (IDENTITY, GATE) or not _NAME.fullmatch(name):
                raise AdapterError(f'"{name}" cannot name an expert; use letters, digits, spaces, _ / + - only.')
        for name in self.train:
            if name not in (*self.experts, *((GATE,) if self.learned else ())):
                known = ", ".join((*self.experts, *((GATE,) if self.learned else ())))
                raise AdapterError(f'train cannot name "{name}": what can train is {known}.')

    def _check_table(self) -> None:
        for _, expert in self.table:
            if expert not in self.choices:
                raise AdapterError(f'table names "{expert}", which is no expert; known are {", ".join(self.choices)}.')
        idle = sorted(set(self.experts) - set(self.routes.values()))
        if self.gate == "modality" and idle:
            raise AdapterError(f'no modality leads to the expert "{idle[0]}"; name one in table, or use another gate.')
