"""The pelvis: hip bones, sacrum, femoral heads, bladder, prostate in its two zones or uterus."""

import numpy as np

from .canvas import Canvas
from .shapes import Plate, Shape, ellipsoid, smooth_max, tube
from .trunk import Build, Trunk


def paint_pelvis(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    """Muscles of the floor and the buttocks, then bones, then organs."""
    _, y, z = canvas.points
    everywhere = (slice(None), slice(None), slice(None))
    bowl = ellipsoid((0, 4, -120), (92, 92, 118))(canvas.points)
    buttocks = (trunk.wall <= -2) & (bowl > 0) & (z < -115) & ((y < 35) | (z < -190))
    keep = [canvas.label("body fat", "fat"), canvas.label("muscle", "muscle")]
    seams = np.abs(canvas.wobble(everywhere, 1.0)) < 0.06
    canvas.fill("muscle", "muscle", everywhere, buttocks & ~seams, over=keep)
    for name, side in (("right", 1.0), ("left", -1.0)):
        canvas.paint(f"{name} femur", "bone", _femur(side))
        canvas.paint(f"{name} hip", "bone", _hip(side), rough=0.5)
        canvas.paint(f"{name} femur", "bone", [ellipsoid((side * 92, -10, -215), (22, 22, 22))])
    sacrum: list[Shape] = [
        ellipsoid((0, -74, -142), (50, 14, 22), (-32, 0, 0)),
        ellipsoid((0, -94, -165), (40, 11, 22), (-20, 0, 0)),
        ellipsoid((0, -102, -190), (24, 8, 18), (10, 0, 0)),
    ]
    canvas.paint("sacrum", "bone", sacrum, rough=0.8)
    _organs(canvas, rng, build)


def _hip(side: float) -> list[Shape]:
    """The wing as three triangles, the socket, and the pubic and sitting branches."""
    socket, front, crest, back, notch = (
        np.array([side * at[0], at[1], at[2]], float)
        for at in ((90, -8, -192), (118, 26, -128), (122, -22, -92), (56, -84, -122), (54, -70, -160))
    )
    wing: list[Shape] = [
        Plate((socket, front, crest), 9),
        Plate((socket, crest, back), 9),
        Plate((socket, back, notch), 10),
    ]
    rim: list[Shape] = [*tube([front, crest, back], [5.5, 6.5, 6.5])]
    column = [
        (side * 54, -66, -155),
        (side * 78, -30, -185),
        (side * 84, -32, -215),
        (side * 58, -42, -250),
        (side * 52, -44, -275),
    ]
    branch = [
        (side * 90, 14, -205),
        (side * 60, 28, -222),
        (side * 24, 32, -240),
        (side * 8, 30, -250),
        (side * 40, -20, -280),
    ]
    return [
        *wing,
        *rim,
        ellipsoid((side * 90, -9, -213), (31, 29, 30)),
        *tube(column, [8, 11, 13, 13, 13]),
        *tube(branch, [9, 7.5, 7, 8, 6]),
    ]


def _femur(side: float) -> list[Shape]:
    neck = [(side * 94, -10, -215), (side * 118, -16, -230), (side * 134, -20, -240)]
    return [*tube(neck, [14, 14, 17]), *tube([(side * 134, -20, -236), (side * 130, -18, -330)], [18, 15])]


def _organs(canvas: Canvas, rng: np.random.Generator, build: Build) -> None:
    fat = [canvas.label("body fat", "fat"), canvas.label("muscle", "muscle")]
    fat += [value for value, name in canvas.names.items() if name in ("small bowel", "colon")]
    full = float(np.clip(rng.lognormal(0, 0.2), 0.65, 1.4))
    canvas.paint("body fat", "fat", [ellipsoid((0, 6, -205), (52, 48, 42))], over=fat)
    organ = canvas.field(
        [ellipsoid((0, 14, -204 + 8 * (full - 1)), np.array([38, 33, 28]) * full, (rng.normal(-8, 4), 0, 0))], rough=1.5
    )
    if organ is not None:
        window, field = organ
        canvas.fill("bladder", "gut wall", window, field <= 0, over=fat)
        canvas.fill("bladder", "urine", window, field <= -3.5, over=[canvas.label("bladder", "gut wall")])
    if not build.male:
        canvas.paint(
            "uterus",
            "uterus",
            [ellipsoid((0, -26, -186), (24, 18, 34), (rng.normal(45, 12), 0, 0))],
            rough=1.5,
            over=fat,
        )
        return
    size = float(np.clip(rng.lognormal(0, 0.12), 0.8, 1.4))
    centre = np.array([0, -12, -244])
    organ = canvas.field([ellipsoid(centre, np.array([25, 17, 20]) * size)], rough=0.8)
    if organ is None:
        return
    window, field = organ
    inner = ellipsoid(centre + np.array([0, 5, 3]), np.array([17, 12, 16]) * size ** rng.uniform(1, 1.5))(
        canvas.points[(slice(None), *window)]
    )
    canvas.fill("prostate peripheral zone", "prostate peripheral", window, field <= 0)
    transition = smooth_max(field + 1.5, inner, 2) <= 0
    canvas.fill("prostate transition zone", "prostate transition", window, transition)
