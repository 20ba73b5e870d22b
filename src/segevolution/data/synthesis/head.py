"""A head: scalp, skull, fluid, brain with folded cortex, ventricles, deep nuclei, cerebellum, brain stem, a tumour.

The reference head is given in millimetres: x to the patient's right, y forward, z up, zero in the middle between the
thalami. Sizes are those of adults; the cortex is folded by a noise whose zero level makes the sulci.
"""

import numpy as np

from ...imaging.grid import Grid
from .anatomy import Anatomy
from .canvas import Canvas
from .face import paint_face
from .shapes import Field, ellipsoid, noise, smooth_max, tube

_ALL = (slice(None), slice(None), slice(None))


def head(
    rng: np.random.Generator,
    spacing: tuple[float, float, float] = (1.5, 1.5, 2.0),
    *,
    tumour: bool = False,
    detail: bool = False,
) -> Anatomy:
    """One patient's head.

    Args:
        rng: everything is drawn from it.
        spacing: voxel size (x, y, z) in millimetres.
        tumour: whether a glioma with necrotic core, enhancing rim and oedema grows in the white matter.
        detail: paint jaws, airway, neck bones and nose as well (see `face`).

    Returns:
        An anatomy on a RAS grid from below the cerebellum to above the crown.
    """
    scale = rng.normal(1.0, 0.03, 3)
    low, high = np.array([-88.0, -112, -78]) * scale - 8, np.array([88.0, 104, 92]) * scale + 8
    low[2] += 8
    shape = np.ceil((high - low) / spacing).astype(int)
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = low
    grid = Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)
    degrees = rng.normal(0, [4, 2, 3])
    canvas = Canvas(grid, rng, scale=scale, degrees=degrees, bend=((60.0, 2.0), (25.0, 0.6)), roughness=14.0)
    inner = _shells(canvas, rng)
    _brain(canvas, rng, inner)
    _hindbrain(canvas, rng)
    if tumour:
        _tumour(canvas, rng)
    affine = grid.affine.copy()
    affine[:3, 3] += rng.normal(0, [4, 10, 20])
    if detail:
        paint_face(canvas)
    return canvas.finish(Grid(grid.shape, affine))


def _shells(canvas: Canvas, rng: np.random.Generator) -> Field:
    """Scalp, skull and the fluid inside; below them face and neck. Returns the inner table's distance."""
    _, y, z = canvas.points
    dome = ellipsoid((0, -10, 6), (70, 86, 68))(canvas.points)
    floor = -38 + 12 * np.tanh((y + 5) / 25)  # the skull's base rises towards the front
    base = (floor - z).astype(np.float32)
    posterior = ellipsoid((0, -50, -36), (53, 38, 30))(canvas.points)
    inner = np.minimum(smooth_max(dome, base, 14), posterior) + canvas.wobble(_ALL, 0.6)
    bone = rng.uniform(5, 8)
    scalp = rng.uniform(4, 8)
    face = np.minimum(
        ellipsoid((0, 34, -62), (66, 66, 80))(canvas.points), ellipsoid((0, -30, -100), (62, 58, 90))(canvas.points)
    )
    skin = np.minimum(inner - bone - scalp, face)
    canvas.fill("skin", "skin", _ALL, skin <= 0)
    canvas.fill("body fat", "fat", _ALL, skin <= -2.2)
    canvas.fill("muscle", "muscle", _ALL, (face <= -8) & (inner > bone))
    for side in (1.0, -1.0):
        canvas.paint("body fat", "fat", [ellipsoid((side * 32, 66, -30), (20, 24, 19))])
        canvas.paint("eyes", "eye", [ellipsoid((side * 32, 76, -30), (12, 12, 12))])
        canvas.paint("sinuses", "gas", [ellipsoid((side * 24, 60, -62), (14, 16, 16))], rough=1.5)
    canvas.paint("sinuses", "gas", [ellipsoid((0, 50, -52), (9, 34, 16))], rough=1.5)
    canvas.fill("skull", "bone", _ALL, (inner <= bone) & (inner > 0))
    canvas.fill("cerebrospinal fluid", "csf", _ALL, inner <= 0)
    return np.asarray(inner, np.float32)


def _brain(canvas: Canvas, rng: np.random.Generator, inner: Field) -> None:
    """Two hemispheres with sulci, white matter, ventricles and nuclei."""
    x, y, z = canvas.points
    side = np.abs(x)
    # Level surfaces of a smooth noise, about 11 mm apart, wind like gyri.
    folds = np.sin(np.float32(np.pi / 1.05) * noise(rng, canvas.grid.shape, canvas.grid.spacing, 19.0))
    sulci = np.exp(-((folds / 0.3) ** 2))  # 1 along the walls of a fold
    tentorium = (-20 - 0.22 * np.clip(-y - 10, 0, 60) * -1 - z).astype(np.float32)
    tentorium = np.where(y < -12, tentorium, -30 - z).astype(np.float32)
    hull = smooth_max(smooth_max(inner + rng.uniform(1.5, 3.5), (1.6 - side).astype(np.float32), 3), tentorium, 6)
    banks = np.exp(-((folds / 0.8) ** 2))  # 1 in the grey matter beside it
    depth = np.clip(1 - (-hull - 2) / 32, 0, 1)
    brain = hull + 19 * sulci * depth
    canvas.fill("cerebral cortex", "grey matter", _ALL, brain <= 0)
    bridge = ellipsoid((0, -4, 16), (14, 38, 12))(canvas.points)
    white = np.minimum(hull + 3.6 + 20 * banks * depth, bridge)
    white = smooth_max(np.asarray(white, np.float32), hull + 3.0, 3)
    canvas.fill("cerebral white matter", "white matter", _ALL, (white <= 0) & (hull < 0) | (bridge <= 0))
    wide = float(np.clip(rng.lognormal(0, 0.3), 0.6, 1.9))
    for sign in (1.0, -1.0):
        canvas.paint("thalamus", "deep grey matter", [ellipsoid((sign * 11, -14, 2), (8.5, 14, 9), (0, 0, sign * 20))])
        canvas.paint("putamen", "deep grey matter", [ellipsoid((sign * 26, 4, 0), (6, 17, 10), (0, 0, sign * -10))])
        canvas.paint("pallidum", "deep grey matter", [ellipsoid((sign * 19, 0, -2), (4.5, 9, 6.5), (0, 0, sign * -15))])
        tail = tube([(sign * 11, 20, 2), (sign * 14, 12, 14), (sign * 17, -10, 20)], [7, 5.5, 3])
        canvas.paint("caudate", "deep grey matter", tail)
        long = tube([(sign * 24, -6, -22), (sign * 27, -22, -17), (sign * 22, -36, -4)], [6.5, 5, 3.5])
        canvas.paint("hippocampus", "grey matter", long)
        canvas.paint("amygdala", "grey matter", [ellipsoid((sign * 22, 4, -22), (7, 7, 7))])
        horns = tube(
            [(sign * 7, 30, 4), (sign * 7, 12, 15), (sign * 12, -20, 19), (sign * 22, -46, 8)],
            np.array([4, 4.5, 5, 5]) * wide,
        )
        horns += tube(
            [(sign * 22, -46, 8), (sign * 31, -32, -12), (sign * 31, -8, -20)], np.array([4.5, 2.6, 2.0]) * wide
        )
        over = [value for value, name in canvas.names.items() if name in ("cerebral white matter", "cerebral cortex")]
        canvas.paint("lateral ventricles", "csf", horns, over=over)
    canvas.paint(
        "third ventricle", "csf", tube([(0, 6, -6), (0, -8, 0), (0, -22, 2)], np.array([2.4, 2.6, 2.0]) * wide)
    )


def _hindbrain(canvas: Canvas, rng: np.random.Generator) -> None:
    """Brain stem, the leaves of the cerebellum around its white matter, the fourth ventricle."""
    x, y, z = canvas.points
    stem = tube([(0, -16, -8), (0, -14, -26), (0, -20, -46), (0, -28, -90)], [13, 15, 11, 6.5])
    canvas.paint("brain stem", "white matter", stem, rough=0.6)
    lobes = [ellipsoid((s * 24, -52, -40), (29, 29, 23), (18, 0, s * 8)) for s in (1, -1)]
    hindbrain = canvas.field([*lobes, ellipsoid((0, -50, -34), (14, 26, 22))], rough=0.8)
    if hindbrain is not None:
        window, field = hindbrain
        phase = np.hypot(y[window] + 22, z[window] + 34) + 0.25 * np.abs(x[window])
        leaves = np.cos(2 * np.pi * phase / 7.5)
        over = [value for value, name in canvas.names.items() if name in ("cerebrospinal fluid", "cerebral cortex")]
        canvas.fill("cerebellum", "grey matter", window, field + 1.6 * (leaves > 0.8) <= 0, over=over)
        cerebellum_labels = [canvas.label("cerebellum", "grey matter")]
        canvas.fill("cerebellum", "white matter", window, field + 3.5 * leaves <= -10, over=cerebellum_labels)
    fourth = ellipsoid((0, -29, -36), (8, 5, 10))
    canvas.paint("fourth ventricle", "csf", [fourth], rough=rng.uniform(0.2, 0.5))


def _tumour(canvas: Canvas, rng: np.random.Generator) -> None:
    """A glioma in one hemisphere: necrosis in a ragged rim that takes up contrast, oedema along the white matter."""
    sign = float(rng.choice([-1, 1]))
    centre = np.array([sign * rng.uniform(26, 42), rng.uniform(-45, 32), rng.uniform(8, 34)])
    size = float(rng.uniform(11, 21))
    brain = ("cerebral white matter", "cerebral cortex", "lateral ventricles", "putamen", "caudate", "thalamus")
    over = [value for value, name in canvas.names.items() if name in brain]
    tumour = canvas.field([ellipsoid(centre, size * rng.uniform(0.8, 1.2, 3))], rough=2.2, pad=30)
    if tumour is None:
        return
    window, field = tumour
    white = [value for value, name in canvas.names.items() if name == "cerebral white matter"]
    fringe = field + canvas.wobble(window, 4.0) <= rng.uniform(6, 14)
    canvas.fill("brain tumour oedema", "oedema", window, fringe, over=white)
    over.append(canvas.label("brain tumour oedema", "oedema"))
    canvas.fill("brain tumour enhancing", "enhancing tumour", window, field <= 0, over=over)
    core = field + canvas.wobble(window, 1.0) <= -rng.uniform(3, 5)
    rim = [canvas.label("brain tumour enhancing", "enhancing tumour")]
    canvas.fill("brain tumour necrotic core", "necrosis", window, core, over=rim)
