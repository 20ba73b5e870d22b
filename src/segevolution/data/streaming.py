"""Arrays that stay on disk and are read by part, and a bounded cache of those that are kept in memory whole.

Training draws cases at random, so no array is more likely to be asked for than another: the cache keeps the first that
are read until it is full, and the others are read by part each time. A set that fits is read once; one that does not
costs each view the planes that it shows, and never more.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..imaging.grid import Array, Triple
from .arrays import opened_array
from .label_index import LabelIndex

_REMEDY = "call again, and it is made anew"


class ArrayCache:
    """Arrays of this process that are kept whole.

    A copy that goes to another process, such as a loader's worker, begins empty where it is pickled.

    Args:
        limit: bytes of voxels.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.size = limit, 0
        self._arrays: dict[Path, Array] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit, "size": 0, "_arrays": {}}

    def get(self, array: "StreamedArray") -> Array | None:
        """An array whole, read now where there is room for it; None where there is none."""
        if array.path not in self._arrays:
            if self.size + array.nbytes > self.limit:
                return None
            self._arrays[array.path] = array.read()
            self.size += array.nbytes
        return self._arrays[array.path]


class StreamedArray:
    """A (D, H, W) array in a file, read when it is asked for; numpy.asarray reads it whole.

    Args:
        path: of a file that `arrays.write_array` wrote.
        shape: (D, H, W).
        dtype: of its voxels.
        cache: where it is kept whole, if there is room; None reads parts only.

    Raises:
        StoreError: at reading, the file is missing, damaged or of another shape.
    """

    def __init__(self, path: Path, shape: Triple, dtype: npt.DTypeLike, cache: ArrayCache | None = None) -> None:
        self.path, self.shape, self.dtype, self.cache = path, shape, np.dtype(dtype), cache

    @property
    def nbytes(self) -> int:
        """Bytes of its voxels in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def kept_in(self, cache: ArrayCache) -> "StreamedArray":
        """The same array, kept in this cache."""
        return StreamedArray(self.path, self.shape, self.dtype, cache)

    def read(self) -> Array:
        """All voxels, from the file."""
        with opened_array(self.path, self.shape, remedy=_REMEDY) as stored:
            return np.asarray(stored[:])

    def planes(self, numbers: Sequence[int], rows: slice, columns: slice) -> Array:
        """A part of some planes, (number of planes, h, w).

        Args:
            numbers: of the planes, rising, each once.
            rows, columns: of each plane, with start and stop.
        """
        whole = None if self.cache is None else self.cache.get(self)
        if whole is not None:
            return planes_of(whole, numbers, rows, columns)
        part = np.empty((len(numbers), rows.stop - rows.start, columns.stop - columns.start), self.dtype)
        with opened_array(self.path, self.shape, remedy=_REMEDY) as stored:
            place = 0
            for first, last in _runs(numbers):
                after = place + last - first + 1
                part[place:after] = stored[first : last + 1, rows, columns]
                place = after
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        whole = None if self.cache is None else self.cache.get(self)
        if whole is None:
            return self.read().astype(dtype or self.dtype, copy=False)
        return np.array(whole, dtype) if copy else whole.astype(dtype or self.dtype, copy=False)


class StreamedLabels(StreamedArray):
    """A streamed label map.

    Args:
        path, shape, dtype, cache: see StreamedArray.
        index: where its values lie.
    """

    def __init__(
        self, path: Path, shape: Triple, dtype: npt.DTypeLike, index: LabelIndex, cache: ArrayCache | None = None
    ) -> None:
        super().__init__(path, shape, dtype, cache)
        self.index = index

    def kept_in(self, cache: ArrayCache) -> "StreamedLabels":
        """The same label map, kept in this cache."""
        return StreamedLabels(self.path, self.shape, self.dtype, self.index, cache)


def planes_of(array: Array | StreamedArray, numbers: Sequence[int], rows: slice, columns: slice) -> Array:
    """A part of some planes of an array (D, H, W), in memory or not; see `StreamedArray.planes`."""
    if isinstance(array, StreamedArray):
        return array.planes(numbers, rows, columns)
    return np.asarray(array[numbers[0] : numbers[-1] + 1, rows, columns][np.subtract(numbers, numbers[0])])


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs
