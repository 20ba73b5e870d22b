"""Cases whose structures are masks of their own, which may overlap: one label map of them, nothing lost."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ...imaging.case import label_map_at
from ...imaging.grid import Array

Places = npt.NDArray[np.integer]


def labels_of(
    masks: Mapping[int, Places], structures: Mapping[str, tuple[int, ...]], shape: tuple[int, ...]
) -> tuple[Array, dict[str, tuple[int, ...]]]:
    """One label map of numbered masks, and which of its values form each structure.

    Args:
        masks: number -> flat voxel indices (C order) of a volume of `shape`.
        structures: name -> the numbers that form it, unions among them.

    Returns:
        Labels (X, Y, Z) as `label_map`, and the structures that have a voxel.
    """
    labels, values = label_map_at({str(number): places for number, places in masks.items()}, shape)
    found = {
        name: tuple(sorted({value for number in numbers for value in values.get(str(number), ())}))
        for name, numbers in structures.items()
    }
    return labels, {name: numbers for name, numbers in found.items() if numbers}
