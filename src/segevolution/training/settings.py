"""The settings of a training run: a validated value that recipes state and runs save beside their results."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from ..data.augment import AugmentSettings
from ..data.windows import ViewSettings
from ..documents.renamed_keys import with_old_names
from ..files import plain_values
from ..imaging.simulated_prompts import PromptSettings
from ..ranges import Count, Factor, Seconds, Seed, Several, Share, ShareBelowOne, Strength, Weight
from .batches import SampleSettings
from .objective import ObjectiveSettings

_STRICT = ConfigDict(extra="forbid")

Logger = Literal["csv", "tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, config=_STRICT)
class ValidationSettings:
    """How whole volumes are measured while training goes on; with 0 volumes, training-like views are, instead.

    Attributes:
        volumes: validation volumes a validation, through `inference`; they take turns, in an order that the seed
            draws, and the score is the mean of each one's latest Dice. Nothing is chosen before all had their turn.
        structures: structures of a volume that are asked for in one turn; its others get turns of their own.
        prompts: some of the six combinations of prompts.COMBINATIONS.
        points: positive points of a point prompt.
    """

    volumes: Count = 0
    structures: Several = 3
    prompts: tuple[Literal["text", "point", "box", "text+point", "text+box", "point+box"], ...] = (
        "text",
        "point",
        "box",
    )
    points: Several = 5


@dataclass(frozen=True, config=_STRICT)
class FitSettings:
    """One run of training.

    Attributes:
        steps: optimiser steps of the whole run; the schedule ends there.
        seconds: wall-clock seconds after which this call stops with a checkpoint, to be continued; None = no limit.
        learning_rate: of AdamW, after warm-up.
        final_lr_fraction: share of it that is left at the end of the cosine; a plateau never lowers it further.
        warmup: steps.
        weight_decay: of matrices; vectors have none.
        gradient_clip_norm: gradient norm.
        ema_decay: decay of the exponential moving average of the weights; 0 for none.
        precision: Lightning's names; bf16-mixed becomes 32-true on a device that has no bfloat16.
        seed: all chance comes from it and the step's number.
        devices: processes a machine; on a CPU each has one thread, so that 2 use 2 cores.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between validations; 0 = only at the end.
        validation_steps: batches a validation.
        accumulate: batches a step and process. A step sees devices x nodes x accumulate batches, and the same ones
            however these three share them.
        lr_multipliers: factors on the learning rate by the beginning of parameters' names, such as a part of the
            network; the longest beginning counts. An adapter may bring factors for its own parts; these come first.
        schedule: after warm-up, "cosine" to the last step, "plateau" (lowered where the validation score no longer
            rises) or "constant".
        plateau_factor, plateau_patience: the rate is multiplied by the factor after so many validations in a row
            without a better score.
        patience: the run ends after so many validations in a row without a better score; 0 = never.
        keep_weights: weights that the run leaves: those at its end, or those of its best validation score. Nothing but
            validation patients has a say in either.
        start_share: share of the weights that the run began with in those that it leaves; the mean of both often keeps
            what training on few patients loses elsewhere (Wortsman et al. 2022, arXiv:2109.01903). 0 = none.
        gradient_checkpointing: compute the encoder's blocks twice instead of keeping their activations: the same
            gradients, less memory, more time.
        compile: torch.compile the encoder's blocks; "eager" and "aot_eager" name backends for finding faults.
        cache_features: draw so many views a case once, keep their encodings on disk and train on these alone; for
            methods that train nothing in the encoder. 0 = draw a new view each time.
        cache_dtype: of kept encodings: "exact", as they were computed, or "float16".
        cache_megabytes: of voxels that a process and its workers together keep in memory; cases beyond that are read
            from the store's framed copies by part. What is trained does not depend on it.
        loggers: where curves go; all but csv need a package of that name.
        nodes: machines.
        validation: how whole volumes are measured.
    """

    steps: Count = 300
    seconds: Seconds | None = None
    learning_rate: Strength = 1e-3
    final_lr_fraction: Share = 0.02
    warmup: Count = 20
    weight_decay: Strength = 0.01
    gradient_clip_norm: Factor = 1.0
    ema_decay: ShareBelowOne = 0.98
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    seed: Seed = 0
    devices: Several = 1
    workers: Count = 0
    checkpoint_every: Several = 100
    validate_every: Count = 0
    validation_steps: Several = 16
    sample: SampleSettings = SampleSettings()
    view: ViewSettings = ViewSettings()
    prompt: PromptSettings = PromptSettings()
    intensity: AugmentSettings = AugmentSettings()
    objective: ObjectiveSettings = ObjectiveSettings()
    accumulate: Several = 1
    lr_multipliers: dict[str, Factor] = Field(default_factory=dict)
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    plateau_factor: Annotated[Share, Field(gt=0, lt=1)] = 0.5
    plateau_patience: Several = 2
    patience: Count = 0
    keep_weights: Literal["last", "best"] = "last"
    start_share: ShareBelowOne = 0.0
    gradient_checkpointing: bool = False
    compile: bool | Literal["eager", "aot_eager"] = False
    cache_features: Count = 0
    cache_dtype: Literal["exact", "float16"] = "exact"
    cache_megabytes: Weight = 512.0
    loggers: tuple[Logger, ...] = ("csv",)
    nodes: Several = 1
    validation: ValidationSettings = ValidationSettings()

    @property
    def cache_bytes(self) -> int:
        """Bytes of images and labels that one process keeps; each worker has its own."""
        return int(self.cache_megabytes * 1e6 / (self.workers + 1))

    @property
    def chooses(self) -> bool:
        """Whether the validation score decides anything."""
        return self.schedule == "plateau" or self.patience > 0 or self.keep_weights == "best"


# What decides how a run is carried out, and not what it learns; shared out otherwise, a step's batches are the same.
_IN_PASSING = (
    *("seconds", "workers", "checkpoint_every", "cache_megabytes", "loggers", "precision"),
    *("gradient_checkpointing", "compile"),
)
_SHARED_OUT = ("devices", "nodes", "accumulate")


def difference(before: Mapping[str, Any], now: FitSettings) -> str | None:
    """What a run was begun with and what it is asked for now, in words; None where both learn the same.

    Args:
        before: its settings as plain values; a setting that it has not says nothing.
        now: settings that it would go on with.
    """
    then, asked = dict(before), plain_values(asdict(now))
    if all(name in then for name in _SHARED_OUT):
        for values in (then, asked):
            values["devices x nodes x accumulate"] = math.prod(values.pop(name) for name in _SHARED_OUT)
    for name in sorted(then.keys() & asked.keys() - set(_IN_PASSING)):
        if then[name] != asked[name]:
            return f"{name} {then[name]}, and is now asked for {asked[name]}"
    return None


RENAMED = {
    "average": "ema_decay",
    "rates": "lr_multipliers",
    "checkpointing": "gradient_checkpointing",
    "keep": "keep_weights",
    "final_rate": "final_lr_fraction",
    "clip": "gradient_clip_norm",
}
"""Old name -> name of today; keys of trainings keep the old ones, so that nothing is trained again."""

# Settings that decide nothing about what is trained.
_WITHOUT_EFFECT = ("cache_megabytes",)
# Settings that were added after the first trainings; at their defaults they are no part of a training's key.
_LATER = {
    "": (
        *("accumulate", "lr_multipliers", "schedule", "plateau_factor", "plateau_patience", "patience", "keep_weights"),
        *("gradient_checkpointing", "compile", "cache_features", "cache_dtype", "loggers", "nodes", "validation"),
        "start_share",
    ),
    "objective": ("retain", "overlap"),
    "sample": ("absent_structures",),
    "intensity.recontrast": ("matched",),
    "intensity": ("recontrast",),
    "prompt": (
        *("templates", "synonyms", "box_larger", "box_smaller", "few", "many", "crowd", "border", "wrong", "clicks"),
    ),
}


def decisive(settings: FitSettings) -> dict[str, Any]:
    """The settings as plain values, for a key that stays: under first names, later ones where they are set."""
    values = {name: value for name, value in asdict(settings).items() if name not in _WITHOUT_EFFECT}
    plain = FitSettings()
    for place, later in _LATER.items():
        part, usual, inside = settings, plain, values
        for step in place.split(".") if place else ():
            part, usual, inside = getattr(part, step), getattr(usual, step), inside[step]
        for name in later:
            if getattr(part, name) == getattr(usual, name):
                del inside[name]
    return with_old_names(values, RENAMED)
