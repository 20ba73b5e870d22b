"""Arrays on disk: lossless, compressed in small blocks, read by window (blosc2, as nnU-Net keeps its data).

Axes are (X, Y, Z) in a store, and (D, H, W) in the framed copies that training reads (see `framed_copies`).

A file tells how it was written, so that files of any layout stay readable when a better one is found. The layouts were
measured by `benchmarks/store.py` on a simulated and on a real CT.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import StoreError
from ..imaging.grid import Array, Triple
from ..on_use import ModuleOnUse

if TYPE_CHECKING:
    import blosc2
else:
    blosc2 = ModuleOnUse("blosc2")

# Label maps number structures; a map that goes beyond is an image, or another thing.
_MOST_LABELS = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class Layout:
    """How an array is cut, filtered and compressed.

    Attributes:
        chunk: voxels along each axis of what has an entry in the file's index.
        block: voxels along each axis of what is decompressed at once; small ones spare what a window does not touch.
        codec, shuffle: names of a blosc2.Codec and of a blosc2.Filter.
    """

    chunk: Triple
    block: Triple
    codec: str
    level: int
    shuffle: str


# Noise fills the low bits of whole numbers and leaves the high ones alike: shuffled by bits, the former need no work
# and the latter vanish, so that a fast codec compresses nearly as well as a slow one.
WHOLE = Layout((128, 128, 16), (32, 32, 8), "LZ4HC", 5, "BITSHUFFLE")
# A mantissa has no such bits: there the slow codec earns its time, a sixth of the size.
REAL = Layout((128, 128, 16), (32, 32, 8), "ZSTD", 3, "SHUFFLE")
# Labels are runs of equal bytes; any filter would only cost time.
LABELS = Layout((128, 128, 32), (64, 64, 16), "LZ4HC", 9, "NOFILTER")
# Training views pick single planes of a frame (D, H, W), far apart or next to each other. The fast codec reads twice as
# fast as the slow one and is a tenth larger: a copy that can be made again is read more often than it is moved.
FRAMED_IMAGE = Layout((8, 512, 512), (1, 64, 64), "LZ4", 5, "BITSHUFFLE")
FRAMED_LABELS = Layout((8, 512, 512), (1, 64, 64), "LZ4HC", 9, "NOFILTER")


def native(array: Array) -> Array:
    """Contiguous and in this machine's byte order; no value changes."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def unsigned_labels(labels: Array, name: str) -> Array:
    """The smallest unsigned integers that hold a label map; StoreError if it is none."""
    low, high = (labels.min(), labels.max()) if labels.size else (0, 0)
    if low < 0 or (labels.dtype.kind not in "bui" and not np.array_equal(labels, np.floor(labels))):
        raise StoreError(f"{name}: the label map holds values that are negative or not whole ({low} to {high}).")
    if high > _MOST_LABELS:
        raise StoreError(f"{name}: the label map reaches {high}, beyond {_MOST_LABELS}; is it the image?")
    return np.ascontiguousarray(labels, dtype=np.min_scalar_type(int(high)))


def signal_layout(array: Array) -> Layout:
    """The layout for a signal, by its dtype."""
    return REAL if np.issubdtype(array.dtype, np.inexact) else WHOLE


def write_array(path: Path, array: Array, layout: Layout) -> None:
    """Write a C-contiguous array of three axes; the same array gives the same bytes.

    Raises:
        OSError: the file cannot be written, for instance because the disk is full.
    """
    packed = blosc2.asarray(
        array,
        chunks=tuple(map(min, array.shape, layout.chunk)),
        blocks=tuple(map(min, array.shape, layout.block)),
        contiguous=True,
        cparams=blosc2.CParams(
            codec=blosc2.Codec[layout.codec],
            clevel=layout.level,
            filters=[blosc2.Filter[layout.shuffle]],
            nthreads=1,
        ),
    )
    # Packed in memory and written here, since blosc2's own error does not say why a disk refused.
    path.write_bytes(packed.to_cframe())


def read_array(path: Path, window: tuple[slice, ...], shape: Triple, threads: int = 1) -> Array:
    """The voxels of a window out of an array that must have this shape.

    Raises:
        StoreError: the file is missing, damaged, of another shape, or no plain array, see `opened_array`.
    """
    with opened_array(path, shape, threads) as stored:
        return np.asarray(stored[window])


@contextmanager
def opened_array(
    path: Path, shape: Triple, threads: int = 1, remedy: str = "prepare the case again"
) -> "Iterator[blosc2.NDArray]":
    """An array that must have this shape, to read several windows from: `stored[window]`.

    Args:
        path: of its file.
        shape: that it must have.
        threads: that decompress.
        remedy: what a person does about a file that is damaged, beside deleting its folder.

    Raises:
        StoreError: the file is missing, damaged, of another shape, or no plain array: blosc2 also keeps expressions
            and functions, which it would run; they are refused unopened.
    """
    try:
        stored = blosc2.open(str(path), mode="r", dparams=blosc2.DParams(nthreads=threads), deserialize="safe")
        if type(stored) is not blosc2.NDArray:
            raise ValueError(f"{type(stored).__name__} is no array")
        if tuple(stored.shape) == tuple(shape):
            yield stored
            return
    except (OSError, RuntimeError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is missing or damaged; delete {path.parent} and {remedy}.") from error
    raise StoreError(f"{path} has shape {tuple(stored.shape)}, its record says {shape}; {remedy}.")
