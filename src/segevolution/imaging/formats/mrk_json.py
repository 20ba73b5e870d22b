"""Points and a box that were set in 3D Slicer (.mrk.json), as parts of a prompt.

Fiducial lists are points. Those are off the structure whose label or description, or whose list's name, has the word
"off" or "neg", or one that begins with "negativ" or "background" (NegativePoints, neg1, "off liver"; "off-target" is
another word). The prompt's notes say how many were taken as what. One ROI is a box, however it lies. Other markups
(lines, curves, planes) are refused by name. The fields are those of Slicer's markups schema v1.0.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from ...documents import read_json
from ...errors import PromptError
from ..boxes import Box, clipped, point
from ..grid import Floats, Grid
from ..prompts import Prompt, voxels_from_mm

SUFFIX = ".mrk.json"
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[^\W\d_]+")
_NEGATIVE = re.compile(r"negativ.*|neg|background.*", re.IGNORECASE)
_OFF = re.compile(r"(?<![^\W\d_]-)(?<![^\W\d_])off(?!-?[^\W\d_])", re.IGNORECASE)  # as a word, not within "kick-off"
_TO_RAS = {"RAS": np.diag([1.0, 1.0, 1.0]), "LPS": np.diag([-1.0, -1.0, 1.0])}
_NUMBERED = {"0": "RAS", "1": "LPS"}  # how older versions of Slicer name them
_ROIS = ("ROI", "Box")

Triple = tuple[float, float, float]


class _Others(BaseModel):
    """A part of a file of Slicer's, which holds more than is read here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _ControlPoint(_Others):
    label: str = ""
    description: str = ""
    position: Triple | None = None
    positionStatus: str = "defined"


class _Markup(_Others):
    type: str
    name: str = ""
    coordinateSystem: Literal["RAS", "LPS", "0", "1"] = "LPS"
    coordinateUnits: str | list[object] = "mm"
    controlPoints: tuple[_ControlPoint, ...] = ()
    roiType: str = "Box"
    center: Triple | None = None
    orientation: tuple[float, ...] | None = None
    size: Triple | None = None
    insideOut: bool = False


class _MarkupsFile(_Others):
    markups: tuple[_Markup, ...]


@dataclass(frozen=True, eq=False)
class Markups:
    """What a file says, in patient millimetres.

    Attributes:
        positive, negative: (N, 3) RAS+ millimetres.
        corners: (8, 3) of the box, RAS+ millimetres; None = no box.
        path: of the file.
    """

    positive: Floats
    negative: Floats
    corners: Floats | None
    path: Path

    def prompt(self, grid: Grid, text: str | None = None) -> Prompt:
        """The prompt on an image's grid; a box that lies obliquely there becomes the tight one round its corners.

        Raises:
            PromptError: a point, or the whole box, lies outside the image.
        """
        spots = [point(place) for place in (*self.positive, *self.negative)]
        voxels = tuple(point(row) for row in voxels_from_mm(grid, spots, f"point of {self.path.name}")) if spots else ()
        labels = (1,) * len(self.positive) + (0,) * len(self.negative)
        box: Box | None = None
        notes: tuple[str, ...] = ()
        if self.corners is not None:
            box, notes = clipped(grid, grid.to_voxel(self.corners), "mm")
        if labels:
            counted = f"{len(self.positive)} points on the structure and {len(self.negative)} off it"
            notes = (*notes, f"{self.path.name} holds {counted}, by their names")
        return Prompt(grid, text, voxels, labels, box, notes=notes)


def read_markups(path: Path) -> Markups:
    """Read a .mrk.json file.

    Raises:
        PromptError: it is missing, damaged, empty, not in millimetres, or holds what is neither points nor one box.
    """
    content = read_json(path, _MarkupsFile, error=PromptError)
    positive: list[Floats] = []
    negative: list[Floats] = []
    corners: list[Floats] = []
    for markup in content.markups:
        if markup.coordinateUnits not in ("mm", ""):
            raise PromptError(f"{path} is in {str(markup.coordinateUnits)[:40]}; markups are read in millimetres.")
        turn = _TO_RAS[_NUMBERED.get(markup.coordinateSystem, markup.coordinateSystem)]
        if markup.type == "Fiducial":
            for spot in markup.controlPoints:
                if spot.positionStatus == "defined" and spot.position is not None:
                    is_off = any(map(_is_negative, (markup.name, spot.label, spot.description)))
                    (negative if is_off else positive).append(turn @ _place(spot.position))
        elif markup.type in _ROIS:
            corners.append(_corners(markup, path) @ turn)
        else:
            raise PromptError(
                f"{path} holds a markup of type {markup.type[:40]}; points (Fiducial) and a box (ROI) are read."
            )
    if len(corners) > 1:
        raise PromptError(f"{path} holds {len(corners)} boxes; one structure has one box, so keep one.")
    if not positive and not corners:
        spot_text = "only negative points" if negative else "neither a point nor a box"
        raise PromptError(f"{path} holds {spot_text}; set a point on the structure, or a box round it.")
    empty = np.zeros((0, 3))
    return Markups(
        np.stack(positive) if positive else empty,
        np.stack(negative) if negative else empty,
        corners[0] if corners else None,
        path,
    )


def _is_negative(name: str) -> bool:
    """Whether a name says that something is off the structure."""
    name = _CAMEL.sub(" ", name)
    return _OFF.search(name) is not None or any(map(_NEGATIVE.fullmatch, _WORD.findall(name)))


def _place(position: Triple) -> Floats:
    return np.asarray(position, np.float64)


def _corners(markup: _Markup, path: Path) -> Floats:
    """The eight corners (8, 3) of an ROI in its own coordinate system."""
    if markup.roiType not in ("Box", "BoundingBox") or markup.insideOut:
        raise PromptError(f"{path} holds an ROI that is no plain box; a box is read.")
    if markup.center is None or markup.size is None:
        raise PromptError(f"{path} holds an ROI without center or size; save it again from Slicer.")
    if len(markup.orientation or range(9)) != 9:
        raise PromptError(f"{path} holds an ROI whose orientation has not nine numbers; save it again from Slicer.")
    axes = np.eye(3) if markup.orientation is None else np.asarray(markup.orientation, np.float64).reshape(3, 3)
    signs = np.stack(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij"), -1).reshape(-1, 3)
    return np.asarray(_place(markup.center) + (signs * np.asarray(markup.size)) @ axes.T)
