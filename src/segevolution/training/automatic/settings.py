"""The settings of an automatic network's training."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class AutomaticSettings:
    """One training. The defaults are nnU-Net's but for `steps` and the three sizes, which are for a processor.

    Attributes:
        steps: of the whole training; its learning rate ends there. nnU-Net trains 250,000.
        minutes: after which it ends before its last step, those of all its calls together; None = no limit.
        patch_voxels: of a patch at most: the budget that its sides are planned by. nnU-Net's 8 GB hold about 2,000,000.
        coverage: share of the median case that a patch has to hold; where the budget holds less at the cases' own
            spacing, all is made coarser, as in nnU-Net's configuration "3d_lowres". 0 = never.
        features: channels of the first stage; nnU-Net's are 32.
        most_features: channels that no stage exceeds; nnU-Net's are 320.
        batch: patches a step.
        optimizer: nnU-Net's "sgd" (Nesterov, momentum .99), or "adamw".
        learning_rate: at the start of the polynomial decay; None = the optimiser's own, nnU-Net's 0.01 or 0.001.
        oversample: share of patches that are centred on a structure, the last ones of each batch; at least one of two.
        precision: "bf16" runs the network under autocast, on a device that has bfloat16.
        checkpoint_every: steps between checkpoints, from which a training that was killed goes on exactly.
    """

    steps: Count = 1000
    minutes: Annotated[float, Field(gt=0)] | None = None
    patch_voxels: Annotated[int, Field(ge=4096, le=2**27)] = 200_000
    coverage: Annotated[float, Field(ge=0, le=1)] = 0.25
    features: Annotated[int, Field(ge=4, le=256)] = 16
    most_features: Annotated[int, Field(ge=4, le=2048)] = 160
    batch: Annotated[int, Field(ge=1, le=64)] = 2
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    oversample: Annotated[float, Field(ge=0, le=1)] = 1 / 3
    precision: str = Field(default="fp32", pattern="^(fp32|bf16)$")
    checkpoint_every: Count = 50
