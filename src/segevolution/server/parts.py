"""What a person points at, as parts of a prompt: the names and values of Prompt's attributes, in voxels of the file."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from ..errors import PromptError
from ..imaging.boxes import Box, Point, point
from ..imaging.grid import Grid
from ..imaging.masks import Mask
from ..imaging.prompts import Prompt, PromptKind, voxels_from_mm
from ..imaging.regions import Region

Parts = dict[str, Any]
Places = Sequence[Sequence[float]]

FLAT_BOX = "a box in one slice bounds nothing in depth, so it was taken as a region drawn in that slice"


def point_parts(grid: Grid, place: Sequence[float], *, positive: bool, mm: bool = False) -> Parts:
    """A point (x, y, z); raises PromptError where it lies outside."""
    spot = point(place)
    if mm:
        spot = point(voxels_from_mm(grid, [spot], "point")[0])
    return _checked(grid, {"points": (spot,), "labels": (int(positive),)})


def box_parts(
    grid: Grid, corners: Places, accepts: Collection[PromptKind], *, positive: bool = True, mm: bool = False
) -> Parts:
    """A box by two opposite corners, both included.

    A box off the structure becomes a lasso off it. A box in a single slice becomes a lasso in it where the network can
    be told of that (or of points inside it), since as a box it would end the structure in that slice.

    Raises:
        PromptError: it lies outside the image altogether, or in millimetres with a corner outside.
    """
    ends = [point(corner) for corner in corners]
    if len(ends) != 2:
        raise PromptError("a box needs two opposite corners.")
    if mm:
        ends = [point(row) for row in voxels_from_mm(grid, ends, "corner of the box")]
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    checked = Prompt(grid, box=Box(point(low), point(high)))
    assert checked.box is not None
    first, last = (np.asarray(corner) for corner in checked.box.voxels)
    flat = any(start == stop and side > 1 for start, stop, side in zip(first, last, grid.shape, strict=True))
    drawable = {PromptKind.LASSO, PromptKind.POINT} & set(accepts)
    if positive and not (flat and drawable):
        return {"box": checked.box, "notes": checked.notes}
    axes = [np.arange(start, stop + 1) for start, stop in zip(first, last, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    notes = (*checked.notes, FLAT_BOX) if positive else checked.notes
    return {"lasso": Region.of(voxels, positive=positive), "notes": notes}


def scribble_parts(grid: Grid, where: Places | Mask, *, positive: bool, mm: bool = False) -> Parts:
    """A scribble: the line through positions in order, or a mask; raises PromptError where it leaves the image."""
    if isinstance(where, np.ndarray):
        return _checked(grid, {"scribbles": _region(where, "scribble", positive=positive)})
    voxels = _voxels(grid, where, "scribble", mm=mm)
    return _checked(grid, {"scribbles": Region.along(voxels, grid.shape, positive=positive)})


def lasso_parts(grid: Grid, where: Places | Mask, *, positive: bool, mm: bool = False) -> Parts:
    """A lasso: all voxels within a closed outline in one slice, or a mask.

    Raises:
        PromptError: the outline lies in no single slice, has fewer than three positions, or leaves the image.
    """
    if isinstance(where, np.ndarray):
        return _checked(grid, {"lasso": _region(where, "lasso", positive=positive)})
    outline = _voxels(grid, where, "lasso", mm=mm)
    return _checked(grid, {"lasso": Region.of(_within(outline, grid), positive=positive)})


def voxel_of(place: Sequence[float]) -> Point:
    """The middle of the voxel that a position lies in; on a face between two, the later one."""
    return point(np.floor(np.asarray(place) + 0.5))


def joined_parts(parts: Sequence[Parts]) -> Parts:
    """What several additions say together: points, drawn voxels and notes add up, the last of anything else counts."""
    whole: Parts = {}
    for part in parts:
        for name, value in part.items():
            earlier = whole.get(name)
            if earlier is None:
                whole[name] = value
            elif isinstance(earlier, tuple):
                whole[name] = (*earlier, *value)
            else:
                whole[name] = earlier.joined(value) if isinstance(earlier, Region) else value
    return whole


def is_positive(parts: Parts) -> bool:
    """Whether anything in it is on the structure."""
    regions = [parts.get(name) for name in ("scribbles", "lasso")]
    has_region = any(region is not None and bool(region.labels.any()) for region in regions)
    return (
        has_region
        or 1 in parts.get("labels", ())
        or any(parts.get(name) is not None for name in ("text", "box", "mask"))
    )


def _checked(grid: Grid, parts: Parts) -> Parts:
    """The parts, if they lie in the image; what is off the structure alone makes no prompt, so a text stands beside."""
    Prompt(grid, "anything", **parts)
    return parts


def _region(mask: Mask, what: str, *, positive: bool) -> Region:
    if not mask.any():
        raise PromptError(f"the {what} holds no voxel; draw at least one.")
    return Region.of(mask, positive=positive)


def _voxels(grid: Grid, places: Places, what: str, *, mm: bool) -> npt.NDArray[np.float64]:
    spots = [point(place) for place in places]
    if not spots:
        raise PromptError(f"the {what} needs positions x,y,z, at least one.")
    return voxels_from_mm(grid, spots, f"{what} at") if mm else np.asarray(spots)


def _within(outline: npt.NDArray[np.float64], grid: Grid) -> npt.NDArray[np.int64]:
    """The voxels within an outline (N, 3), its line included."""
    if len(outline) < 3:
        raise PromptError("a lasso needs an outline of at least three positions.")
    rounded = np.floor(outline + 0.5).astype(int)
    planes = [axis for axis in range(3) if (rounded[:, axis] == rounded[0, axis]).all()]
    if not planes:
        raise PromptError("the positions of a lasso must lie in one slice of the image.")
    if not grid.contains(outline).all():
        raise PromptError("the lasso leaves the image.")
    axis = planes[-1]
    across, up = (other for other in range(3) if other != axis)
    canvas = Image.new("1", (grid.shape[across], grid.shape[up]))
    ImageDraw.Draw(canvas).polygon([(int(row[across]), int(row[up])) for row in rounded], fill=1, outline=1)
    filled = np.argwhere(np.asarray(canvas).T)
    voxels = np.empty((len(filled), 3), np.int64)
    voxels[:, across], voxels[:, up], voxels[:, axis] = filled[:, 0], filled[:, 1], rounded[0, axis]
    return voxels
