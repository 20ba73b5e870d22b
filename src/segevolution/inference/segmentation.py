"""An answer on the grid of the volume it was asked about."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..imaging.framing import foreground_box
from ..imaging.grid import Grid
from ..imaging.prompts import Prompt
from ..imaging.regions import moved_mask
from .previous_answer import PreviousAnswer
from .windows import VoxelBlock

Mask = npt.NDArray[np.bool_]
Logits = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """One structure, segmented.

    Attributes:
        mask: (X, Y, Z) boolean in the order of the volume's file.
        grid: of the mask: exactly the volume's.
        prompt: what was asked, in voxels of that grid.
        structure: its canonical name, from the prompt's text or as the caller said; None = not named.
        iou: the network's own estimate of the overlap with the truth; NaN where it makes none.
        logits: (D, H, W) float16 on the session's frame, if they were to be kept; foreground is > 0.
        notes: what a person should know of how the prompt was understood: what of it was cut off, and what the network
            does not take and what that became; a sentence each, without full stop.
        changed: the smallest block of file voxels (x, y, z) that holds every one in which this mask differs from the
            answer shown before it, or from nothing; None = it does not differ.
        previous: this answer as a network that accepts a mask is told it with the next prompt; None = the mask itself.
    """

    mask: Mask
    grid: Grid
    prompt: Prompt
    structure: str | None
    iou: float
    logits: Logits | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    changed: VoxelBlock | None = None
    previous: PreviousAnswer | None = field(default=None, repr=False)

    @property
    def volume_ml(self) -> float:
        """Volume of the mask in millilitres."""
        return float(self.mask.sum() * self.grid.voxel_volume / 1000)

    def on(self, grid: Grid) -> Mask:
        """The mask on another grid of the same patient (another series, a resampled copy), by nearest voxel."""
        return moved_mask(self.mask, self.grid, grid)


def difference(mask: Mask, before: Mask | None) -> VoxelBlock | None:
    """The block (x, y, z) in which a mask differs from an earlier one, or from nothing; None where it does not."""
    changed = mask if before is None else mask ^ before
    return VoxelBlock(*foreground_box(changed)) if changed.any() else None
