"""Where the pixels of a DICOM frame lie in the voxels of a grid, if they are voxels of it; nothing is resampled."""

from dataclasses import dataclass

import numpy as np

from ..grid import Array, Grid
from .dicom_geometry import LPS_TO_RAS, Plane
from .structure_set import Places

CLOSE = 0.25  # of a voxel: scanners round positions, and slices may lie a tenth of their distance off
_FARTHEST_VOXEL = 1e9
_TO_RAS = LPS_TO_RAS[:3, :3]


@dataclass(frozen=True, eq=False)
class FramePlacement:
    """A frame on a grid.

    Attributes:
        corner: (3,) voxel of its first pixel; it may lie outside the grid.
        across, down: (3,) step in voxels along increasing column and row, one along one axis.
        axis: the grid's axis across the frame.
    """

    corner: Places
    across: Places
    down: Places
    axis: int

    @property
    def height(self) -> int:
        """The frame's place along `axis`."""
        return int(self.corner[self.axis])

    def places(self, mask: Array, grid: Grid) -> tuple[Places, int]:
        """Flat voxel indices (C order) of the set pixels (rows, columns), and how many pixels lie outside the grid."""
        rows, columns = np.nonzero(mask)
        voxels = self.corner + columns[:, None] * self.across + rows[:, None] * self.down
        inside = ((voxels >= 0) & (voxels < grid.shape)).all(axis=1)
        return np.ravel_multi_index(tuple(voxels[inside].T), grid.shape), int((~inside).sum())


def place(plane: Plane, grid: Grid) -> FramePlacement | None:
    """A frame's place; None where a pixel of it is further than a quarter of a voxel from every voxel of the grid."""
    corner = grid.to_voxel(_TO_RAS @ plane.position)[0]
    to_voxels = np.linalg.inv(grid.affine[:3, :3]) @ _TO_RAS
    across, down = to_voxels @ plane.across * plane.spacing[0], to_voxels @ plane.down * plane.spacing[1]
    # What no voxel of a grid can be would overflow a whole number.
    if not np.isfinite([corner, across, down]).all() or np.abs([corner, across, down]).max() > _FARTHEST_VOXEL:
        return None
    whole_corner, whole_across, whole_down = (np.rint(vector).astype(np.int64) for vector in (corner, across, down))
    used_axes = np.abs(whole_across) + np.abs(whole_down)
    if sorted(used_axes.tolist()) != [0, 1, 1] or np.abs(whole_across).sum() != 1:
        return None
    off = corner - whole_corner
    farthest = max(
        float(np.abs(off + column * (across - whole_across) + row * (down - whole_down)).max())
        for column in (0, plane.size[0] - 1)
        for row in (0, plane.size[1] - 1)
    )
    if farthest > CLOSE:
        return None
    return FramePlacement(whole_corner, whole_across, whole_down, int(used_axes.argmin()))
