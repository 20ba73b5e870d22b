"""A metric: its column in the table of results, and how its number comes from an answer and the truth."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..imaging.masks import Mask
from .surface import SurfaceDistances, surface_distances


@dataclass(frozen=True, eq=False)
class Comparison:
    """An answer beside the truth.

    Attributes:
        answer, truth: (X, Y, Z), of one shape.
        spacing: millimetres along the arrays' axes.
        tolerance_mm: of metrics that have one.
    """

    answer: Mask
    truth: Mask
    spacing: tuple[float, float, float]
    tolerance_mm: float

    @cached_property
    def distances(self) -> SurfaceDistances:
        """Between both surfaces, computed once for all metrics that read them."""
        return surface_distances(self.answer, self.truth, self.spacing)


@dataclass(frozen=True)
class Metric:
    """A number that tells how good an answer is.

    Attributes:
        name: of its column in the table of results.
        title: in words, for headings.
        better: whether a better answer has a "higher" or a "lower" number.
        needs_mm: whether it is in millimetres: it is missing where a volume has none, or surfaces are not measured.
        measure: the number of a comparison; NaN where it is not defined.
        distance: whether it is infinite where the answer is empty: then reports rank it and show medians.
        span: the least and the largest value that it can have; an interval of its mean ends there.
    """

    name: str
    title: str
    better: Literal["higher", "lower"]
    needs_mm: bool
    measure: Callable[[Comparison], float]
    distance: bool = False
    span: tuple[float, float] = (0.0, math.inf)
