"""Prompts: what a person (or a label, in a simulation) says to the model about one structure.

A prompt belongs to a grid: its box is axis-aligned only there, while points travel anywhere through millimetres.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import PromptError, VolumeError
from .grid import Floats, Grid, Turn

Point = tuple[float, float, float]


class Kind(StrEnum):
    """The kinds of prompt; this is the only list of them."""

    TEXT = "text"
    POINT = "point"
    BOX = "box"
    SCRIBBLE = "scribble"
    LASSO = "lasso"
    MASK = "mask"


Combination = Literal["text", "point", "box", "text+point", "text+box", "point+box"]
"""The six combinations of SegVol's training and tests (Du et al. 2024, algorithm 1)."""
COMBINATIONS: tuple[Combination, ...] = get_args(Combination)


def kinds_in(combination: str) -> frozenset[Kind]:
    """The kinds that a combination such as "text+box" joins; raises PromptError for an unknown kind."""
    try:
        return frozenset(Kind(part) for part in combination.split("+"))
    except ValueError as error:
        raise PromptError(f'"{combination}" is no kind of prompt; join some of {", ".join(Kind)} with "+".') from error


@dataclass(frozen=True)
class Box:
    """An axis-aligned box in voxel indices (x, y, z) of some grid, both corners included."""

    low: Point
    high: Point

    def __post_init__(self) -> None:
        if any(low > high for low, high in zip(self.low, self.high, strict=True)):
            raise PromptError(
                f"the box is inverted: its low corner {self.low} lies beyond its high corner {self.high}."
            )


@dataclass(frozen=True, eq=False)
class Prompt:
    """Everything said about one structure: text, points and a box, in any combination.

    Attributes:
        grid: whose voxel indices the points and the box are.
        text: a structure's name, such as "liver".
        points: voxel indices (x, y, z).
        labels: 1 positive or 0 negative, one a point.
        box: in voxel indices.

    Raises:
        PromptError: nothing was said, only negative points were given, or something lies outside the grid.
    """

    grid: Grid
    text: str | None = None
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None

    def __post_init__(self) -> None:
        if len(self.points) != len(self.labels):
            raise PromptError(f"{len(self.points)} points came with {len(self.labels)} labels; each point needs one.")
        if self.text is None and self.box is None and not any(self.labels):
            said = "only negative points were given" if self.points else "no prompt was given"
            raise PromptError(f"{said}; give a text, a positive point or a box.")
        for point in self.points:
            self._require_inside(point, "point")
        if self.box is not None:
            self._require_inside(self.box.low, "box corner")
            self._require_inside(self.box.high, "box corner")

    def _require_inside(self, point: Point, what: str) -> None:
        if not self.grid.contains([point])[0]:
            where = ", ".join(f"{value:g}" for value in point)
            ranges = ", ".join(f"{axis} 0..{side - 1}" for axis, side in zip("xyz", self.grid.shape, strict=True))
            raise PromptError(f"the {what} ({where}) lies outside the image; its voxels run over {ranges}.")

    def only(self, kinds: Collection[Kind]) -> "Prompt":
        """The parts of this prompt that are of some kinds."""
        points, labels = (self.points, self.labels) if Kind.POINT in kinds else ((), ())
        text, box = (self.text if Kind.TEXT in kinds else None), (self.box if Kind.BOX in kinds else None)
        return Prompt(self.grid, text, points, labels, box)

    def turned(self, grid: Grid, turn: Turn) -> "Prompt":
        """The same prompt in the voxel indices of `grid`, which `turn` leads to."""
        points = tuple(_point(row) for row in turn.apply_indices(self.points)) if self.points else ()
        box = None
        if self.box is not None:
            corners = turn.apply_indices([self.box.low, self.box.high])
            box = Box(_point(corners.min(axis=0)), _point(corners.max(axis=0)))
        return Prompt(grid, self.text, points, self.labels, box)

    def moved_to(self, grid: Grid) -> "Prompt":
        """The same prompt on another grid of the same patient, through millimetres.

        Points keep their place. A box keeps its corners' places where the axes of both grids are parallel;
        between oblique grids it becomes the tight box round its eight corners. What of it lies outside the
        new grid is cut off.

        Raises:
            PromptError: a point, or the whole box, lies outside the new grid.
        """
        points = tuple(_point(row) for row in grid.to_voxel(self.grid.to_mm(self.points))) if self.points else ()
        box = None
        if self.box is not None:
            box = _clipped(grid, grid.to_voxel(self.grid.to_mm(_corners(self.box))))
        return Prompt(grid, self.text, points, self.labels, box)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a JSON file, with the grid, so that the prompt can be replayed on any grid."""
        box = None if self.box is None else {"low": list(self.box.low), "high": list(self.box.high)}
        return {
            "text": self.text,
            "points": [list(point) for point in self.points],
            "labels": list(self.labels),
            "box": box,
            "grid": {"shape": list(self.grid.shape), "affine": self.grid.affine.tolist()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Prompt":
        """The prompt that `to_json` described; use `moved_to` to lay it on an image.

        Raises:
            PromptError: a key is missing or holds something else, or the prompt itself is impossible.
        """
        try:
            shape, affine = value["grid"]["shape"], np.asarray(value["grid"]["affine"], np.float64)
            grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
            box = value.get("box")
            return cls(
                grid,
                value.get("text"),
                tuple(_point(point) for point in value.get("points", ())),
                tuple(int(label) for label in value.get("labels", ())),
                None if box is None else Box(_point(box["low"]), _point(box["high"])),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, VolumeError) as error:
            raise PromptError(f"the prompt cannot be read from JSON ({error!r}); write it with to_json.") from error

    @classmethod
    def make(
        cls,
        grid: Grid,
        *,
        text: str | None = None,
        points: Sequence[Sequence[float]] = (),
        negative_points: Sequence[Sequence[float]] = (),
        box: Sequence[float] | None = None,
        mm: bool = False,
    ) -> "Prompt":
        """From plain numbers, as a command line or a notebook has them.

        Args:
            points, negative_points: (x, y, z) each, voxel indices of `grid`, or RAS+ millimetres if `mm`.
            box: (x0, y0, z0, x1, y1, z1), both corners included, in the same unit. In millimetres the box is the
                tight voxel box around its eight corners, since a grid may lie obliquely.
        """
        spots = [_point(point) for point in (*points, *negative_points)]
        if mm:
            spots = [_point(row) for row in grid.to_voxel(spots)]
        labels = (1,) * len(points) + (0,) * len(negative_points)
        return cls(grid, text, tuple(spots), labels, None if box is None else _box(grid, box, mm))


def _box(grid: Grid, box: Sequence[float], mm: bool) -> Box:
    if len(box) != 6:
        raise PromptError(f"a box needs six numbers x0,y0,z0,x1,y1,z1; this one has {len(box)}.")
    given = Box(_point(box[:3]), _point(box[3:]))
    if not mm:
        return given
    voxels = grid.to_voxel(_corners(given))
    return Box(_point(voxels.min(axis=0)), _point(voxels.max(axis=0)))


def _corners(box: Box) -> Floats:
    """(8, 3), in the box's own coordinates."""
    return np.stack(np.meshgrid(*zip(box.low, box.high, strict=True), indexing="ij"), axis=-1).reshape(-1, 3)


def _clipped(grid: Grid, corners: Floats) -> Box:
    """The tight box round voxel positions (N, 3), without what lies beyond the outer faces of the grid's voxels."""
    low, high, last = corners.min(axis=0), corners.max(axis=0), np.asarray(grid.shape) - 0.5
    if (high < -0.5).any() or (low > last).any():
        raise PromptError("the box lies outside the image altogether; does the prompt belong to this patient?")
    inner = 1e-6  # so that a clipped corner rounds to a voxel of the grid
    low, high = (np.clip(corner, inner - 0.5, last - inner) for corner in (low, high))
    return Box(_point(low), _point(high))


def _point(values: npt.ArrayLike) -> Point:
    numbers = np.asarray(values, np.float64).reshape(-1)
    if numbers.shape != (3,) or not np.isfinite(numbers).all():
        raise PromptError(f"a point needs three finite numbers x,y,z; this one is {numbers.tolist()}.")
    return float(numbers[0]), float(numbers[1]), float(numbers[2])
