"""Settings of the errors in simulated prompts: how often and how strongly `draw_prompt` errs."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ...ranges import Count, Several, Share, ShareBelowOne, Strength, Weight
from ...vocabulary import TEMPLATES, did_you_mean
from ..prompts import COMBINATIONS, PromptKind, kinds_in


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are simulated.

    Attributes:
        combinations: weight of each combination; those a network cannot accept are left out.
        positive, negative: largest number of points of each kind (at least one positive).
        box_jitter: standard deviation of each face's move, as a share of the box's side.
        exact_boxes: share of boxes that are tight.
        coarse: share of prompts drawn from an imperfect mask, as zoom-in draws them from its coarse answer.
        templates: weight of each form of vocabulary.TEMPLATES ("ct", "modality", "neutral"); empty = the network's own.
        synonyms: share of texts that call a structure by another of its names, where a network can read that name.
        box_larger, box_smaller: by how much, as shares of its sides, a box that is not tight grows or shrinks at most
            before its faces move.
        few: share of point prompts that are a single positive point.
        many, crowd: share of point prompts with more points, up to `crowd` of each kind.
        border: share of point prompts whose points all lie within 2 voxels of the structure's border.
        wrong: share of points (never a prompt's first) whose label is the opposite of the truth.
        clicks: rounds of clicks in turn after the first answer, each where the answer before errs most; every round is
            another decoding. 0 = none.

    Raises:
        ValueError: a value that cannot be, by name.
    """

    combinations: dict[str, Weight] = field(default_factory=lambda: dict.fromkeys(COMBINATIONS, 1.0))
    positive: Several = 6
    negative: Count = 4
    box_jitter: Strength = 0.08
    exact_boxes: Share = 0.4
    coarse: Share = 0.0
    templates: dict[str, Weight] = field(default_factory=dict)
    synonyms: Share = 0.0
    box_larger: Strength = 0.0
    box_smaller: ShareBelowOne = 0.0
    few: Share = 0.0
    many: Share = 0.0
    crowd: Several = 20
    border: Share = 0.0
    wrong: Share = 0.0
    clicks: Count = 0

    def __post_init__(self) -> None:
        for key in self.templates:
            if key not in TEMPLATES:
                hint = did_you_mean(key, TEMPLATES, f"known are {', '.join(TEMPLATES)}")
                raise ValueError(f'"{key}" is no template of texts; {hint}')
        if self.templates and (min(self.templates.values()) < 0 or not sum(self.templates.values())):
            raise ValueError("templates need weights of 0 or more, one of them above 0")
        for name in ("synonyms", "few", "many", "border", "wrong"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give a share from 0 to 1")
        if self.few + self.many > 1:
            raise ValueError(f"few and many are {self.few + self.many:g} together; give at most 1")
        if self.clicks < 0:
            raise ValueError(f"clicks is {self.clicks}; give the number of rounds, 0 or more")
        if self.box_larger < 0 or not 0 <= self.box_smaller < 1:
            raise ValueError("box_larger must be 0 or more, box_smaller from 0 to below 1")

    def drawable(self, accepts: frozenset[PromptKind]) -> tuple[tuple[str, ...], npt.NDArray[np.float64]]:
        """Names of the combinations a network accepts, and their probabilities."""
        names = tuple(name for name, weight in self.combinations.items() if weight and kinds_in(name) <= accepts)
        weights = np.array([self.combinations[name] for name in names])
        return names, weights / weights.sum()
