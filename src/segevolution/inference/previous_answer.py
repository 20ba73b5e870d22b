"""Give an earlier answer to a network that accepts a mask: unchanged on the same view, resampled on another.

Networks of SAM's family read the logits of their own last answer, at the decoder's size, with the next click.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.backbone import Triple
from .windows import VoxelBlock

OUTSIDE = -16.0  # the logit of a voxel that no window answered for, or that a given mask leaves out
CERTAIN = 16.0  # of a voxel that a given mask holds


@dataclass(frozen=True, eq=False)
class PreviousAnswer:
    """An earlier answer, or a mask to begin with.

    Attributes:
        view: the block of frame voxels (d, h, w) that it covers.
        logits: (d, h, w) float32 of any size, spread evenly over the view; foreground is > 0.
    """

    view: VoxelBlock
    logits: Tensor

    def to(self, device: torch.device) -> "PreviousAnswer":
        """The same with its logits on a device."""
        return PreviousAnswer(self.view, self.logits.to(device))

    def on(self, view: VoxelBlock, size: Triple) -> Tensor:
        """Its logits (d, h, w) of `size` spread over another view: the same tensor on the same view, else trilinear.

        What the earlier view did not cover is OUTSIDE.
        """
        if view == self.view and tuple(self.logits.shape) == size:
            return self.logits
        values, covered = self.logits, torch.ones(1, 1, 1, dtype=torch.bool, device=self.logits.device)
        for axis in range(3):
            start, extent = view.start[axis], view.stop[axis] - view.start[axis]
            own_extent, length = self.view.stop[axis] - self.view.start[axis], self.logits.shape[axis]
            places = start + (torch.arange(size[axis], device=values.device) + 0.5) * extent / size[axis]  # of faces
            share = (places - self.view.start[axis]) / own_extent
            shape = [-1 if other == axis else 1 for other in range(3)]
            covered = covered & ((share >= 0) & (share <= 1)).reshape(shape)
            index = (share * length - 0.5).clamp(0, length - 1)
            low = index.long().clamp_max(max(length - 2, 0))
            below = values.index_select(axis, low)
            above = values.index_select(axis, (low + 1).clamp_max(length - 1))
            values = below + (index - low).to(values.dtype).reshape(shape) * (above - below)
        return torch.where(covered, values, values.new_tensor(OUTSIDE))


def stacked(previous: Sequence[PreviousAnswer | None], device: torch.device) -> Tensor | None:
    """(P, 1, d, h, w): the logits of each prompt's earlier answer, NaN where it has none; None where none has one."""
    present = [each.logits for each in previous if each is not None]
    if not present:
        return None
    nothing = torch.full_like(present[0], torch.nan)
    return torch.stack([nothing if each is None else each.logits for each in previous])[:, None].to(device)
