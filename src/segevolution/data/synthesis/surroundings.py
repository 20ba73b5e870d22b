"""A simulated torso around somebody's organs: what an abdominal label map leaves unlabelled, made up as anatomy.

Maps of a few organs (kidneys, a prostate) say nothing of spine, wall, bowel and vessels. One of our own torsos is laid
so that its organs come to lie where the map's are, and shows through wherever the map holds 0; organs that the map
labels itself are taken out of it.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ...imaging.grid import Grid
from .anatomy import UNIONS, Anatomy
from .canvas import Canvas
from .torso import paint_torso
from .trunk import Build, draw_build

Labels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

# Organs whose places tell where the torso lies; the great vessels and the gut are cut by many fields of view.
LANDMARKS = (
    "liver",
    "spleen",
    "right kidney",
    "left kidney",
    "kidney",
    "pancreas",
    "gallbladder",
    "stomach",
    "prostate",
    "bladder",
)
_COARSE = (8.0, 8.0, 8.0)
_LOW, _HIGH = np.array([-200.0, -160.0, -300.0]), np.array([200.0, 160.0, 240.0])


def torso_around(
    labels: Labels, grid: Grid, names: dict[int, str], rng: np.random.Generator
) -> tuple[Labels, dict[int, str]] | None:
    """The torso that shows through a map, or None where the map has no landmark that this patient has.

    Args:
        labels: (X, Y, Z) of the map on its grid (RAS order).
        grid: of the map.
        names: label -> structure.
        rng: draws the patient around the organs.

    Returns:
        Labels from 1 on the same grid, 0 outside the body, and their tissues. Organs that the map names are fat here.
    """
    organ_centres = _centres(labels, np.asarray(grid.spacing), names)
    if not organ_centres:
        return None
    build = draw_build(rng, pelvis=True)
    if "prostate" in organ_centres:
        build = replace(build, male=True)
    fit = _fitted(labels, grid, organ_centres, _coarse_torso(build, rng))
    if fit is None:
        return None
    stretch, shift = fit
    low = -shift
    scale = np.asarray(build.scale) * stretch
    placed = replace(build, scale=(scale[0], scale[1], scale[2]), floor=float(low[2] / scale[2]))
    affine = np.diag([*grid.spacing, 1.0])
    affine[:3, 3] = low
    canvas = Canvas(Grid(grid.shape, affine), rng, scale=placed.scale, degrees=placed.degrees)
    paint_torso(canvas, rng, placed)
    organ_family = _family(set(names.values()))
    removed_values = [value for value, name in canvas.names.items() if name in organ_family]
    canvas.labels[np.isin(canvas.labels, removed_values)] = canvas.label("body fat", "fat")
    painted = canvas.finish()
    return painted.labels, dict(painted.tissues)


def _coarse_torso(build: Build, rng: np.random.Generator) -> Anatomy:
    affine = np.diag([*_COARSE, 1.0])
    affine[:3, 3] = _LOW * build.scale
    shape = np.ceil((_HIGH - _LOW) * build.scale / _COARSE).astype(int)
    canvas = Canvas(Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine), rng, scale=build.scale)
    paint_torso(canvas, rng, build)
    return canvas.finish()


def _fitted(labels: Labels, grid: Grid, wanted: dict[str, Points], coarse: Anatomy) -> tuple[Points, Points] | None:
    """Stretch and shift of each axis: map millimetres = stretch * torso millimetres + shift.

    The torso grows until it holds the map's labels. None where this patient lacks what the map shows.
    """
    centres = _centres(coarse.labels, np.asarray(_COARSE), {}, coarse)
    shared_names = sorted(wanted.keys() & centres.keys())
    if not shared_names:
        return None
    body_centres = np.array([wanted[name] for name in shared_names])
    map_centres = np.array([centres[name] + coarse.grid.affine[:3, 3] for name in shared_names])
    stretch = np.ones(3)
    if {"right kidney", "left kidney"} <= set(shared_names):
        apart = {side: shared_names.index(f"{side} kidney") for side in ("right", "left")}
        width = (
            abs(body_centres[apart["right"]] - body_centres[apart["left"]])[0]
            / abs(map_centres[apart["right"]] - map_centres[apart["left"]])[0]
        )
        stretch = np.full(3, np.clip(width, 0.85, 1.2))
    body = ndimage.binary_erosion(coarse.labels > 0, iterations=2)
    points = np.argwhere(labels)[:: max(1, int(np.count_nonzero(labels) / 4000))] * np.asarray(grid.spacing)
    for _ in range(9):
        shift = body_centres.mean(0) - stretch * map_centres.mean(0)
        places = ((points - shift) / stretch - coarse.grid.affine[:3, 3]) / _COARSE
        index = np.clip(np.rint(places).astype(int), 0, np.asarray(body.shape) - 1)
        if body[tuple(index.T)].mean() > 0.985:
            break
        stretch = stretch * np.array([1.04, 1.04, 1.02])
    return stretch, body_centres.mean(0) - stretch * map_centres.mean(0)


def _centres(labels: Labels, steps: Points, names: dict[int, str], anatomy: Anatomy | None = None) -> dict[str, Points]:
    """Landmark -> millimetres of its middle from the first voxel's centre, with unions where their parts are there."""
    parts: dict[str, list[int]] = {}
    if anatomy is not None:
        parts = {name: list(values) for name, values in anatomy.structures().items()}
    else:
        for value, name in names.items():
            for structure in (name, *(union for union, members in UNIONS.items() if name in members and union != name)):
                parts.setdefault(structure, []).append(value)
    middles = {}
    for name in LANDMARKS:
        mask = np.isin(labels, parts.get(name, []))
        if mask.any() and not (name == "kidney" and "right kidney" in parts):
            middles[name] = np.array(ndimage.center_of_mass(mask)) * steps
    if anatomy is not None and "kidney" in parts:
        middles["kidney"] = np.array(ndimage.center_of_mass(np.isin(labels, parts["kidney"]))) * steps
    return middles


def _family(names: set[str]) -> set[str]:
    """Every structure that is, holds, or is held by one of these; a tumour stands for its organ."""
    family = set(names) | {name.removesuffix(" tumour") for name in names}
    for union, members in UNIONS.items():
        if family & {union, *members}:
            family |= {union, *members}
    if "right kidney" in family:
        family.add("renal pelvis")
    return family
