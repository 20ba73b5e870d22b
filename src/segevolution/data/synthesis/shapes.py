"""Implicit shapes: where in the body a point lies inside, in millimetres below zero, and smooth random fields.

Every shape answers with an approximate signed distance (negative inside), so that shapes can be cut, joined
smoothly and roughened by a noise given in millimetres.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation

Field = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]  # (3, ...): x, y, z in millimetres
Vector = npt.NDArray[np.float64]


class Shape(Protocol):
    """A region of space."""

    @property
    def box(self) -> tuple[Vector, Vector]:
        """Lowest and highest corner of a box that holds the shape, in millimetres."""
        ...

    def __call__(self, points: Points) -> Field:
        """Signed distance in millimetres at points (3, ...), negative inside."""
        ...


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """An ellipsoid; `turn` rotates its own axes into the body's."""

    centre: Vector
    radii: Vector
    turn: Rotation

    @property
    def box(self) -> tuple[Vector, Vector]:
        """See Shape."""
        reach = np.sqrt((self.turn.as_matrix() ** 2) @ self.radii**2)
        return self.centre - reach, self.centre + reach

    def __call__(self, points: Points) -> Field:
        """See Shape."""
        own = _own_axes(points, self.centre, self.turn)
        radii = _columns(self.radii, points.ndim)
        scaled_distance = np.sqrt(((own / radii) ** 2).sum(0))
        slope = np.sqrt(((own / radii**2) ** 2).sum(0))
        distance: Field = scaled_distance * (scaled_distance - 1) / np.maximum(slope, 1e-6)
        return distance


@dataclass(frozen=True, eq=False)
class Capsule:
    """A piece of a tube: a segment whose radius changes evenly; `flat` < 1 presses it in y."""

    start: Vector
    end: Vector
    radii: tuple[float, float]
    flat: float = 1.0

    @property
    def box(self) -> tuple[Vector, Vector]:
        """See Shape."""
        reach = max(self.radii)
        return np.minimum(self.start, self.end) - reach, np.maximum(self.start, self.end) + reach

    def __call__(self, points: Points) -> Field:
        """See Shape."""
        away = points - _columns(self.start, points.ndim)
        axis = _columns(self.end - self.start, points.ndim)
        along = np.clip((away * axis).sum(0) / max(float((axis**2).sum()), 1e-6), 0, 1)
        across = away - along * axis
        across[1] /= self.flat
        distance: Field = np.sqrt((across**2).sum(0)) - (self.radii[0] + along * (self.radii[1] - self.radii[0]))
        return distance


@dataclass(frozen=True, eq=False)
class Plate:
    """A triangle with a thickness, rounded at its edges: blades of bone, limbs of an adrenal gland."""

    corners: tuple[Vector, Vector, Vector]
    thickness: float

    @property
    def box(self) -> tuple[Vector, Vector]:
        """See Shape."""
        stacked = np.stack(self.corners)
        return stacked.min(0) - self.thickness, stacked.max(0) + self.thickness

    def __call__(self, points: Points) -> Field:
        """See Shape."""
        a, b, c = self.corners
        normal = np.cross(b - a, c - a)
        normal /= np.linalg.norm(normal)
        away = points - _columns(a, points.ndim)
        height = np.tensordot(normal.astype(np.float32), away, 1)
        inside = np.ones(height.shape, bool)
        half = self.thickness / 2
        edge = np.full(height.shape, np.inf, np.float32)
        for start, end in ((a, b), (b, c), (c, a)):
            outward = np.cross(end - start, normal).astype(np.float32)
            inside &= np.tensordot(outward, points - _columns(start, points.ndim), 1) <= 0
            edge = np.minimum(edge, Capsule(start, end, (0.0, 0.0))(points))
        distance: Field = np.where(inside, np.abs(height), edge).astype(np.float32) - np.float32(half)
        return distance


def ellipsoid(centre: npt.ArrayLike, radii: npt.ArrayLike, degrees: npt.ArrayLike = (0, 0, 0)) -> Ellipsoid:
    """An ellipsoid turned by angles about x, y and z."""
    turn = Rotation.from_euler("xyz", np.asarray(degrees, float), degrees=True)
    return Ellipsoid(np.asarray(centre, float), np.asarray(radii, float), turn)


def tube(points: Iterable[npt.ArrayLike], radii: npt.ArrayLike, flat: float = 1.0, step: float = 9.0) -> list[Capsule]:
    """Capsules along a smooth curve through points (N, 3), with a radius at each."""
    knots, sizes = np.array([np.asarray(point, float) for point in points]), np.asarray(radii, float)
    sizes = np.full(len(knots), sizes) if sizes.ndim == 0 else sizes
    lengths = np.linalg.norm(np.diff(knots, axis=0), axis=1)
    at = np.r_[0, np.cumsum(lengths)]
    samples = np.linspace(0, at[-1], max(2, int(at[-1] / step) + 1))
    curve = CubicSpline(at, knots)(samples) if len(knots) > 2 else _between(at, knots, samples)
    width = np.interp(samples, at, sizes)
    pairs = zip(range(len(samples) - 1), range(1, len(samples)), strict=True)
    return [Capsule(curve[i], curve[j], (float(width[i]), float(width[j])), flat) for i, j in pairs]


def smooth_max(first: Field, second: Field, round_mm: float) -> Field:
    """The intersection of two fields with edges rounded over `round_mm`."""
    if round_mm <= 0:
        return np.maximum(first, second)
    blend = np.maximum(round_mm - np.abs(first - second), 0) / round_mm
    joined: Field = np.maximum(first, second) + blend * blend * np.float32(round_mm / 4)
    return joined


def noise(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float], length: float
) -> Field:
    """A smooth random field of zero mean and unit deviation; `length` is the distance of its knots in millimetres."""
    knots = [max(4, int(np.ceil(side * step / length)) + 3) for side, step in zip(shape, spacing, strict=True)]
    coarse = rng.standard_normal(knots).astype(np.float32)
    field = coarse
    for axis in range(3):
        places = 1 + rng.random() * 0.5 + np.arange(shape[axis]) * spacing[axis] / length
        field = _upsample(field, axis, np.minimum(places, knots[axis] - 2.001))
    field -= field.mean()
    return field / np.float32(max(float(field.std()), 1e-6))


def _upsample(field: Field, axis: int, places: Vector) -> Field:
    """Quadratic B-spline along one axis, as a small matrix (places, knots)."""
    base = np.rint(places).astype(int)
    offset = places - base
    weights = np.zeros((len(places), field.shape[axis]), np.float32)
    rows = np.arange(len(places))
    for shift, weight in ((-1, 0.5 * (0.5 - offset) ** 2), (0, 0.75 - offset**2), (1, 0.5 * (0.5 + offset) ** 2)):
        np.add.at(weights, (rows, np.clip(base + shift, 0, field.shape[axis] - 1)), weight)
    return np.ascontiguousarray(np.moveaxis(np.tensordot(weights, np.moveaxis(field, axis, 0), 1), 0, axis))


def blur(field: Field, sigma_mm: float, spacing: tuple[float, float, float]) -> Field:
    """Gaussian blur with a deviation in millimetres."""
    return ndimage.gaussian_filter(field, [sigma_mm / step for step in spacing], mode="nearest", truncate=3.0)


def _columns(vector: Vector, dimensions: int) -> Points:
    """(3,) -> (3, 1, ...), to meet points of that many dimensions."""
    return np.asarray(vector, np.float32).reshape(3, *[1] * (dimensions - 1))


def _own_axes(points: Points, centre: Vector, turn: Rotation) -> Points:
    away = points - _columns(centre, points.ndim)
    if turn.magnitude() == 0:
        return away
    turned: Points = np.tensordot(turn.as_matrix().T.astype(np.float32), away, 1)
    return turned


def _between(at: Vector, knots: Vector, samples: Vector) -> Vector:
    return np.stack([np.interp(samples, at, knots[:, axis]) for axis in range(3)], -1)
