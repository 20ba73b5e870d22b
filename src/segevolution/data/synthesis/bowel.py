"""Colon around the abdomen, small bowel in its middle: tubes with a wall and contents."""

import numpy as np

from .canvas import Canvas
from .shapes import Field, tube
from .trunk import Build, Trunk


def paint_bowel(canvas: Canvas, trunk: Trunk, rng: np.random.Generator, build: Build) -> None:
    """Small bowel first, so that the colon lies in front and beside it."""
    limits = [trunk.cavity + 3 + 5 * build.fat, trunk.diaphragm + 3]
    _small_bowel(canvas, rng, limits)
    _colon(canvas, rng, limits)


def _small_bowel(canvas: Canvas, rng: np.random.Generator, limits: list[Field]) -> None:
    """Loops that wander through the middle of the abdomen."""
    loops = []
    for _ in range(15):
        at = rng.uniform([-76, 4, -170], [76, 66, -2])
        heading = rng.normal(0, 1, 3)
        course = [at]
        for _ in range(9):
            heading = 0.55 * heading / np.linalg.norm(heading) + 0.55 * rng.normal(0, [1, 0.7, 0.8])
            at = np.clip(course[-1] + 21 * heading / np.linalg.norm(heading), [-84, 6, -185], [84, 72, 12])
            course.append(at + rng.normal(0, 0.5, 3))
        loops.append(np.array(course))
    contents = ["chyme", "oral contrast", "water"]
    weights = rng.dirichlet([1.2, 0.8, 0.5])
    for path in loops:
        wide = rng.uniform(10, 14)
        bowel = canvas.paint("small bowel", "gut wall", tube(path, wide), within=limits, rough=1.8)
        if bowel is not None:
            window, field = bowel
            canvas.fill("small bowel", str(rng.choice(contents, p=weights)), window, field < -rng.uniform(3, 5))
            if rng.random() < 0.15:
                canvas.fill(
                    "small bowel", "gas", window, (field < -5) & (canvas.points[1][window] > path[:, 1].max() - 4)
                )


def _colon(canvas: Canvas, rng: np.random.Generator, limits: list[Field]) -> None:
    """From the caecum up the right flank, across in front, down the left flank to the rectum."""
    sag = rng.uniform(-25, 25)
    path = np.array(
        [
            (86, 20, -150),
            (96, 2, -115),
            (100, -6, -75),
            (100, 0, -42),
            (86, 24, -22),
            (60, 60, -18),
            (30, 76, -26 + sag),
            (-10, 80, -30 + sag),
            (-52, 76, -8 + sag * 0.5),
            (-84, 52, 26),
            (-108, 12, 40),
            (-112, -18, 14),
            (-108, -22, -30),
            (-104, -16, -80),
            (-96, 4, -125),
            (-72, 6, -158),
            (-34, 22, -172),
            (-8, -14, -172),
            (-4, -52, -180),
            (0, -62, -205),
            (0, -50, -255),
        ],
        float,
    )
    path[1:-2] += rng.normal(0, [4, 5, 6], (len(path) - 3, 3))
    wide = rng.normal(1, 0.1)
    radii = np.array([27, 26, 24, 23, 22, 20, 20, 20, 20, 20, 19, 17, 15, 14, 14, 14, 15, 15, 16, 17, 13]) * wide
    radii *= np.clip(rng.normal(1, 0.12, len(radii)), 0.7, 1.3)
    colon = canvas.paint("colon", "gut wall", tube(path, radii, step=8), within=limits, rough=2.6)
    if colon is None:
        return
    window, field = colon
    lumen = field < -3.0
    canvas.fill("colon", "stool", window, lumen)
    level = 45 + canvas.wobble(window, 22)
    bubbles = canvas.wobble(window, 1.0) > 0.9
    canvas.fill("colon", "gas", window, lumen & (field < -4) & ((canvas.points[1][window] > level) | bubbles))
