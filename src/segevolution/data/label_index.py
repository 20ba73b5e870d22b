"""An index of where each label value lies in a framed case: a view is placed without reading the whole label map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..imaging.grid import Array, triple

Counts = npt.NDArray[np.signedinteger[Any]]
Bounds = tuple[tuple[int, int, int], tuple[int, int, int]]


@dataclass(frozen=True, eq=False)
class LabelIndex:
    """Where each label value of a label map (D, H, W) lies.

    Attributes:
        counts: value -> its voxels in each plane, (D,).
        bounds: value above 0 -> its first voxel and the one after its last, each (d, h, w).
    """

    counts: Mapping[int, Counts]
    bounds: Mapping[int, Bounds]

    @classmethod
    def of(cls, labels: Array) -> "LabelIndex":
        """Read a label map (D, H, W) of unsigned integers once, plane by plane."""
        counts: dict[int, Counts] = {}
        low: dict[int, list[int]] = {}
        high: dict[int, list[int]] = {}
        for number, plane in enumerate(labels):
            voxels = np.bincount(plane.ravel())
            boxes = ndimage.find_objects(plane.astype(np.int32, copy=False))
            for value in np.flatnonzero(voxels).tolist():
                counts.setdefault(value, np.zeros(len(labels), np.int64))[number] = voxels[value]
                if value == 0:
                    continue
                rows, columns = boxes[value - 1]
                first, last = [number, rows.start, columns.start], [number + 1, rows.stop, columns.stop]
                low[value] = list(map(min, low.get(value, first), first))
                high[value] = list(map(max, high.get(value, last), last))
        return cls(counts, {value: (triple(low[value]), triple(high[value])) for value in low})

    def planes(self, values: Sequence[int]) -> Counts:
        """(D,): how many voxels of each plane carry one of the values; at least one of them is there."""
        return np.asarray(sum(self.counts[value] for value in sorted(set(values)) if value in self.counts))

    def extent(self, values: Sequence[int]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """First voxel of the values together, and the one after their last, each (d, h, w)."""
        boxes = [self.bounds[value] for value in values if value in self.bounds]
        low, high = np.min([box[0] for box in boxes], axis=0), np.max([box[1] for box in boxes], axis=0)
        return low.astype(float), high.astype(float)
