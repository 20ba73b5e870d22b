"""Balanced training draws a view for a structure of a case, so that rare structures are seen as often as others."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..data.balance import Level, Sample, weights
from ..data.windows import FramedCase


@dataclass(frozen=True, eq=False)
class SamplingTarget:
    """One structure of one case, for which a view is drawn.

    Attributes:
        case: the whole case.
        structure: its name.
        alone: a copy of the case that carries this structure only, so that windows lie on it. The names of the other
            structures are listed as absent, because a view of a structure with a side must not be mirrored.
    """

    case: FramedCase
    structure: str
    alone: FramedCase


@dataclass(frozen=True, eq=False)
class SamplingTargets:
    """All targets of a training, and how likely each is drawn: `chances` (targets,) sums to 1."""

    all: tuple[SamplingTarget, ...]
    chances: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, groups: Sequence[Sequence[FramedCase]], group_weights: Sequence[float], by: Sequence[Level], power: float
    ) -> "SamplingTargets":
        """Targets at every structure of every case, with chances as `data.balance.weights` gives them.

        A dataset is a group here. A group's weight is shared evenly by its samples.
        """
        targets, samples, masses = [], [], []
        for number, (cases, weight) in enumerate(zip(groups, group_weights, strict=True)):
            inside = sum(len(case.structures) for case in cases)
            for case in cases:
                for structure, values in case.structures.items():
                    others = tuple(name for name in case.structures if name != structure)
                    alone = replace(case, structures={structure: values}, absent=(*case.absent, *others))
                    targets.append(SamplingTarget(case, structure, alone))
                    samples.append(Sample(case.name, structure, f"{number}", case.modality))
                    masses.append(weight / inside)
        return cls(tuple(targets), weights(samples, by, power, masses))
