"""What a recipe varies of its prompts: errors of boxes with their units, numbers of points, seeds, shifts, windows."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from ..evaluation.questions import BoxError, BoxUnit
from ..ranges import Signed
from ..recipes.parts import RecipePart


class BoxErrors(RecipePart):
    """Errors of boxes in one unit: how far faces may move (voxel, mm), or the share by which sides grow or shrink."""

    unit: BoxUnit
    amounts: list[Signed] = Field(min_length=1)

    @model_validator(mode="after")
    def _can_be(self) -> "BoxErrors":
        for amount in self.amounts:
            if not amount:
                raise ValueError("exact boxes are asked by box_jitter: 0; leave the 0 out here")
            if self.unit != "share" and amount < 0:
                raise ValueError(f"a box cannot be moved by {amount:g} {self.unit}; give an amount above 0")
            if amount <= -1:
                raise ValueError(f"a box shrunk by {-amount:g} of its sides leaves nothing; give a share above -1")
        return self


def box_errors(wishes: Sequence[BoxErrors]) -> tuple[BoxError, ...]:
    """All of them, in their order."""
    return tuple(BoxError(float(amount), wish.unit) for wish in wishes for amount in wish.amounts)


def as_list(value: Any) -> list[Any]:
    """A value that a recipe gives alone or as a list."""
    return value if isinstance(value, list) else [value]


def all_box_errors(jitter: float | list[float], unit: BoxUnit, further: Sequence[BoxErrors]) -> list[str]:
    """Every error of a recipe's boxes in words, exact ones left out."""
    first = [BoxError(float(amount), unit) for amount in as_list(jitter) if amount]
    return [f"{error.amount:g} {error.unit}" for error in (*first, *box_errors(further))]
