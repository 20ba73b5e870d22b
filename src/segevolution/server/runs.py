"""Masks on the wire to a browser: a box, and the lengths of runs of voxels within it."""

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PromptError
from ..imaging.masks import Mask
from ..inference.windows import VoxelBlock

_LENGTH = np.dtype("<u4")


def encode_mask(mask: Mask, block: VoxelBlock | None) -> dict[str, Any] | None:
    """What lies in a block of a mask (X, Y, Z), as plain values; None for no block.

    Returns:
        box: half-open, a pair an axis; encoding: "runs"; runs: base64 of little-endian uint32, lengths of runs off
        and on in turn, beginning with off, over the box with x fastest.
    """
    if block is None:
        return None
    inside = mask[tuple(slice(low, high) for low, high in zip(block.start, block.stop, strict=True))]
    flat = inside.ravel(order="F")
    ends = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    lengths = np.diff(np.concatenate([[0], ends, [flat.size]]))
    if flat[0]:
        lengths = np.concatenate([[0], lengths])
    box = [[low, high] for low, high in zip(block.start, block.stop, strict=True)]
    return {"box": box, "encoding": "runs", "runs": base64.b64encode(lengths.astype(_LENGTH).tobytes()).decode("ascii")}


def decode_mask(box: Sequence[Sequence[int]], runs: str, shape: tuple[int, int, int]) -> Mask:
    """The mask (X, Y, Z) of a shape that `encode_mask` described; nothing outside the box.

    Raises:
        PromptError: the box leaves the shape, or the runs are none, or not as long as the box.
    """
    if len(box) != 3 or any(
        len(pair) != 2 or not 0 <= pair[0] < pair[1] <= side for pair, side in zip(box, shape, strict=True)
    ):
        raise PromptError("a mask's box is three half-open pairs of voxels within the image, such as [[0, 5], ...].")
    try:
        lengths = np.frombuffer(base64.b64decode(runs, validate=True), _LENGTH)
    except (binascii.Error, ValueError) as error:
        raise PromptError("a mask's runs are base64 of unsigned 32-bit integers.") from error
    sides = tuple(high - low for low, high in box)
    if int(lengths.sum(dtype=np.uint64)) != math.prod(sides):
        raise PromptError(f"a mask's runs cover {lengths.sum(dtype=np.uint64)} voxels, its box {math.prod(sides)}.")
    values = np.arange(lengths.size) % 2 == 1
    mask = np.zeros(shape, bool)
    mask[tuple(slice(low, high) for low, high in box)] = np.repeat(values, lengths).reshape(sides, order="F")
    return mask
