"""The base of a shift of appearance: parameters are drawn once as data, then applied to any number of images.

A Shift draws a Change from a strength, a grid and a generator. The Change holds every number that was drawn, and
applying it draws nothing more, so a record of it replays the very voxels. Its direction comes from the generator,
its size from the strength: for one seed a larger strength changes the image more.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from ..imaging.grid import Grid
from ..imaging.intensity import LOWEST_SIGNAL_OF_MR, SOFT_TISSUE_WINDOW
from ..imaging.volume import Volume
from ..vocabulary import Modality

Image = npt.NDArray[np.float32]
Rng = np.random.Generator

ANY = frozenset(Modality)
MRI_ONLY = frozenset({Modality.MRI})


@dataclass(frozen=True)
class Scene:
    """What a change must know of the image it meets.

    Attributes:
        grid: the image's; millimetres come from it.
        low, high: the signal range to which strengths relate: 0.5 and 99.5 percentile, for CT -125 and 275 HU.
        modality: never unknown, see `of`.
        nonnegative: whether no voxel was below 0, as in magnitude images; none will be afterwards.
    """

    grid: Grid
    low: float
    high: float
    modality: Modality
    nonnegative: bool

    @classmethod
    def of(cls, volume: Volume) -> "Scene":
        """The scene of a volume; without a modality, signal below -100 is taken for CT, any other for MRI.

        Raises:
            VolumeError: the volume is empty or constant, or holds NaN or infinity.
        """
        volume.check_voxels()
        lowest = float(volume.array.min())
        modality = volume.modality or (Modality.CT if lowest < LOWEST_SIGNAL_OF_MR else Modality.MRI)
        low, high = (
            SOFT_TISSUE_WINDOW if modality is Modality.CT else map(float, np.percentile(volume.array, (0.5, 99.5)))
        )
        if high <= low:  # nearly all of the image is one value
            low, high = lowest, float(volume.array.max())
        return cls(volume.grid, low, high, modality, lowest >= 0)

    @property
    def span(self) -> float:
        """Width of the signal range, above 0."""
        return self.high - self.low

    def relative(self, image: Image) -> Image:
        """The image with its signal range mapped to [0, 1]; nothing is clipped."""
        if self.low == 0 and self.span == 1:
            return image
        return np.asarray((image - np.float32(self.low)) / np.float32(self.span), np.float32)


@dataclass(frozen=True)
class Change(ABC):
    """All that was drawn for one shift, as numbers, strings and tuples of them: its fields become JSON."""

    @abstractmethod
    def apply(self, image: Image, scene: Scene) -> Image:
        """The changed image, float32 of the same shape (X, Y, Z); `image` itself is left as it is."""


@dataclass(frozen=True)
class Shift:
    """A kind of change of appearance; strength 0 is none.

    Attributes:
        name: in the registry.
        unit: of the strength.
        limit: largest strength.
        ladder: strengths that an evaluation may climb, mild to severe.
        summary: one line for a table.
        source: where method and unit come from.
        modalities: on which it means something; others are refused.
        draw: (strength above 0, grid, generator) -> Change.
        change: the class of what it draws, to be made again from a record's fields.
    """

    name: str
    unit: str
    limit: float
    ladder: tuple[float, ...]
    summary: str
    source: str
    modalities: frozenset[Modality]
    draw: Callable[[float, Grid, Rng], Change]
    change: Callable[..., Change]

    def check(self, strength: float) -> None:
        """Raise VolumeError unless the strength lies from 0 to the limit."""
        if not 0 <= strength <= self.limit:
            raise VolumeError(
                f"{self.name} cannot have strength {strength:g}; give 0 (no change) to {self.limit:g} ({self.unit})."
            )


def slice_axis(grid: Grid) -> int:
    """The array axis across slices: the coarsest, or the one nearest to the body's long axis if none stands out."""
    spacing = np.asarray(grid.spacing)
    coarsest = int(spacing.argmax())
    if spacing[coarsest] > 1.1 * np.median(spacing):
        return coarsest
    return int(np.abs(grid.affine[2, :3] / spacing).argmax())


def in_plane_axes(grid: Grid) -> tuple[int, int]:
    """The two array axes within a slice; MRI encodes phase along one of them."""
    across = slice_axis(grid)
    first, second = (axis for axis in range(3) if axis != across)
    return first, second
