"""Blood vessels of the abdomen: the great ones, the portal system, and the trees inside the liver."""

import numpy as np
import numpy.typing as npt

from .canvas import Canvas
from .shapes import Capsule, Vector, tube
from .skeleton import spine_y
from .trunk import Build


def paint_vessels(canvas: Canvas, rng: np.random.Generator, build: Build) -> None:
    """Aorta and its first branches, vena cava, portal system."""
    up = 0.8 * build.breath
    wide = rng.normal(1, 0.1)
    front = [(z, spine_y(z)) for z in (-78.0, -40, 0, 40, 80, 120, 160, 230)]
    aside = [(-2, 27), (-4, 28), (-6, 28), (-8, 27), (-12, 24), (-18, 20), (-20, 18), (-21, 16)]
    aorta = [(dx, y + dy, z) for (z, y), (dx, dy) in zip(front, aside, strict=True)]
    cava_path = [(22, spine_y(z) + d, z) for d, z in ((27, -82), (29, -40), (32, 0), (38, 45))]
    cava = [*cava_path, (26, 2, 84 + 0.5 * up), (28, 12, 112 + up), (24, 18, 135 + up)]
    renal_veins = tube([(22, 6, 8), (40, -8, 2), (60, -26, -4)], 4.5) + tube(
        [(20, 12, 14), (-8, 22, 14), (-30, 6, 10), (-56, -24, 8)], 4.5
    )
    canvas.paint(
        "inferior vena cava",
        "cava blood",
        tube(cava, np.array([11, 11.5, 12, 12, 12.5, 13, 14]) * rng.normal(1, 0.08), flat=rng.uniform(0.75, 1.0)),
        rough=0.8,
    )
    fat_only = [canvas.label("body fat", "fat")]
    canvas.paint("renal veins", "cava blood", renal_veins, over=fat_only)
    renal_arteries = tube([(-4, 4, 14), (18, -8, 8), (56, -28, -2)], 2.6) + tube(
        [(-6, 4, 12), (-28, -8, 10), (-54, -26, 8)], 2.6
    )
    canvas.paint("renal arteries", "arterial blood", renal_arteries, over=fat_only)
    meet = np.array([10, 26, 24]) + rng.normal(0, 2, 3)
    hilum = np.array([46, 24, 58 + up])
    portal = tube([meet, meet + np.array([14, 0, 16]), hilum], [8.0, 7.5, 7.0]) + tube(
        [hilum, (62, 14, 64 + up), (78, 4, 62 + up)], [6.0, 5.0, 3.5]
    )
    portal += tube([hilum, (34, 38, 70 + up), (18, 50, 74 + up)], [5.0, 4.2, 3.0])
    splenic: list[npt.ArrayLike] = [meet, (-12, 26, 28), (-40, 8, 34), (-66, -18, 46), (-84, -28, 54)]
    canvas.paint("portal and splenic vein", "portal blood", portal + tube(splenic, [6, 5, 5, 4.5, 3.5]))
    mesenteric = tube([meet, (13, 36, 0), (12, 42, -40), (10, 46, -85)], [6, 5.5, 5, 3.5])
    canvas.paint(
        "mesenteric vessels", "portal blood", mesenteric, over=[*fat_only, canvas.label("pancreas", "pancreas")]
    )
    canvas.paint(
        "aorta", "arterial blood", tube(aorta, np.array([8.5, 9, 9.5, 10.5, 11.5, 12, 12.5, 13]) * wide), rough=0.4
    )
    superior = tube([(-5, 12, 22), (-4, 24, 8), (0, 34, -30), (2, 40, -80)], [4, 3.8, 3.2, 2.5])
    celiac = tube([(-6, 10, 34), (-6, 22, 36), (14, 24, 42), (38, 20, 52)], [3.6, 3.4, 2.6, 2.2]) + tube(
        [(-6, 22, 36), (-40, 6, 42), (-78, -20, 52)], [3.0, 2.6, 2.2]
    )
    canvas.paint(
        "mesenteric vessels",
        "arterial blood",
        superior + celiac,
        over=[*fat_only, canvas.label("pancreas", "pancreas")],
    )
    twigs: list[Capsule] = []
    for _ in range(18):
        end = rng.uniform([-85, 8, -150], [85, 60, -10])
        twigs += _branch(rng, np.array([8, 38, rng.uniform(-60, -5)]), end, (2.6, 1.2), forks=1)
    canvas.paint("mesenteric vessels", "portal blood", twigs, over=fat_only)
    branches = tube(
        [(-4, 12, -76), (26, 6, -105), (46, -6, -135), (72, 20, -200), (82, 38, -260)], [6.5, 6, 5.5, 5, 4.5]
    )
    branches += tube(
        [(-4, 12, -76), (-28, 8, -105), (-46, -4, -135), (-72, 20, -200), (-82, 38, -260)], [6.5, 6, 5.5, 5, 4.5]
    )
    canvas.paint("iliac arteries", "arterial blood", branches)
    veins = tube([(20, 8, -84), (34, -4, -110), (48, -16, -140), (66, 8, -200), (72, 32, -260)], [9, 7, 6.5, 6, 6])
    veins += tube([(20, 8, -84), (-14, -2, -108), (-42, -16, -140), (-66, 8, -200), (-72, 32, -260)], [9, 7, 6.5, 6, 6])
    canvas.paint("iliac veins", "cava blood", veins, over=fat_only)


def paint_liver_vessels(canvas: Canvas, rng: np.random.Generator, build: Build) -> None:
    """Three hepatic veins to the vena cava, and the portal branches, forking twice, inside the liver only."""
    inside = [canvas.label("liver", "liver")]
    up = build.breath * 0.8
    trunk_end = np.array([27, 4, 104 + up])
    ends = [(96, 0, 58), (108, -30, 70), (60, 55, 62), (35, 60, 78), (-22, 55, 88)]
    veins: list[Capsule] = []
    for end in ends:
        tip = np.array(end) + rng.normal(0, 7, 3) + [0, 0, up]
        veins += _branch(rng, trunk_end, tip, (5.0, 1.6), forks=2)
    hilum = np.array([46, 22, 60 + up])
    for end in ((110, -20, 35), (110, 15, 72), (98, 35, 30), (70, -35, 85), (70, 48, 85), (0, 58, 76), (-25, 60, 76)):
        tip = np.array(end) + rng.normal(0, 8, 3) + [0, 0, up]
        veins += _branch(rng, hilum, tip, (4.5, 1.4), forks=2)
    canvas.paint("hepatic vessels", "portal blood", veins, over=inside)


def _branch(
    rng: np.random.Generator, start: Vector, end: Vector, radii: tuple[float, float], forks: int
) -> list[Capsule]:
    """A curved vessel that forks."""
    middle = (start + end) / 2 + rng.normal(0, 0.07 * np.linalg.norm(end - start), 3)
    thin = (radii[0] + radii[1]) / 2
    pieces = tube([start, middle, end], [radii[0], thin, radii[1]], step=14)
    if forks:
        for _ in range(2):
            away = end - middle
            turned = middle + away * 0.9 + rng.normal(0, 0.45 * np.linalg.norm(away), 3)
            pieces += _branch(rng, middle, turned, (thin * 0.8, max(1.0, radii[1] * 0.8)), forks - 1)
    return pieces
