"""A torso from the base of the heart to the loins or the pelvis: our own generator with exact labels.

The reference body is given in millimetres: x to the patient's right, y forward, z up, with zero between the kidneys
and in the middle of the trunk. Its sizes and places are those of adults in abdominal CT (means over the public BTCV
training cases and the TotalSegmentator example); every patient scales, turns and bends it, and every organ has its
own size, place and pose around it.
"""

import numpy as np

from ...imaging.grid import Grid
from .abdomen import paint_abdomen
from .anatomy import Anatomy
from .canvas import Canvas
from .pelvis import paint_pelvis
from .skeleton import paint_back_muscles, paint_rib_cage, paint_spine
from .trunk import Build, draw_build, fat_thickness, lay_trunk

PELVIS_FLOOR = -150.0  # a field of view that starts below this shows the pelvis


def torso(
    rng: np.random.Generator,
    spacing: tuple[float, float, float] = (2.5, 2.5, 4.0),
    *,
    pelvis: bool | None = None,
) -> Anatomy:
    """One patient's torso.

    Args:
        rng: everything is drawn from it.
        spacing: voxel size (x, y, z) in millimetres.
        pelvis: whether the field of view reaches the pelvis; None draws it.

    Returns:
        An anatomy on a RAS grid of about 160 x 120 x 70 voxels at the default spacing.
    """
    build = draw_build(rng, pelvis)
    grid = _grid(build, rng, spacing)
    canvas = Canvas(grid, rng, scale=build.scale, degrees=build.degrees)
    paint_torso(canvas, rng, build)
    return canvas.finish(_placed(grid, rng))


def paint_torso(canvas: Canvas, rng: np.random.Generator, build: Build) -> None:
    """Everything between the skin and the spine, on a canvas laid over the reference body."""
    trunk = lay_trunk(canvas, build, rng)
    everywhere = (slice(None), slice(None), slice(None))
    canvas.fill("skin", "skin", everywhere, trunk.skin <= 0)
    canvas.fill("body fat", "fat", everywhere, trunk.skin <= -2.2)
    canvas.fill("muscle", "muscle", everywhere, trunk.wall <= 0)
    canvas.fill("body fat", "fat", everywhere, (trunk.cavity <= 0) & (trunk.diaphragm <= 0))
    paint_back_muscles(canvas, trunk, rng)
    paint_abdomen(canvas, trunk, rng, build)
    paint_spine(canvas, rng)
    paint_rib_cage(canvas, trunk, rng)
    if build.floor < PELVIS_FLOOR:
        paint_pelvis(canvas, trunk, rng, build)
    canvas.labels[trunk.skin > 0] = 0


def _grid(build: Build, rng: np.random.Generator, spacing: tuple[float, float, float]) -> Grid:
    thick = fat_thickness(build.fat)
    low = np.array([-150 - thick, -116 - 0.6 * thick, build.floor]) * build.scale - [rng.uniform(8, 30) for _ in "xyz"]
    high = np.array([150 + thick, 108 + thick, build.roof]) * build.scale + [rng.uniform(8, 30) for _ in "xyz"]
    low[2], high[2] = build.floor * build.scale[2], build.roof * build.scale[2]
    shape = np.ceil((high - low) / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def _placed(grid: Grid, rng: np.random.Generator) -> Grid:
    """The same grid somewhere in the scanner: a table is never at zero."""
    affine = grid.affine.copy()
    affine[:3, 3] += rng.normal(0, [8, 15, 200])
    return Grid(grid.shape, affine)
