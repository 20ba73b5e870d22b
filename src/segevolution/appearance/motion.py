"""Motion: the patient moves between parts of the acquisition (Shaw et al. 2019, by TorchIO).

K-space is filled line by line along the phase axis; after each movement the rest comes from the moved patient. The
middle of k-space, which carries the bulk of the image, comes from the patient at rest, so labels stay true. Strength
is the largest movement along and about each axis, in millimetres and, alike, in degrees. Movements wider than the
structures of the image change it hardly more than narrower ones, so the ladder ends at 4.
"""

from dataclasses import dataclass

import nibabel as nib
import numpy as np
import numpy.typing as npt
from torchio import Motion as TorchioMotion

from ..imaging.grid import Grid
from .base import MRI_ONLY, Change, Image, Rng, Scene, Shift, in_plane_axes

Movement = tuple[float, float, float]


@dataclass(frozen=True)
class Motion(Change):
    """Move at some times of the acquisition.

    Attributes:
        axis: array axis along which phase was encoded.
        times: of the movements, increasing, as shares of the acquisition.
        millimetres: (L, P, S) from rest, one a movement.
        degrees: about L, P and S through the middle of the volume, one triple a movement.
    """

    axis: int
    times: tuple[float, ...]
    millimetres: tuple[Movement, ...]
    degrees: tuple[Movement, ...]

    def apply(self, image: Image, scene: Scene) -> Image:
        """See Change."""
        # TorchIO encodes phase along the last array axis, and turns about the origin of millimetres, which may lie
        # far outside the patient: so the axis goes last, and the origin into the middle.
        turned = np.ascontiguousarray(np.moveaxis(image, self.axis, 2))
        affine = np.eye(4)
        affine[:3, :3] = scene.grid.affine[:3, [*(axis for axis in range(3) if axis != self.axis), self.axis]]
        affine[:3, 3] = -affine[:3, :3] @ ((np.array(turned.shape) - 1) / 2)
        transform = TorchioMotion(
            degrees=np.array(self.degrees),
            translation=np.array(self.millimetres),
            times=np.array(self.times),
            image_interpolation="linear",
        )
        moved = transform(nib.Nifti1Image(turned, affine))
        return np.moveaxis(np.asarray(moved.dataobj, np.float32), 2, self.axis)


def draw(strength: float, grid: Grid, rng: Rng) -> Motion:
    """Four to six movements, evenly spread in time but for a third of the step."""
    count = int(rng.integers(4, 7))
    times = (np.arange(1, count + 1) + rng.uniform(-0.3, 0.3, count)) / (count + 1)
    millimetres, degrees = (_movements(rng.uniform(-strength, strength, (count, 3))) for _ in range(2))
    axis = in_plane_axes(grid)[rng.integers(2)]
    return Motion(axis, tuple(times.tolist()), millimetres, degrees)


def _movements(rows: npt.NDArray[np.float64]) -> tuple[Movement, ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in rows)


MOTION = Shift(
    name="motion",
    unit="mm and degrees, the largest movement along and about each axis",
    limit=10.0,
    ladder=(0.5, 1.0, 2.0, 4.0),
    summary="the patient moves four to six times during the acquisition",
    source="Shaw et al. 2019, proceedings.mlr.press/v102/shaw19a; TorchIO, doi:10.1016/j.cmpb.2021.106236",
    modalities=MRI_ONLY,
    draw=draw,
    change=Motion,
)
