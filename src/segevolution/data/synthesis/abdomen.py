"""The organs of the abdomen and of the base of the chest, painted from the outside in."""

import numpy as np
import numpy.typing as npt

from .bowel import paint_bowel
from .canvas import Canvas
from .shapes import Capsule, Field, Plate, Shape, Vector, ellipsoid, smooth_max, tube
from .skeleton import spine_y
from .trunk import Build, Trunk
from .vessels import paint_liver_vessels, paint_vessels


def paint_abdomen(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    """Everything inside the wall, in the order in which later organs press into earlier ones."""
    _chest(canvas, trunk, rng)
    paint_bowel(canvas, trunk, rng, build)
    _spleen(canvas, trunk, rng, build)
    _liver(canvas, trunk, rng, build)
    _stomach(canvas, trunk, rng, build)
    _kidneys(canvas, trunk, rng, build)
    _pancreas_and_duodenum(canvas, rng, build)
    _gallbladder(canvas, rng, build)
    _adrenals(canvas, rng)
    paint_vessels(canvas, rng, build)


def _chest(canvas: Canvas, trunk: Trunk, rng: np.random.Generator) -> None:
    """Diaphragm, lungs and the mediastinum between them, with the heart's base."""
    everywhere = (slice(None), slice(None), slice(None))
    x, y, _ = canvas.points
    inside = trunk.cavity <= 0
    canvas.fill("muscle", "muscle", everywhere, inside & (np.abs(trunk.diaphragm) < 2.2))
    heart_x, heart_z = -22 + rng.normal(0, 4), 152 + rng.normal(0, 5)
    tunnel = np.abs(x + 4) - 24 - 6 * np.clip((y - 10) / 60, 0, 1)
    bag = ellipsoid((heart_x, 32, heart_z), (64, 50, 52), (0, 20, -20))(canvas.points)
    middle = np.minimum(tunnel, np.minimum(bag, ellipsoid((-4, -38, 150), (34, 34, 130))(canvas.points)))
    middle = middle + canvas.wobble(everywhere, 1.5)
    chest = inside & (trunk.diaphragm > 2.2)
    canvas.fill("body fat", "fat", everywhere, chest)
    for name, side in (("right lung", x > 0), ("left lung", x <= 0)):
        canvas.fill(name, "lung", everywhere, chest & side & (middle > 0) & (trunk.cavity <= -1))
    over_diaphragm = [trunk.above + 2.5]
    for tissue, centre, radii in (
        ("myocardium", (heart_x, 33, heart_z), (56, 43, 45)),
        ("heart blood", (heart_x + 24, 44, heart_z + 6), (27, 24, 30)),
        ("heart blood", (heart_x - 22, 32, heart_z + 2), (20, 20, 30)),
        ("heart blood", (heart_x + 26, 8, heart_z + 8), (22, 17, 27)),
    ):
        canvas.paint("heart", tissue, [ellipsoid(centre, radii, (0, 20, -25))], within=over_diaphragm, rough=1.0)


def _liver(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    """Below the right dome, down to a slanting lower face; the left lobe a wedge in front of the stomach."""
    x, y, z = canvas.points
    everywhere = (slice(None), slice(None), slice(None))
    tip = rng.normal(0, 12)  # how far the right lobe reaches down
    reach = rng.normal(-52, 14)  # how far the left lobe reaches to the patient's left
    right = np.clip((x - 40) / 90, 0, 1.3)
    lower = 37 - 0.45 * np.minimum(x, 40) - (52 + tip) * right - 0.16 * np.clip(y, -60, 80) * (1 - 0.6 * right)
    lower = lower + np.clip(-x, 0, 90) * 0.22 + build.breath * 0.8
    face = (lower - z) * np.float32(0.8) + canvas.wobble(everywhere, 2.0)
    left = (reach - x + 0.25 * (y - 40)) * np.float32(0.9)
    # The left lobe lies in front: behind it is the stomach, and the spine with the great vessels.
    back = (-6 + 0.75 * np.clip(28 - x, 0, 120) - y) * np.float32(0.75)
    hollow = ellipsoid((-4, -32, 60), (29, 36, 170))(canvas.points)
    field: Field = smooth_max(face, left, 14)
    field = smooth_max(field, np.minimum(back, (26 - x)), 14)
    field = smooth_max(field, -hollow, 10)
    kidney_bed = ellipsoid((52, -56, 0 + 0.35 * build.breath), (46, 40, 62), (-16, -14, 0))(canvas.points)
    field = smooth_max(field, -kidney_bed, 10)
    field = smooth_max(field, trunk.cavity + 2.5, 8)
    field = smooth_max(field, trunk.diaphragm + 2.5, 8)
    canvas.fill("liver", "liver", everywhere, field <= 0, over=_soft(canvas))
    paint_liver_vessels(canvas, rng, build)


def _spleen(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    size = float(np.clip(rng.lognormal(0, 0.12), 0.75, 1.5))
    centre = np.array([-104, -38, 64 + 0.6 * build.breath]) + rng.normal(0, [4, 6, 6])
    shape = ellipsoid(centre, np.array([50, 62, 60]) * size, (rng.normal(25, 8), rng.normal(10, 6), rng.normal(-12, 8)))
    inner = ellipsoid(centre + np.array([68, 26, 2]), np.array([38, 50, 60]), (0, 0, -20))
    spleen = canvas.field([shape], rough=2.0)
    if spleen is None:
        return
    window, field = spleen
    field = smooth_max(field, -inner(canvas.points[(slice(None), *window)]), 12)
    for limit in (trunk.cavity + 2.5, trunk.diaphragm + 2.5):
        field = smooth_max(field, limit[window], 10)
    canvas.fill("spleen", "spleen", window, field <= 0, over=_soft(canvas))


def _stomach(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    """Fundus under the left dome, body forward and down, antrum across the midline; wall, contents and gas."""
    full = float(np.clip(rng.lognormal(0, 0.2), 0.6, 1.45))
    up = 0.7 * build.breath
    low = rng.normal(0, 8)
    path = np.array(
        [
            (-50, -22, 96 + up),
            (-57, 0, 84 + up),
            (-68, 26, 60),
            (-56, 48, 34 + low),
            (-22, 60, 18 + low),
            (10, 58, 20),
            (34, 46, 26),
        ],
        float,
    )
    path[1:-1] += rng.normal(0, 4, (5, 3))
    radii = np.array([26, 34, 31, 25, 19, 14, 8]) * np.array([full, full, full, full, full**0.6, full**0.3, 1])
    limits = [trunk.cavity + 5, trunk.diaphragm + 4]
    stomach = canvas.paint("stomach", "gut wall", tube(path, radii), within=limits, rough=2.0, over=_soft(canvas))
    esophagus_end = path[1] + [14, -10, 4]
    _esophagus(canvas, rng, esophagus_end)
    if stomach is None:
        return
    window, field = stomach
    wall_voxels = canvas.labels[window] == canvas.label("stomach", "gut wall")
    lumen = wall_voxels & (field < -rng.uniform(3.5, 6.0))
    canvas.fill("stomach", str(rng.choice(["water", "oral contrast", "food"], p=[0.4, 0.3, 0.3])), window, lumen)
    level = rng.uniform(25, 75)  # lying on the back, gas rises to the front
    canvas.fill("stomach", "gas", window, lumen & (canvas.points[1][window] > level))


def _esophagus(canvas: Canvas, rng: np.random.Generator, end: Vector) -> None:
    path: list[npt.ArrayLike] = [
        (2, spine_y(230) + 24, 230),
        (-3, spine_y(170) + 30, 170),
        (-8, spine_y(130) + 36, 128),
        (-20, -12, 108),
        end,
    ]
    canvas.paint("esophagus", "gut wall", tube(path, [7.5, 8, 8.5, 9, 9], flat=0.85), rough=0.8)
    if rng.random() < 0.4:
        canvas.paint("esophagus", "gas", tube(path[:3], [2.5, 2.5, 2], flat=0.8))


def _kidneys(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    """Bean shapes, upper poles inward and backward, the right one lower; sinus fat and a layer of fat around."""
    soft = _soft(canvas)
    for side, bed in ((1.0, (34, -18, 54)), (-1.0, (-37, -8, 46))):
        canvas.paint("body fat", "fat", [ellipsoid(bed, (13, 20, 24), (0, 0, side * 10))], over=soft)
    for name, side, z0 in (("right kidney", 1.0, -6.0), ("left kidney", -1.0, 5.0)):
        size = float(np.clip(rng.normal(1, 0.06), 0.85, 1.18))
        centre = np.array([side * 70, -34, z0 + 0.35 * build.breath]) + rng.normal(0, [4, 4, 6])
        angles = (rng.normal(-16, 4), side * rng.normal(-14, 4), side * rng.normal(-32, 8))
        radii = np.array([27, 25, 53]) * size
        padding = 2 + 11 * build.fat
        canvas.paint("body fat", "fat", [ellipsoid(centre, radii + padding, angles)], rough=1.5, over=soft)
        kidney = canvas.field([ellipsoid(centre, radii, angles)], rough=1.2)
        if kidney is None:
            continue
        window, field = kidney
        turn = ellipsoid(centre, radii, angles).turn
        hilum = centre + turn.apply([-side * 19, 6, 0])
        sinus = ellipsoid(hilum, np.array([15, 7, 19]) * size, angles)(canvas.points[(slice(None), *window)])
        field = smooth_max(smooth_max(field, -sinus, 5), trunk.cavity[window] + 2, 6)
        canvas.fill(name, "kidney cortex", window, field <= 0, over=[*soft, canvas.label("muscle", "muscle")])
        deep = field + canvas.wobble(window, 3.0) <= -7.5
        canvas.fill(name, "kidney medulla", window, deep, over=[canvas.label(name, "kidney cortex")])
        pelvis: list[Shape] = [
            Capsule(hilum + turn.apply([side * 4, 0, z]), hilum + turn.apply([-side * 12, 2, -8]), (4.5, 3.5))
            for z in (-9, 9)
        ]
        canvas.paint("renal pelvis", "urine", pelvis, over=[canvas.label("body fat", "fat")])


def _pancreas_and_duodenum(canvas: Canvas, rng: np.random.Generator, build: Build) -> None:
    """The duodenum's loop around the head, the gland's body arched over the spine, the tail to the spleen."""
    soft = _soft(canvas)
    shift = rng.normal(0, [3, 3, 4])
    loop = np.array(
        [
            (38, 46, 26),
            (50, 36, 22),
            (55, 22, 8),
            (52, 14, -18),
            (40, 12, -38),
            (12, 16, -46),
            (-18, 18, -38),
            (-32, 24, -14),
        ],
        float,
    )
    duodenum = canvas.paint(
        "duodenum", "gut wall", tube(loop + shift, [9, 12, 12.5, 12.5, 12, 11.5, 11.5, 11]), rough=1.5, over=soft
    )
    if duodenum is not None:
        window, field = duodenum
        wall_voxels = canvas.labels[window] == canvas.label("duodenum", "gut wall")
        canvas.fill(
            "duodenum", str(rng.choice(["water", "oral contrast", "chyme"])), window, wall_voxels & (field < -3.5)
        )
    gland = np.array(
        [(30, 18, -26), (34, 22, -6), (28, 28, 10), (10, 38, 22), (-15, 38, 30), (-42, 20, 36), (-72, -8, 46)], float
    )
    gland[4:] += rng.normal(0, [2, 4, 6])
    plump = rng.normal(1, 0.1)
    radii = np.array([8, 15, 16.5, 11, 12, 11.5, 10]) * plump
    canvas.paint("pancreas", "pancreas", tube(gland + shift, radii, flat=0.85), rough=2.6 + 1.2 * build.fat)


def _gallbladder(canvas: Canvas, rng: np.random.Generator, build: Build) -> None:
    size = float(np.clip(rng.lognormal(-0.05, 0.17), 0.6, 1.25))
    if rng.random() < 0.06:  # taken out
        return
    path = (
        np.array([(50, 26, 38), (62, 36, 28), (74, 56, 10)], float)
        + rng.normal(0, [3, 3, 3])
        + [0, 0, 0.6 * build.breath]
    )
    canvas.paint("gallbladder", "bile", tube(path, np.array([6, 12, 17]) * size), rough=0.6)


def _adrenals(canvas: Canvas, rng: np.random.Generator) -> None:
    """Thin limbs above and in front of the kidneys' upper poles: a Y on the left, a line with a fork on the right."""
    for name, side, where in (
        ("right adrenal gland", 1.0, (33, -20, 55)),
        ("left adrenal gland", -1.0, (-36, -10, 47)),
    ):
        centre = np.asarray(where) + rng.normal(0, [2, 2, 4])
        thick = rng.uniform(4.6, 6.4)
        top = centre + np.array([side * -2, 8, 17])
        front, back_in, back_out = (
            centre + offset for offset in ([0, 13, 0], [-side * 6, -13, -14], [side * 9, -13, -14])
        )
        low = centre + np.array([0, 9, -18])
        plates: list[Shape] = [
            Plate((top, low, back_in), thick),
            Plate((top, low, back_out), thick),
            Plate((top, front, low), thick),
        ]
        canvas.paint(name, "adrenal", plates)


def _soft(canvas: Canvas) -> list[int]:
    """What organs may push aside: fat and bowel, never the wall or the lungs."""
    keep = {"muscle", "skin", "right lung", "left lung", "heart"}
    return [value for value, name in canvas.names.items() if name not in keep]
