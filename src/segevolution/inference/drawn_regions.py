"""Carry scribbles and lassos from a file's voxels to a frame, a window, and the channels of a network."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..imaging.framing import Frame
from ..imaging.regions import Region
from ..models.backbone import Triple
from .windows import VoxelBlock

CHANNELS = 4  # scribbled on the structure, scribbled off it, lasso on it, lasso off it


def in_frame(region: Region | None, frame: Frame) -> Region | None:
    """Voxels of a file (x, y, z) -> of its frame (d, h, w).

    A frame voxel belongs to it whose nearest file voxel does, and so does the one that a drawn voxel's centre lies in;
    what lies in the cropped margin moves to the frame's border.
    """
    if region is None:
        return None
    signs = np.zeros(frame.grid.shape, np.int8)
    signs[tuple(region.voxels.T)] = region.labels.astype(np.int8) + 1
    frame_signs = np.asarray(frame.labels(signs))
    covered = np.argwhere(frame_signs)
    centres = np.floor(frame.indices(region.voxels) + 0.5)
    centres = np.clip(centres, 0, np.asarray(frame.image.shape) - 1).astype(np.int64)
    voxels = np.concatenate([covered, centres])
    labels = np.concatenate([frame_signs[tuple(covered.T)] - 1, region.labels])
    _, first = np.unique(voxels, axis=0, return_index=True)
    return Region(voxels[first], labels[first])


def within(region: Region | None, view: VoxelBlock) -> Region | None:
    """The part inside a window, in the window's voxels; None where there is none."""
    if region is None:
        return None
    inside = ((region.voxels >= view.start) & (region.voxels < view.stop)).all(axis=1)
    if not inside.any():
        return None
    return Region(region.voxels[inside] - np.asarray(view.start), region.labels[inside])


def extent(region: Region | None) -> VoxelBlock | None:
    """The tight block of what lies on the structure; None where nothing does."""
    if region is None or not region.labels.any():
        return None
    (d0, h0, w0), (d1, h1, w1) = region.positive.min(axis=0).tolist(), (region.positive.max(axis=0) + 1).tolist()
    return VoxelBlock((d0, h0, w0), (d1, h1, w1))


def rescaled(region: Region | None, source: Triple, target: Triple) -> Region | None:
    """The region in an array resized from shape `source` to `target`: a voxel belongs to it whose centre came from it.

    So does the voxel that the centre of a drawn one comes to lie in, so that nothing drawn vanishes.
    """
    if region is None or source == target:
        return region
    scale = np.asarray(target) / np.asarray(source)
    last = np.asarray(target) - 1
    low, high = region.voxels.min(axis=0), region.voxels.max(axis=0)
    signs = np.zeros(high - low + 1, np.int8)
    signs[tuple((region.voxels - low).T)] = region.labels.astype(np.int8) + 1
    first = np.clip(np.floor(low * scale).astype(int), 0, last)
    stop = np.clip(np.ceil((high + 1) * scale).astype(int), first + 1, last + 1)
    finer = np.stack(np.meshgrid(*map(np.arange, first, stop), indexing="ij"), -1).reshape(-1, 3)
    origin = np.floor((finer + 0.5) / scale).astype(int) - low
    inside = ((origin >= 0) & (origin < signs.shape)).all(axis=1)
    finer, labels = finer[inside], signs[tuple(origin[inside].T)]
    middles = np.minimum(np.floor((region.voxels + 0.5) * scale).astype(int), last)
    voxels = np.concatenate([finer[labels > 0], middles])
    all_labels = np.concatenate([labels[labels > 0] - 1, region.labels])
    _, place = np.unique(voxels, axis=0, return_index=True)  # the first counts: by the new voxel's own centre
    return Region(voxels[place], all_labels[place])


def channels(
    regions: Sequence[tuple[Region | None, Region | None]], window: Triple | None, device: torch.device
) -> Tensor | None:
    """(P, CHANNELS, D, H, W) of 0 and 1: each prompt's scribbles and lasso; None where no prompt has any."""
    if all(region is None for pair in regions for region in pair):
        return None
    assert window is not None
    volume = torch.zeros(len(regions), CHANNELS, *window)
    for row, pair in enumerate(regions):
        for place, region in enumerate(pair):
            for sign, label in enumerate((1, 0)):
                if region is not None:
                    d, h, w = torch.from_numpy(region.voxels[region.labels == label].T.astype(np.int64))
                    volume[row, 2 * place + sign, d, h, w] = 1
    return volume.to(device)
