"""A normalised image that is kept as the signal that was measured and a table of what each of its numbers became.

Normalising is a matter of single voxels, so voxels of one signal have one normalised number. Whole numbers of 16 bits
have 65,536 at most: the table says them all, and the image itself, twice as large as the signal, is not kept.
"""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .grid import Array

LEAST = 1 << 25  # voxels of an image that is worth it: 134 MB in single precision
_MOST_NUMBERS = 1 << 16
_PLANES = 16  # worked on at a time


class TableImage:
    """An image whose parts are looked up when they are asked for; numpy.asarray gives it whole.

    Args:
        signal: (D, H, W) whole numbers; a view of a volume's array takes no memory of its own.
        table: float32; number `i` is what the signal `lowest + i` became.
        lowest: signal.
    """

    dtype = np.dtype(np.float32)
    ndim = 3

    def __init__(self, signal: Array, table: npt.NDArray[np.float32], lowest: int) -> None:
        self._signal, self._table, self._lowest = signal, table, lowest

    @classmethod
    def of(cls, image: npt.NDArray[np.float32], signal: Array) -> Self | None:
        """The same image bit for bit; None where it is small, or no function of single voxels of the signal.

        Args:
            image: (D, H, W).
            signal: (D, H, W) from which it was made.
        """
        if image.size < LEAST or signal.dtype.kind not in "iu" or signal.shape != image.shape:
            return None
        lowest, highest = int(signal.min()), int(signal.max())
        if highest - lowest >= _MOST_NUMBERS:
            return None
        table = cls(signal, np.zeros(highest - lowest + 1, np.float32), lowest)
        parts = [slice(start, start + _PLANES) for start in range(0, len(image), _PLANES)]
        for part in parts:
            table._table[table._places(part)] = image[part]
        same = all(np.array_equal(table[part].view(np.uint32), image[part].view(np.uint32)) for part in parts)
        return table if same else None

    def mapped(self, curve: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]) -> Self:
        """The image with each number as a function of single voxels makes it."""
        return type(self)(self._signal, curve(self._table), self._lowest)

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, H, W)."""
        return self._signal.shape

    @property
    def nbytes(self) -> int:
        """Bytes beside the signal's own."""
        return self._table.nbytes

    def __len__(self) -> int:
        return len(self._signal)

    def __getitem__(self, key: Any) -> npt.NDArray[np.float32]:
        """A part, by any index of numpy; a copy."""
        return np.asarray(self._table[self._places(key)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        image = np.empty(self.shape, dtype or self.dtype)
        for start in range(0, len(image), _PLANES):
            part = slice(start, start + _PLANES)
            image[part] = self[part]
        return image

    def _places(self, key: Any) -> npt.NDArray[np.intp]:
        return np.asarray(np.subtract(self._signal[key], self._lowest, dtype=np.intp))
