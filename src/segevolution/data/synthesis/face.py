"""What a plain simulated head leaves out: jaws, the arches of the cheeks, airway, neck bones, fat pads, a nose.

Painted over a finished head and only over skin, fat, muscle, sinuses and air, so that nothing inside the skull changes.
"""

import numpy as np

from .canvas import Canvas
from .shapes import Plate, Shape, Vector, ellipsoid, tube

_SOFT = ("muscle", "body fat", "skin", "sinuses")


def paint_face(canvas: Canvas) -> None:
    """Soft parts first, then bone and air; draws from the canvas's own generator."""
    soft = [value for value, name in canvas.names.items() if name in _SOFT]
    _nose(canvas)
    _fat_pads(canvas, soft)
    _bones(canvas, soft)
    _airway(canvas)
    _neck(canvas, soft)


def _nose(canvas: Canvas) -> None:
    """A wedge in front of the nasal cavity, in air only."""
    tip: list[Shape] = [*tube([(0, 88, -22), (0, 97, -38), (0, 103, -50)], [7, 9, 12])]
    tip += [ellipsoid((side * 8, 97, -52), (8, 9, 7)) for side in (1.0, -1.0)]
    nose = canvas.paint("skin", "skin", tip, over=[0])
    if nose is not None:
        window, field = nose
        canvas.fill("body fat", "fat", window, field <= -3, over=[canvas.label("skin", "skin")])


def _fat_pads(canvas: Canvas, soft: list[int]) -> None:
    """Fat between the muscles of the cheeks and of the neck."""
    for side in (1.0, -1.0):
        canvas.paint("body fat", "fat", [ellipsoid((side * 45, 44, -64), (9, 20, 16))], rough=2.5, over=soft)
        canvas.paint("body fat", "fat", [ellipsoid((side * 26, 6, -70), (6, 12, 18))], rough=2.0, over=soft)
        seams: list[Shape] = [
            Plate(_points(*corners), 3.0)
            for corners in (
                ((side * 12, -72, -52), (side * 46, -52, -56), (side * 26, -66, -130)),
                ((side * 34, -18, -56), (side * 52, -50, -60), (side * 44, -32, -130)),
            )
        ]
        canvas.paint("body fat", "fat", seams, rough=1.2, over=soft)
    canvas.paint("body fat", "fat", [Plate(_points((0, -58, -50), (0, -84, -62), (0, -70, -130)), 3.0)], over=soft)


def _bones(canvas: Canvas, soft: list[int]) -> None:
    """Cheek arches, the branches of the lower jaw, the hard palate, thin walls of the maxillary sinuses."""
    bones: list[Shape] = [Plate(_points((-22, 70, -78), (22, 70, -78), (0, 20, -76)), 4.0)]
    for side in (1.0, -1.0):
        bones += tube([(side * 50, 68, -46), (side * 66, 42, -46), (side * 70, 12, -44)], [5, 3.6, 3.2])
        bones += [Plate(_points((side * 52, 0, -52), (side * 50, 34, -58), (side * 47, 8, -120)), 6.0)]
        bones += [Plate(_points((side * 50, 34, -58), (side * 47, 8, -120), (side * 44, 40, -120)), 6.0)]
        bones += tube([(side * 14, 92, -4), (side * 34, 90, -10), (side * 50, 72, -24)], [4, 4.5, 4.5])
    canvas.paint("skull", "bone", bones, rough=0.4, over=soft)
    muscle = [value for value, name in canvas.names.items() if name in ("muscle", "body fat")]
    for side in (1.0, -1.0):
        canvas.paint("skull", "bone", [ellipsoid((side * 24, 60, -62), (17, 19, 19))], rough=0.6, over=muscle)


def _airway(canvas: Canvas) -> None:
    """Septum and shells inside the nasal cavity, and the throat behind it."""
    air = [canvas.label("sinuses", "gas")]
    soft = [value for value, name in canvas.names.items() if name in ("muscle", "body fat")]
    canvas.paint("sinuses", "gas", [ellipsoid((0, 10, -62), (11, 9, 22))], rough=1.0, over=soft)
    shells: list[Shape] = []
    for side in (1.0, -1.0):
        for height in (-60.0, -48.0):
            shells += tube([(side * 6.5, 30, height), (side * 6, 66, height - 2)], [2.8, 2.4])
    canvas.paint("muscle", "gut wall", shells, over=air)
    canvas.paint("skull", "cartilage", [Plate(_points((0, 24, -70), (0, 84, -70), (0, 50, -34)), 2.4)], over=air)


def _neck(canvas: Canvas, soft: list[int]) -> None:
    """The first two vertebrae round the canal, which the brain stem enters."""
    canvas.paint("spinal canal", "csf", tube([(0, -22, -50), (0, -25, -70), (0, -29, -130)], [11, 10, 9]), over=soft)
    ring: list[Shape] = [
        *tube([(14, -12, -66), (24, -20, -66), (20, -36, -68), (0, -44, -70)], [6, 6, 4.5, 4.5]),
        *tube([(-14, -12, -66), (-24, -20, -66), (-20, -36, -68), (0, -44, -70)], [6, 6, 4.5, 4.5]),
        *tube([(0, -9, -58), (0, -11, -90), (0, -13, -130)], [6, 10, 11]),
        *tube([(0, -44, -84), (0, -60, -90)], [4, 5]),
    ]
    canvas.paint("vertebrae", "bone", ring, rough=0.4, over=soft)


def _points(*corners: tuple[float, float, float]) -> tuple[Vector, Vector, Vector]:
    """The three corners of a plate."""
    first, second, third = (np.array(corner, float) for corner in corners)
    return first, second, third
