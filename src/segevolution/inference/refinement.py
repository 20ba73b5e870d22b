"""Where a coarse answer is looked at again: windows that cover what it changed, fewest and fullest first.

The windows of nnInteractive's AutoZoom (Isensee et al. 2025, arXiv:2503.08373). A window is trusted away from its
faces, so it covers itself less MARGIN voxels on every side.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional

from ..models.backbone import Triple
from .windows import VoxelBlock, tight

MARGIN = 24
OPENING = 5  # voxels along a side of what survives
_HALVINGS = 3  # of the grid's step
_TRIED, _TRIED_LAST = 10, 25  # random voxels from which the best is taken, and when the grid gave up

Voxels = npt.NDArray[np.int64]


def opened(mask: Tensor) -> Tensor:
    """A mask (D, H, W) without what is thinner than OPENING voxels; the outside counts as neither."""
    values, reach = mask.float()[None, None], OPENING // 2
    eroded = -functional.max_pool3d(-values, OPENING, 1, reach)
    grown: Tensor = functional.max_pool3d(eroded, OPENING, 1, reach)[0, 0] > 0
    return grown


def covering(differences: Tensor, patch: Triple, rng: np.random.RandomState) -> Iterator[VoxelBlock]:
    """Windows that together cover the voxels of a mask.

    First voxels of a coarse grid over them, each time the one whose window covers most of what is left; then, for what
    the grid leaves, the best of a few random voxels.

    Args:
        differences: (D, H, W) boolean.
        patch: (D, H, W) of a window; each side above 2 * MARGIN.
        rng: draws the last ones, several voxels at a time with replacement.
    """
    block = tight(differences)
    if block is None:
        return
    remaining = differences.cpu().numpy().copy()
    candidates = _grid(remaining, block)
    tries = _TRIED if len(candidates) else _TRIED_LAST
    yield from _greedy(remaining, candidates, patch)
    while remaining.any():
        places = np.argwhere(remaining)
        tried = places[rng.randint(0, len(places), tries)]
        best = _best(remaining, tried, patch)
        yield _take(remaining, tried[best], patch)


def _grid(mask: npt.NDArray[np.bool_], block: VoxelBlock) -> Voxels:
    """Voxels (N, 3) of a mask on a grid over its block, row by row; finer where a coarser one meets none."""
    for halvings in range(_HALVINGS + 1):
        axes = []
        for low, high in zip(block.start, block.stop, strict=True):
            step = max(1, round((high - 1 - low) / 4 / 2**halvings))
            axes.append(np.arange(low, high, step))
        places = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
        mask_places = places[mask[tuple(places.T)]]
        if len(mask_places):
            return np.asarray(mask_places, np.int64)
    return np.zeros((0, 3), np.int64)


def _greedy(remaining: npt.NDArray[np.bool_], candidates: Voxels, patch: Triple) -> Iterator[VoxelBlock]:
    while len(candidates):
        yield _take(remaining, candidates[_best(remaining, candidates, patch)], patch)
        candidates = candidates[remaining[tuple(candidates.T)]]


def _best(remaining: npt.NDArray[np.bool_], candidates: Voxels, patch: Triple) -> int:
    """Of the candidate whose window covers most of what is left; of equals the first."""
    return int(np.argmax([remaining[_core(place, patch, remaining.shape)].sum() for place in candidates]))


def _take(remaining: npt.NDArray[np.bool_], place: Voxels, patch: Triple) -> VoxelBlock:
    """The window round a voxel; what it covers is left no more."""
    remaining[_core(place, patch, remaining.shape)] = False
    return round_place(place.tolist(), patch)


def _core(place: Voxels, patch: Triple, shape: tuple[int, ...]) -> tuple[slice, ...]:
    window = round_place(place.tolist(), patch)
    return tuple(
        slice(max(0, low + MARGIN), max(0, min(high - MARGIN, side)))
        for low, high, side in zip(window.start, window.stop, shape, strict=True)
    )


def round_place(place: list[int], size: Triple) -> VoxelBlock:
    """A block of a size with a voxel in its middle, the later one of two; it may reach outside an array."""
    d, h, w = (centre - side // 2 for centre, side in zip(place, size, strict=True))
    return VoxelBlock.whole(size).shift((d, h, w))
