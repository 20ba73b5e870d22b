"""Spine, back muscles, rib cage."""

import numpy as np
from scipy.interpolate import PchipInterpolator

from .canvas import Canvas
from .shapes import Capsule, Ellipsoid, Shape, ellipsoid, tube
from .trunk import Trunk

# Reference heights and the y of the vertebral bodies' centres: lumbar lordosis, thoracic kyphosis.
_CURVE = PchipInterpolator(
    [-260, -200, -150, -128, -103, -71, -34, 0, 33, 65, 95, 130, 200, 260],
    [-100, -100, -74, -50, -30, -20, -19, -25, -34, -44, -50, -55, -59, -60],
)
# Centres of the vertebrae, S1 first, then L5 up to T7.
_LEVELS = (-128, -102, -70, -35, -1, 31, 62, 90, 116, 141, 165, 188)


def spine_y(z: float) -> float:
    """The y of the vertebral bodies' centres at a height, in reference millimetres."""
    return float(_CURVE(np.clip(z, -260, 260)))


def paint_back_muscles(canvas: Canvas, trunk: Trunk, rng: np.random.Generator) -> None:
    """Erector, quadratus and psoas muscles and the diaphragm's crura."""
    bulk = rng.normal(1.0, 0.08)
    heights = np.array([-150.0, -110, -70, -35, 0, 35, 70, 110, 150, 210])
    for side in (1.0, -1.0):
        erector = [(side * 33, spine_y(z) - 60 + 0.04 * max(z, 0), z) for z in heights]
        sizes = np.interp(heights, [-150, -60, 30, 210], [22, 30, 27, 20]) * bulk
        canvas.paint(
            "muscle", "muscle", tube(erector, sizes, flat=0.78), within=[trunk.wall + 1], round_mm=3, rough=1.0
        )
        quadratus = [(side * 62, spine_y(z) - 22, z) for z in (-100.0, -60, -20, 25)]
        canvas.paint("muscle", "muscle", tube(quadratus, [17, 17, 14, 8]), within=[trunk.wall + 1], rough=1.0)
        psoas: list[tuple[float, float, float]] = [
            (side * w, spine_y(z) + d, z) for w, d, z in ((25, -6, 28), (29, -2, -5), (36, 0, -40), (46, 10, -80))
        ]
        psoas += [(side * 58, 2.0, -125.0), (side * 72, 12.0, -180.0), (side * 88, 14.0, -230.0)]
        canvas.paint("muscle", "muscle", tube(psoas, np.array([5, 9, 14, 20, 23, 20, 17]) * bulk, flat=1.0), rough=1.0)
        crus = [(side * 9, spine_y(z) + d, z) for d, z in ((20, -20), (24, 15), (30, 50), (36, 75))]
        canvas.paint("muscle", "muscle", tube(crus, [3, 4.5, 5, 4], flat=1.6), over=[canvas.label("body fat", "fat")])


def paint_spine(canvas: Canvas, rng: np.random.Generator) -> None:
    """The vertebrae with their discs, the canal and the cord."""
    column = [(0.0, spine_y(z), z) for z in np.arange(-130.0, 231, 30)]
    discs = tube(column, np.interp([p[2] for p in column], [-130, 0, 210], [23, 21, 16]), flat=0.74)
    canvas.paint("intervertebral discs", "disc", discs)
    bones: list[Shape] = []
    gap = rng.uniform(7.0, 10.0)
    for below, level in zip((*[-156], *_LEVELS[:-1]), _LEVELS, strict=True):
        height = level - below
        bones += _vertebra(level, min(height, 34) - gap, chest=level > 50)
    canvas.paint("vertebrae", "bone", bones, rough=0.5)
    canal = [(0.0, spine_y(z) - np.interp(z, [-60, 60], [29, 25]), z) for z in np.arange(-140.0, 231, 20)]
    canvas.paint("spinal canal", "fat", tube(canal, np.interp([p[2] for p in canal], [-100, 60], [10.5, 9.0])))
    canvas.paint("spinal canal", "csf", tube(canal, np.interp([p[2] for p in canal], [-100, 60], [8.5, 7.5])))
    cord = [point for point in canal if point[2] > -25]
    canvas.paint(
        "spinal cord", "cord", tube(cord, np.interp([p[2] for p in cord], [-20, 30, 60], [2.0, 5.0, 5.0]), flat=0.8)
    )


def _vertebra(z: float, height: float, chest: bool) -> list[Shape]:
    """Body, arch, spinous and transverse processes of one vertebra."""
    y = spine_y(z)
    wide, deep = (16.5, 13.5) if chest else (23.0, 17.0)
    slope = np.degrees(np.arctan((spine_y(z + 8) - spine_y(z - 8)) / 16))
    stack = [
        ellipsoid((0, y + step * np.tan(np.radians(slope)), z + step), (wide, deep, height * 0.42), (-slope, 0, 0))
        for step in (-height * 0.24, 0.0, height * 0.24)
    ]
    body: list[Shape] = [
        Ellipsoid(shape.centre, shape.radii * np.array([1 - 0.05 * (i == 1), 1 - 0.05 * (i == 1), 1]), shape.turn)
        for i, shape in enumerate(stack)
    ]
    back = y - (25 if chest else 29)
    for side in (1.0, -1.0):
        body.append(
            Capsule(np.array([side * 11, y - deep + 3, z + 5]), np.array([side * 13, back - 2, z + 3]), (4.5, 4.5))
        )
        body.append(Capsule(np.array([side * 13, back - 2, z + 2]), np.array([side * 2, back - 13, z - 4]), (4.0, 4.0)))
        tip = np.array([side * (30 if chest else 38), back - (8 if chest else 2), z + 4])
        body.append(Capsule(np.array([side * 12, back - 1, z + 4]), tip, (4.5, 3.2)))
        body.append(
            Capsule(np.array([side * 15, back - 3, z - 14]), np.array([side * 15, back - 3, z + 12]), (5.5, 4.5))
        )
    drop = 22 if chest else 7
    body.append(Capsule(np.array([0, back - 12, z - 3]), np.array([0, back - 28, z - drop]), (3.6, 4.6)))
    body.append(Capsule(np.array([0, back - 24, z - drop + 8]), np.array([0, back - 28, z - drop - 5]), (3.4, 3.8)))
    return body


def paint_rib_cage(canvas: Canvas, trunk: Trunk, rng: np.random.Generator) -> None:
    """Oblique ribs in the wall, their cartilages up to the sternum, and the sternum."""
    x, y, z = canvas.points
    ring = (trunk.wall < -0.5) & (trunk.cavity > -3) & (z > -25)
    places = np.nonzero(ring)
    x, y, z = x[ring], y[ring], z[ring]
    depth = -trunk.wall[ring]
    # 0 behind, 1 in front, along the wall of one side.
    round_ = np.arctan2(np.abs(x) / 140, -(y + 3) / 100) / np.pi
    drop = 112 * np.clip((round_ - 0.08) / 0.55, 0, 1) ** 0.85
    rise = 60 * np.clip((round_ - 0.62) / 0.38, 0, 1) ** 1.2
    head = z + drop - rise  # the height at which the rib that passes here leaves the spine
    heads = np.array([74, 100, 126, 151, 175, 198, 221, 244, 267, 290, 312]) + rng.normal(0, 1.0)
    ends = np.array([0.33, 0.47, 0.62, 0.66, 0.72, 0.74, 0.76, 0.78, 0.8, 0.82, 0.84])
    nearest = np.abs(head[:, None] - heads[None]).argmin(1)
    off = head - heads[nearest]
    across = (depth - 5.0) / np.where(round_ < 0.5, 4.2, 3.4)
    inside = (across**2 + (off / 6.2) ** 2 < 1) & (round_ > 0.06)
    bone = inside & (round_ < ends[nearest])
    joint = (round_ >= ends[nearest]) & (nearest >= 2) & (round_ < 0.965)
    cartilage = (across**2 + (off / 7.5) ** 2 < 1) & joint & (z > 25 + 50 * (round_ - 0.7))
    for mask, name, tissue in ((cartilage, "costal cartilage", "cartilage"), (bone, "ribs", "bone")):
        values = tuple(axis[mask] for axis in places)
        canvas.labels[values] = canvas.label(name, tissue)
    sternum = tube([(0, 91, 95), (0, 92, 125), (0, 90, 230)], [6, 14, 18], flat=0.38)
    canvas.paint("sternum", "bone", sternum, within=[trunk.wall + 1], round_mm=2)
