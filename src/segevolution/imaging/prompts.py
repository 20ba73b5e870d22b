"""Prompts: what a person (or a label, in a simulation) says to the model about one structure.

A prompt belongs to a grid: its box is axis-aligned only there, while points travel anywhere through millimetres. To add
a kind of prompt: here a line in `PromptKind` and `_FIELDS` and its field; how a person's is simulated, in
`simulated_prompts/prompt.py`; and what it becomes for networks that do not take it, in `prompt_conversion.py`, or what
a network that takes it is told, in `inference/frame_prompt.py`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import PromptError, VolumeError
from .boxes import (
    Box,
    Point,
    box_from_mm,
    box_from_numbers,
    clipped,
    corners,
    point,
    points_from_numbers,
    span_mm,
    voxel_ranges,
)
from .grid import Grid, Turn
from .regions import PackedMask, Region


class PromptKind(StrEnum):
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

_FIELDS: dict[PromptKind, tuple[str, ...]] = {
    PromptKind.TEXT: ("text",),
    PromptKind.POINT: ("points", "labels"),
    PromptKind.BOX: ("box",),
    PromptKind.SCRIBBLE: ("scribbles",),
    PromptKind.LASSO: ("lasso",),
    PromptKind.MASK: ("mask",),
}
_DRAWN: dict[str, PromptKind] = {
    "scribbles": PromptKind.SCRIBBLE,
    "lasso": PromptKind.LASSO,
}  # the fields that hold a Region
_EMPTY: tuple[object, ...] = (None, ())


@lru_cache(maxsize=256)
def kinds_in(combination: str) -> frozenset[PromptKind]:
    """The kinds that a combination such as "text+box" joins; raises PromptError for an unknown kind."""
    try:
        return frozenset(PromptKind(part) for part in combination.split("+"))
    except ValueError as error:
        raise PromptError(
            f'"{combination}" is no kind of prompt; join some of {", ".join(PromptKind)} with "+".'
        ) from error


@dataclass(frozen=True, eq=False)
class Prompt:
    """Everything said about one structure, in any combination of kinds.

    Two prompts are equal where they say the same on the same grid, whatever their notes.

    Attributes:
        grid: whose voxel indices everything else is in.
        text: a structure's name, such as "liver".
        points: voxel indices (x, y, z).
        labels: 1 positive or 0 negative, one a point.
        box: in voxel indices; what of it lies beyond the image is cut off, and a note says so.
        scribbles, lasso: voxels that were drawn over, or round, on the structure or off it.
        mask: an earlier answer or a segmentation to begin with; of the grid's shape, not empty.
        centre: voxel index (x, y, z) where a network that looks at one place has the middle of its window, and stays;
            None = what is said decides. Only studies give one, to measure what a window round the truth is worth.
        notes: what a person should know of how the prompt was understood, a sentence each, without full stop.

    Raises:
        PromptError: nothing was said, or only what is off the structure, or something lies outside the grid.
    """

    grid: Grid
    text: str | None = None
    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None
    scribbles: Region | None = None
    lasso: Region | None = None
    mask: PackedMask | None = field(default=None, repr=False)
    centre: Point | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.text is not None and not isinstance(self.text, str):
            raise PromptError(
                f"a text is the name of one structure, not {self.text!r}; give several structures as several prompts."
            )
        if len(self.points) != len(self.labels):
            raise PromptError(f"{len(self.points)} points came with {len(self.labels)} labels; each point needs one.")
        if any(label not in (0, 1) for label in self.labels):
            raise PromptError(f"the labels of points are 1 (on the structure) or 0 (off it), not {self.labels}.")
        if self.mask is not None and not self.mask:
            raise PromptError("the mask is empty; leave it out, or give one that holds a voxel.")
        if not self._says_where_or_what:
            missing = "only what is off the structure" if self.kinds else "no prompt"
            missing = "only negative points were given" if self.kinds == {PromptKind.POINT} else f"{missing} was given"
            raise PromptError(f"{missing}; give a text, a positive point or a box.")
        for place in self.points:
            if not self.grid.contains([place])[0]:
                where = ", ".join(f"{value:g}" for value in place)
                ranges = voxel_ranges(self.grid)
                raise PromptError(f"the point ({where}) lies outside the image; its voxels run over {ranges}.")
        for name, kind in _DRAWN.items():
            region: Region | None = getattr(self, name)
            if region is not None and not region.inside(self.grid.shape):
                ranges = voxel_ranges(self.grid)
                raise PromptError(f"the {kind} leaves the image, whose voxels run over {ranges}.")
        if self.mask is not None and self.mask.shape != self.grid.shape:
            raise PromptError(f"the mask has shape {self.mask.shape}, its grid {self.grid.shape}; they must agree.")
        if self.box is not None:
            box, notes = clipped(self.grid, np.array([self.box.low, self.box.high]), "voxel")
            object.__setattr__(self, "box", box)
            object.__setattr__(self, "notes", (*self.notes, *notes))

    @property
    def kinds(self) -> frozenset[PromptKind]:
        """The kinds of which it says something."""
        return frozenset(kind for kind, (first, *_) in _FIELDS.items() if getattr(self, first) not in _EMPTY)

    @property
    def _regions(self) -> dict[str, Region | None]:
        return {name: getattr(self, name) for name in _DRAWN}

    @property
    def _says_where_or_what(self) -> bool:
        """Whether anything in it is on the structure."""
        has_region = any(region is not None and bool(region.labels.any()) for region in self._regions.values())
        return self.text is not None or self.box is not None or any(self.labels) or has_region or bool(self.mask)

    def only(self, kinds: Collection[PromptKind]) -> "Prompt":
        """The parts of this prompt that are of some kinds; raises PromptError where nothing is left."""
        parts: dict[str, Any] = {name: getattr(self, name) for kind in kinds for name in _FIELDS[kind]}
        return Prompt(self.grid, **parts, centre=self.centre, notes=self.notes)

    def joined(self, later: "Prompt") -> "Prompt":
        """Both on one grid; see `extended`."""
        parts: dict[str, Any] = {name: getattr(later, name) for kind in later.kinds for name in _FIELDS[kind]}
        return self.extended(**parts, notes=later.notes)

    def extended(self, **parts: Any) -> "Prompt":
        """More said, by the names of the attributes: points and drawn voxels are added, anything else is replaced."""
        for name, part in parts.items():
            earlier = getattr(self, name)
            if isinstance(earlier, tuple):
                parts[name] = (*earlier, *part) if name != "notes" else tuple(dict.fromkeys((*earlier, *part)))
            elif isinstance(earlier, Region) and part is not None:
                parts[name] = earlier.joined(part)
        return replace(self, **parts)

    def newest_since(self, earlier: "Prompt") -> PromptKind | None:
        """The kind in which it says something else than an earlier one; of several the last in PromptKind's order."""
        changed = [
            kind for kind, names in _FIELDS.items() if any(getattr(self, n) != getattr(earlier, n) for n in names)
        ]
        return changed[-1] if changed else None

    def turned(self, grid: Grid, turn: Turn) -> "Prompt":
        """The same prompt in the voxel indices of `grid`, which `turn` leads to."""
        points = tuple(point(row) for row in turn.apply_indices(self.points)) if self.points else ()
        box = None
        if self.box is not None:
            ends = turn.apply_indices([self.box.low, self.box.high])
            box = Box(point(ends.min(axis=0)), point(ends.max(axis=0)))
        regions: dict[str, Any] = {
            name: None if region is None else region.turned(turn) for name, region in self._regions.items()
        }
        mask = None if self.mask is None else self.mask.turned(turn)
        return Prompt(grid, self.text, points, self.labels, box, mask=mask, notes=self.notes, **regions)

    def moved_to(self, grid: Grid) -> "Prompt":
        """The same prompt on another grid of the same patient, through millimetres.

        Points keep their place. A box keeps its corners' places where the axes of both grids are parallel; between
        oblique grids it becomes the tight box round its eight corners. Drawn voxels and masks go to the voxels that
        share their place. What of all these lies outside the new grid is cut off, and a note says so.

        Raises:
            PromptError: a point, or the whole of anything else, lies outside the new grid.
        """
        points = tuple(point(row) for row in grid.to_voxel(self.grid.to_mm(self.points))) if self.points else ()
        box, notes = None, self.notes
        if self.box is not None:
            try:
                box, cut = clipped(grid, grid.to_voxel(self.grid.to_mm(corners(self.box))), "mm")
            except PromptError as error:
                raise PromptError(f"{str(error)[:-1]}. Does the prompt belong to this patient?") from None
            notes = (*notes, *cut)
        parts: dict[str, Any] = {}
        for name, kind in {**_DRAWN, "mask": PromptKind.MASK}.items():
            part = getattr(self, name)
            parts[name] = None if part is None else part.moved(self.grid, grid)
            if part is not None and not parts[name]:
                raise PromptError(f"the {kind} lies outside the image altogether; does it belong to this patient?")
        return Prompt(grid, self.text, points, self.labels, box, **parts, notes=notes)

    def to_json(self, *, masks_by_reference: bool = False) -> dict[str, Any]:
        """Plain values for a JSON file, with the grid, so that the prompt can be replayed on any grid.

        A mask is told in base64, or by `PackedMask.reference` alone, to be kept elsewhere.
        """
        box = None if self.box is None else {"low": list(self.box.low), "high": list(self.box.high)}
        value: dict[str, Any] = {
            "text": self.text,
            "points": [list(place) for place in self.points],
            "labels": list(self.labels),
            "box": box,
            "grid": {"shape": list(self.grid.shape), "affine": self.grid.affine.tolist()},
        }
        value |= {name: region.to_json() for name, region in self._regions.items() if region is not None}
        if self.mask is not None:
            value["mask"] = self.mask.to_json(by_reference=masks_by_reference)
        return value | ({"notes": list(self.notes)} if self.notes else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any], masks: Mapping[str, PackedMask] | None = None) -> "Prompt":
        """The prompt that `to_json` described; use `moved_to` to lay it on an image.

        Args:
            value: plain values.
            masks: those that a prompt may refer to, by their reference.

        Raises:
            PromptError: a key is missing or holds something else, or the prompt itself is impossible.
        """
        try:
            shape, affine = value["grid"]["shape"], np.asarray(value["grid"]["affine"], np.float64)
            grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
            box, mask = value.get("box"), value.get("mask")
            regions: dict[str, Any] = {
                name: Region.from_json(value[name]) for name in _DRAWN if value.get(name) is not None
            }
            return cls(
                grid,
                value.get("text"),
                tuple(point(place) for place in value.get("points", ())),
                tuple(int(label) for label in value.get("labels", ())),
                None if box is None else Box(point(box["low"]), point(box["high"])),
                mask=None if mask is None else PackedMask.from_json(mask, masks or {}),
                notes=tuple(str(note) for note in value.get("notes", ())),
                **regions,
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, VolumeError) as error:
            raise PromptError(f"the prompt cannot be read from JSON ({error!r}); write it with to_json.") from error

    @classmethod
    def make(
        cls,
        grid: Grid,
        *,
        text: str | None = None,
        points: Iterable[Sequence[float]] = (),
        negative_points: Iterable[Sequence[float]] = (),
        box: Sequence[float] | None = None,
        mm: bool = False,
    ) -> "Prompt":
        """From plain numbers, as a command line or a notebook has them.

        Args:
            points, negative_points: (x, y, z) each, voxel indices of `grid`, or RAS+ millimetres if `mm`.
            box: (x0, y0, z0, x1, y1, z1), both corners included, in the same unit. In millimetres the box is the
                tight voxel box around its eight corners, since a grid may lie obliquely.

        Raises:
            PromptError: as Prompt does; in millimetres where these were given.
        """
        if not isinstance(grid, Grid):
            raise PromptError(f"a prompt lies on a Grid, such as volume.grid, not on a {type(grid).__name__}.")
        on, off = points_from_numbers(points), points_from_numbers(negative_points)
        spots = [*on, *off]
        if mm:
            spots = [point(row) for row in voxels_from_mm(grid, spots, "point")]
        labels = (1,) * len(on) + (0,) * len(off)
        voxel_box = None if box is None else box_from_numbers(box)
        notes: tuple[str, ...] = ()
        if voxel_box is not None and mm:
            voxel_box, notes = box_from_mm(grid, voxel_box)
        return cls(grid, text, tuple(spots), labels, voxel_box, notes=notes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prompt):
            return NotImplemented
        return self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[object, ...]:
        parts = tuple(getattr(self, name) for names in _FIELDS.values() for name in names)
        return self.grid.shape, self.grid.affine.tobytes(), parts


def voxels_from_mm(grid: Grid, places: Sequence[Point], what: str) -> npt.NDArray[np.float64]:
    """RAS+ millimetres (N, 3) -> voxel indices (N, 3), not rounded.

    Raises:
        PromptError: one lies outside the image; said in millimetres, `what` names it.
    """
    voxels = grid.to_voxel(places)
    for place, inside in zip(places, grid.contains(voxels) if len(places) else (), strict=True):
        if not inside:
            where = ", ".join(f"{value:g}" for value in place)
            raise PromptError(f"the {what} ({where}) mm lies outside the image, which spans {span_mm(grid)}.")
    return voxels
