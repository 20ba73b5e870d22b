"""The canvas an anatomy is painted on: a voxel grid whose every voxel knows its place in a reference body.

A patient is the reference body scaled, turned and smoothly bent. Shapes are given in reference millimetres and are
painted one after the other; what comes later covers what came before, so labels never overlap.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from ...imaging.grid import Grid
from .anatomy import Anatomy
from .shapes import Field, Points, Shape, noise, smooth_max

Window = tuple[slice, slice, slice]
_FAR = np.float32(60)


class Canvas:
    """Labels in the making.

    Attributes:
        grid: where the voxels lie in the patient (RAS).
        points: (3, X, Y, Z) float32, reference-body millimetres of every voxel.
        labels: (X, Y, Z) uint8.
        names: label -> structure, as they come into use.
    """

    def __init__(
        self,
        grid: Grid,
        rng: np.random.Generator,
        *,
        scale: npt.ArrayLike = (1.0, 1.0, 1.0),
        degrees: npt.ArrayLike = (0.0, 0.0, 0.0),
        bend: Sequence[tuple[float, float]] = ((70.0, 5.0), (28.0, 1.2)),
        roughness: float = 24.0,
    ) -> None:
        """Lay the reference body over the grid.

        Args:
            grid: RAS grid in patient millimetres; its origin is the reference body's.
            rng: draws the bending.
            scale: size of the patient along each axis, 1 for the reference.
            degrees: turn of the patient about x, y and z.
            bend: (knot distance, deviation) in millimetres of each smooth displacement.
            roughness: knot distance in millimetres of the noise that roughens surfaces.
        """
        self.grid = grid
        self._rng = rng
        x, y, z = (
            (np.arange(side) * step + start).astype(np.float32)
            for side, step, start in zip(grid.shape, grid.spacing, grid.affine[:3, 3], strict=True)
        )
        world = np.stack(np.meshgrid(x, y, z, indexing="ij"))
        self._matrix = (
            np.diag(1 / np.asarray(scale))
            @ Rotation.from_euler("xyz", np.asarray(degrees, float), degrees=True).as_matrix()
        )
        self._to_patient = np.linalg.inv(self._matrix)
        self._origin, self._steps = grid.affine[:3, 3], np.asarray(grid.spacing)
        self.points: Points = np.tensordot(self._matrix.astype(np.float32), world, 1)
        self._slack = 0.0
        for length, deviation in bend:
            shifts = [noise(rng, grid.shape, grid.spacing, length) * np.float32(deviation) for _ in range(3)]
            for axis, shift in enumerate(shifts):
                self.points[axis] += shift
            self._slack += max(float(np.abs(shift).max()) for shift in shifts)
        self._noise = [noise(rng, grid.shape, grid.spacing, roughness) for _ in range(3)]
        self.labels = np.zeros(grid.shape, np.uint8)
        self.names: dict[int, str] = {}
        self._tissues: dict[int, str] = {}

    def label(self, name: str, tissue: str) -> int:
        """The label of this name and tissue; a new one when there is none yet."""
        for value, existing_name in self.names.items():
            if existing_name == name and self._tissues[value] == tissue:
                return value
        value = len(self.names) + 1
        self.names[value], self._tissues[value] = name, tissue
        return value

    def window(self, low: npt.ArrayLike, high: npt.ArrayLike, pad: float = 0.0) -> Window | None:
        """The block of voxels that can hold reference points between two corners; None when it is empty."""
        lowest, highest = np.asarray(low, np.float64), np.asarray(high, np.float64)
        middle = self._to_patient @ (lowest + highest) / 2
        half = np.abs(self._to_patient) @ (highest - lowest) / 2 + (self._slack + pad) * 1.25
        sides = np.asarray(self.grid.shape)
        start = np.clip(np.floor((middle - half - self._origin) / self._steps).astype(int), 0, sides)
        stop = np.clip(np.ceil((middle + half - self._origin) / self._steps).astype(int) + 1, 0, sides)
        if (stop <= start).any():
            return None
        return slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2])

    def field(self, shapes: Iterable[Shape], rough: float = 0.0, pad: float = 8.0) -> tuple[Window, Field] | None:
        """Signed distance of the union of shapes in the block that holds them; None outside the grid.

        Args:
            shapes: at least one.
            rough: deviation in millimetres of the surface.
            pad: millimetres around the shapes in which the distance is known; further off it is large.
        """
        shapes = list(shapes)
        lows, highs = zip(*(shape.box for shape in shapes), strict=True)
        window = self.window(np.min(lows, 0), np.max(highs, 0), pad)
        if window is None:
            return None
        whole = np.full(self.grid.shape, _FAR, np.float32) if len(shapes) > 1 else None
        distance: Field
        if whole is None:
            distance = shapes[0](self.points[(slice(None), *window)])
        else:
            for shape in shapes:
                part = self.window(*shape.box, pad)
                if part is not None:
                    whole[part] = np.minimum(whole[part], shape(self.points[(slice(None), *part)]))
            distance = whole[window].copy()
        if rough:
            distance += self.wobble(window, rough)
        return window, distance

    def wobble(self, window: Window, deviation: float) -> Field:
        """A random mixture of the noise fields in a block, with this deviation in millimetres."""
        mixture = self._rng.standard_normal(len(self._noise))
        mixture *= deviation / np.linalg.norm(mixture)
        mixed = sum(np.float32(part) * field[window] for part, field in zip(mixture, self._noise, strict=True))
        return np.asarray(mixed, np.float32)

    def paint(
        self,
        name: str,
        tissue: str,
        shapes: Iterable[Shape],
        *,
        within: Iterable[Field] = (),
        round_mm: float = 8.0,
        rough: float = 0.0,
        over: Iterable[int] | None = None,
    ) -> tuple[Window, Field] | None:
        """Paint the union of shapes and return its distance.

        Args:
            name, tissue: of the label.
            shapes: what to paint.
            within: whole-grid fields (X, Y, Z) that the shape is cut to, with edges rounded over `round_mm`.
            round_mm: see `within`.
            rough: deviation in millimetres of the surface.
            over: labels that may be covered; None for all.
        """
        painted = self.field(shapes, rough)
        if painted is None:
            return None
        window, distance = painted
        for limit in within:
            distance = smooth_max(distance, limit[window], round_mm)
        self.fill(name, tissue, window, distance <= 0, over)
        return window, distance

    def fill(
        self,
        name: str,
        tissue: str,
        window: Window,
        mask: npt.NDArray[np.bool_],
        over: Iterable[int] | None = None,
    ) -> None:
        """Give the voxels of a mask in a block their label."""
        block = self.labels[window]
        if over is not None:
            mask = mask & np.isin(block, list(over))
        block[mask] = self.label(name, tissue)

    def finish(self, grid: Grid | None = None) -> Anatomy:
        """The anatomy, with only the labels that occur; `grid` places it elsewhere in the scanner."""
        present = np.unique(self.labels)
        names = {int(value): self.names[int(value)] for value in present if value}
        tissues = {int(value): self._tissues[int(value)] for value in present if value}
        return Anatomy(self.labels, grid or self.grid, names, tissues)
