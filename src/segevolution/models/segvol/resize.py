"""The same weights at another window: a small model learns first on a coarse grid, then on the whole one.

Two tensors know the size of the grid, the position embedding and the affine part of the upscaling's LayerNorm
(which spans the whole map, as published); both are interpolated. All else is convolutional or works on tokens.
"""

from dataclasses import replace

from torch import Tensor
from torch.nn import functional

from ..backbone import Triple
from .config import SegVolConfig
from .segvol import SegVol


def resized(model: SegVol, window: Triple) -> SegVol:
    """A copy of `model` for windows of another size; prompts keep their meaning, since places are coded in [0, 1].

    Args:
        model: any SegVol.
        window: (D, H, W), a whole number of patches.

    Raises:
        CheckpointError: the window is not a whole number of patches.
    """
    config: SegVolConfig = replace(model.config, window=window)
    tokenizer = model.text_encoder.tokenizer if model.text_encoder is not None else None
    target = SegVol(config, tokenizer)
    target_state = target.state_dict()
    state = {
        name: value.clone()
        if value.shape == target_state[name].shape
        else interpolated(value, model.config.grid, config.grid, target_state[name].ndim)
        for name, value in model.state_dict().items()
    }
    target.load_state_dict(state)
    return target


def interpolated(value: Tensor, grid: Triple, target: Triple, dimensions: int) -> Tensor:
    """Position embeddings (1, N, C) on a token grid, or maps (C, d, h, w) at a multiple of it -> the target grid.

    Args:
        value: either, as `dimensions` (3 or 4) says.
        grid, target: tokens along each axis.
    """
    if dimensions == 4:
        factor = value.shape[1] // grid[0]
        return _scaled(value, (factor * target[0], factor * target[1], factor * target[2]))
    return _scaled(value[0].T.unflatten(1, grid), target).flatten(1).T[None]


def _scaled(maps: Tensor, size: Triple) -> Tensor:
    return functional.interpolate(maps[None], size, mode="trilinear", align_corners=False)[0].detach()
