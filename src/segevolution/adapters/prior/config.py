"""Settings of context priors, and the two published ways of setting them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

from ...errors import AdapterError
from ...vocabulary import Modality, did_you_mean
from .. import targets as choose
from ..config import AdapterConfig
from .fusion import Kind
from .prototypes import Prototype
from .token_pool import Start

PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "study": {"token_init": "zero", "lora_targets": ("study",)},
    "hermes": {
        "fusion": "hermes",
        "prototype": "multiplicative",
        "blocks": 2,
        "width": 192,  # Hermes' own places have 128 to 320
        "modality_tokens": 10,
        "hidden": None,
        "auxiliary_weight": 0.01,
        "lora_rank": 0,
    },
}


@dataclass(frozen=True)
class ContextPriorConfig(AdapterConfig):
    """Settings of context priors.

    Attributes:
        fusion: "joint" (the study of Mihailov et al. 2024) or "hermes" (Gao et al. 2024), see fusion.py.
        prototype: "additive" (the study), "multiplicative" (Hermes) or "none", see prototypes.py.
        blocks: of the fusion.
        heads: of its attentions; None takes 4 for "joint", one for every 32 channels for "hermes".
        width: channels that fusion and tokens work at; None takes all of the network's.
        mlp: hidden channels of the fusion's feed-forward layers; None takes a quarter of the width for "joint",
            four times the width for "hermes".
        hidden: hidden channels of the prototypes; None takes those of what goes in.
        scale: of the additive prototypes.
        structure_tokens, modality_tokens: tokens for each structure and for each modality.
        modalities: those that have tokens.
        token_init: "random" draws a token's first values by its name, "zero" sets them to zero, as the study did.
        seed: of these draws.
        structure_dropout: how often training hides the structure of a prompt; so the token of no structure learns.
        modality_dropout: the same for the modality.
        auxiliary_weight: weight of the loss that names the modality from its tokens after fusion; 0 for none.
        lora_rank: of LoRA beside the priors; 0 for none.
        lora_alpha, lora_targets: see LoraConfig; rank-stabilised.
        also_train: parameters of the base that train as they are, see `targets.parameters`; needs LoRA.

    Raises:
        AdapterError: an impossible value.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    preset_word: ClassVar[str] = "preset of context priors"
    limits: ClassVar[Mapping[str, float]] = {
        "blocks": 64,
        "heads": 1024,
        "width": 16_384,
        "mlp": 65_536,
        "hidden": 16_384,
        "scale": 1e6,
        "structure_tokens": 1024,
        "modality_tokens": 1024,
        "modalities": 1000,
        "auxiliary_weight": 1e6,
        "lora_rank": 4096,
        "lora_alpha": 1e6,
        "lora_targets": 10_000,
        "also_train": 10_000,
    }
    sizes: ClassVar[tuple[str, ...]] = ("width", "mlp", "hidden", "lora_rank")
    renamed: ClassVar[Mapping[str, str]] = {
        "drop": "structure_dropout",
        "drop_modality": "modality_dropout",
        "auxiliary": "auxiliary_weight",
        "start": "token_init",
    }

    fusion: Kind = "joint"
    prototype: Prototype = "additive"
    blocks: int = 1
    heads: int | None = None
    width: int | None = None
    mlp: int | None = None
    hidden: int | None = 48
    scale: float = 0.1
    structure_tokens: int = 1
    modality_tokens: int = 1
    modalities: tuple[str, ...] = (Modality.CT.value, Modality.MRI.value)
    token_init: Start = "random"
    seed: int = 0
    structure_dropout: float = 0.1
    modality_dropout: float = 0.1
    auxiliary_weight: float = 0.0
    lora_rank: int = 8
    lora_alpha: float = 8.0
    lora_targets: tuple[str, ...] = (choose.ALL_LINEAR,)
    also_train: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in (
            ("fusion", get_args(Kind)),
            ("prototype", get_args(Prototype)),
            ("token_init", get_args(Start)),
        ):
            if getattr(self, name) not in choices:
                hint = did_you_mean(str(getattr(self, name)), choices, f"use one of {', '.join(choices)}.")
                raise AdapterError(f'{name} "{getattr(self, name)}" is not known; {hint}')
        for name in ("blocks", "heads", "width", "mlp", "hidden", "structure_tokens", "modality_tokens"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise AdapterError(f"{name} {value} is not possible; give a whole number of at least 1.")
        if not isinstance(self.lora_rank, int) or self.lora_rank < 0:
            raise AdapterError(f"lora_rank {self.lora_rank} is not possible; give a whole number, 0 for no LoRA.")
        for name in ("structure_dropout", "modality_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise AdapterError(f"{name} {getattr(self, name)} is not possible; give a share from 0 to below 1.")
        for name in ("scale", "auxiliary_weight"):
            if getattr(self, name) < 0:
                raise AdapterError(f"{name} {getattr(self, name)} is not possible; give 0 or more.")
        if self.also_train and not self.lora_rank:
            raise AdapterError("also_train goes with LoRA; set lora_rank to at least 1, or leave also_train empty.")
        if any(isinstance(getattr(self, name), str) for name in ("modalities", "lora_targets", "also_train")):
            raise AdapterError("modalities, lora_targets and also_train are lists; put a single name into a list.")
        object.__setattr__(self, "modalities", tuple(Modality.parse(name).value for name in self.modalities))


"""The study's and Hermes' own settings. Both begin as the base here, and train tokens for what is not known."""
