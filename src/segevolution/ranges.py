"""The ranges of the numbers that a person's settings may hold. True and false are no numbers."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field


def _refuse_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is no number")
    return value


NUMBER = BeforeValidator(_refuse_truth)
"""Refuses true and false."""
_MANY = 10**9

Count = Annotated[int, Field(ge=0, le=_MANY), NUMBER]
"""How many; 0 is none."""
Several = Annotated[int, Field(gt=0, le=_MANY), NUMBER]
"""How many, at least one."""
Seed = Annotated[int, Field(ge=0, lt=2**32), NUMBER]
"""What chance is drawn from, within what every generator takes."""
Share = Annotated[float, Field(ge=0, le=1), NUMBER]
"""From none to all."""
ShareBelowOne = Annotated[float, Field(ge=0, lt=1), NUMBER]
"""From none to almost all."""
Strength = Annotated[float, Field(ge=0, le=1e4), NUMBER]
"""Of a change or an error, in whatever unit; 0 is none."""
Signed = Annotated[float, Field(gt=-1e4, le=1e4), NUMBER]
"""A strength in one direction or the other."""
Weight = Annotated[float, Field(ge=0, le=1e6), NUMBER]
"""Beside others; 0 leaves out."""
Factor = Annotated[float, Field(gt=0, le=1e6), NUMBER]
"""Something is multiplied by it, or bounded."""
Seconds = Annotated[float, Field(ge=0, le=1e9), NUMBER]
"""Up to thirty years."""
