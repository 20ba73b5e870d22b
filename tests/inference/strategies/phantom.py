"""A patient in millimetres, drawn on any grid: a bright ellipsoid, another bright body far off, a dim trunk, air."""

import numpy as np
import numpy.typing as npt

from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.vocabulary import Modality

CENTRE = np.array([14.0, -9.0, 7.0])  # mm, off the middle along every axis
AXES = np.array([9.0, 7.0, 11.0])  # mm, of the ellipsoid
FIELD = np.array([84.0, 72.0, 78.0])  # mm, the whole image round the origin
OTHER = (10, 10, 10)  # mm, of the other bright body
SPACING = np.array([1.2, 1.6, 3.0])

TILT = np.array([[0.9978, -0.0487, 0.0450], [0.0510, 0.9974, -0.0511], [-0.0424, 0.0533, 0.9977]])


def grid(axes: tuple[int, ...] = (0, 1, 2), signs: tuple[int, ...] = (1, 1, 1), *, oblique: bool = False) -> Grid:
    """The field on a grid whose array axis i runs along body axis axes[i], forwards or backwards."""
    turn = np.zeros((3, 3))
    turn[list(axes), range(3)] = signs
    spacing = SPACING[list(axes)]
    shape = np.ceil(FIELD[list(axes)] / spacing).astype(int)
    affine = np.eye(4)
    affine[:3, :3] = (TILT if oblique else np.eye(3)) @ turn @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((shape - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def ellipsoid(where: Grid, centre: npt.ArrayLike = CENTRE, axes: npt.ArrayLike = AXES) -> npt.NDArray[np.bool_]:
    """(X, Y, Z) boolean."""
    places = where.to_mm(np.argwhere(np.ones(where.shape, bool)))
    inside = (((places - np.asarray(centre)) / np.asarray(axes)) ** 2).sum(axis=1) <= 1
    return np.asarray(inside.reshape(where.shape))


def patient(where: Grid, centre: npt.ArrayLike = CENTRE) -> tuple[Volume, npt.NDArray[np.bool_]]:
    """The image, and the ellipsoid's mask."""
    truth = ellipsoid(where, centre)
    image = np.where(ellipsoid(where, (0, 0, 0), FIELD / 2), 100.0, 0.0)
    image[ellipsoid(where, -np.asarray(CENTRE) * 1.4, OTHER)] = 900
    image[truth] = 1000
    return Volume(image.astype(np.float32), where, Modality.MRI, "patient"), truth


def network(framing: str) -> TinyBackbone:
    """The tiny network of a strategy, untrained."""
    return TinyBackbone(VARIANTS[framing]).eval()


def dice(answer: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    return float(2 * (answer & truth).sum() / max(1, answer.sum() + truth.sum()))


def tight(mask: npt.NDArray[np.bool_]) -> list[float]:
    """(x0, y0, z0, x1, y1, z1), both corners included."""
    places = np.argwhere(mask)
    return [*places.min(axis=0).astype(float), *places.max(axis=0).astype(float)]
