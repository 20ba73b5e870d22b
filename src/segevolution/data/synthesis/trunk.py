"""The trunk: a patient's build, the body's surface, the muscle wall, and the diaphragm."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .canvas import Canvas
from .shapes import Field


@dataclass(frozen=True)
class Build:
    """What makes one patient differ from the next, before any organ does.

    Attributes:
        male: sex of the patient.
        fat: 0 lean to 1 obese.
        scale: size along x, y, z.
        degrees: turn on the table about x, y, z.
        breath: millimetres by which the diaphragm stands above its mean.
        floor, roof: lowest and highest reference z in the field of view, in millimetres.
    """

    male: bool
    fat: float
    scale: tuple[float, float, float]
    degrees: tuple[float, float, float]
    breath: float
    floor: float
    roof: float


@dataclass(frozen=True, eq=False)
class Trunk:
    """Whole-grid fields (X, Y, Z) in millimetres, negative inside, that organs are cut to.

    Attributes:
        skin: the body surface.
        wall: the outer side of the muscle wall.
        cavity: the inner side of the muscle wall.
        diaphragm: negative below the diaphragm.
    """

    skin: Field
    wall: Field
    cavity: Field
    diaphragm: Field

    @property
    def above(self) -> Field:
        """Negative above the diaphragm."""
        return -self.diaphragm


def draw_build(rng: np.random.Generator, pelvis: bool | None = None) -> Build:
    """Draw a patient's build; `pelvis` says whether the field of view reaches it (None: one in four does)."""
    male = bool(rng.random() < 0.55)
    size = rng.normal(1.06 if male else 1.0, 0.04)
    width, depth, height = (float(size * rng.normal(1, 0.03)) for _ in range(3))
    reaches = bool(rng.random() < 0.25) if pelvis is None else pelvis
    return Build(
        male=male,
        fat=float(rng.beta(1.6, 2.6)),
        scale=(width, depth, height),
        degrees=(float(rng.normal(0, 1.5)), float(rng.normal(0, 1.0)), float(rng.normal(0, 2.5))),
        breath=float(rng.normal(0, 7)),
        floor=float(rng.uniform(-290, -262) if reaches else rng.uniform(-140, -75)),
        roof=float(rng.uniform(135, 195)),
    )


def fat_thickness(fat: float) -> float:
    """Mean millimetres of fat under the skin."""
    return 5 + 34 * fat


def lay_trunk(canvas: Canvas, build: Build, rng: np.random.Generator) -> Trunk:
    """The fields of a patient's trunk on a canvas."""
    x, y, z = canvas.points
    middle = -3.0
    heights = [-300, -250, -190, -130, -60, 0, 60, 120, 200]
    jitter = 1 + rng.normal(0, 0.015, len(heights))
    half_x = PchipInterpolator(heights, np.array([150, 152, 150, 138, 131, 136, 141, 140, 134]) * jitter)
    half_y = PchipInterpolator(heights, np.array([92, 98, 100, 97, 96, 99, 101, 101, 97]) * jitter)
    table = np.linspace(-330, 330, 661)
    a = np.interp(z, table, half_x(np.clip(table, -300, 200))).astype(np.float32)
    b = np.interp(z, table, half_y(np.clip(table, -300, 200))).astype(np.float32)
    belly = 10 * build.fat * np.exp(-(((z + 40) / 90) ** 2)) * (y > middle)
    b = b + belly
    across, along = x / a, (y - middle) / b
    # The back is flatter than the belly: a superellipse with a higher exponent behind.
    power = np.where(along < 0, 2.7, 2.15).astype(np.float32)
    norm = (np.abs(across) ** power + np.abs(along) ** power) ** (1 / power)
    radius = np.sqrt(x**2 + (y - middle) ** 2) + 1e-3
    reach = radius / np.maximum(norm, 1e-3)
    wall = radius - reach
    behind, before = np.clip(-along, 0, 1), np.clip(along, 0, 1)
    loins = 1 / (1 + np.exp(-(20 - z) / 18))  # 1 below the ribs, 0 in the chest
    # In front the straight muscles, two bands with a thin seam between them.
    straight = 7.0 * np.exp(-(((np.abs(x) - 36) / 22) ** 2)) - 2.0
    muscle = 8.5 + loins * (3.0 * (1 - before**2) + 17 * behind**3) + (straight - 1.5) * before**3 + 3 * behind
    muscle = muscle + canvas.wobble((slice(None),) * 3, 1.0)
    thick = fat_thickness(build.fat)
    low = 1 / (1 + np.exp((z + 40) / 40))
    layer = thick * (
        0.45 + 0.35 * behind * (1 - np.abs(across)) + (0.25 + 0.35 * low) * before + 0.45 * low * np.abs(across)
    )
    layer = layer + 3 + canvas.wobble((slice(None),) * 3, 1.2)
    navel = np.exp(-((x / 7) ** 2 + ((z + 60) / 9) ** 2)) * before * 0.5
    skin = wall - np.maximum(layer * (1 - navel), 2.5)
    return Trunk(skin, wall, wall + muscle, _diaphragm(canvas, build, across, along, norm))


def _diaphragm(canvas: Canvas, build: Build, across: Field, along: Field, norm: Field) -> Field:
    """Two domes, the right one higher, that fall to the ribs at the sides and lowest at the back."""
    x, y, z = canvas.points
    inner = np.clip(norm / 0.93, 0, 1.1)
    domes = 124 + build.breath + 8 * np.tanh(x / 30) - 12 * np.exp(-(((x + 6) / 26) ** 2))
    drop = 70 + 30 * np.clip(-along, 0, 1) - 38 * np.clip(along, 0, 1)
    # At the back the cavity is shallow beside the spine, so its own depth counts.
    gutter = np.clip((-y - 48) / 42, 0, 1) ** 2 * 0.75
    depth = np.maximum(inner**5, gutter)
    slope = np.sqrt(1 + (drop * 5 * inner**4 / 125) ** 2)
    fall: Field = ((z - domes + drop * depth) / slope).astype(np.float32)
    return fall + canvas.wobble((slice(None),) * 3, 1.5)
