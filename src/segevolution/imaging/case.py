"""One patient's volume and its named masks.

Masks are kept as one label map even where they overlap: every set of masks that share a voxel gets a value of its
own, and a structure is the set of its values. Nothing is lost, and one map is read instead of a channel a structure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..errors import VolumeError
from .grid import Array
from .masks import as_mask
from .volume import Volume

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, eq=False)
class Case:
    """A volume with a label map on its grid.

    Attributes:
        name: unique within its dataset, such as "BRATS_001_t1".
        patient: unique within its dataset; several cases may share one.
        dataset: such as "msd_hippocampus".
        volume: signal as measured.
        labels: (X, Y, Z) unsigned integers on the volume's grid; 0 is background.
        structures: canonical structure name -> the label values that form it. Values may serve several
            structures (a prostate is the union of its zones). A structure that this patient lacks is absent.
        sequence: such as "T2-SPIR"; None when not known.
        site: hospital or sub-collection; None when not known.
        part: where the dataset's authors put the case; None where they did not say.
        remark: a sentence on what its reader had to assume or leave out; None where there was nothing.
    """

    name: str
    patient: str
    dataset: str
    volume: Volume
    labels: Array
    structures: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    sequence: str | None = None
    site: str | None = None
    part: Part | None = None
    remark: str | None = None

    def __post_init__(self) -> None:
        if self.labels.shape != self.volume.array.shape:
            raise VolumeError(
                f"{self.name}: the label map has shape {self.labels.shape}, the image {self.volume.array.shape}."
            )

    def mask(self, structure: str) -> npt.NDArray[np.bool_]:
        """(X, Y, Z) boolean mask of a structure; raises KeyError if this case does not carry it."""
        return np.isin(self.labels, self.structures[structure])


def label_map(masks: Mapping[str, npt.ArrayLike]) -> tuple[Array, dict[str, tuple[int, ...]]]:
    """Masks that may overlap -> one label map and the values of each structure.

    Args:
        masks: structure -> (X, Y, Z), true or non-zero inside, see `as_mask`; at least one.

    Returns:
        (X, Y, Z) of the smallest unsigned integers, 0 where no mask is; and the values of each structure that has
        a voxel. Masks that do not overlap get 1, 2, ... in order.

    Raises:
        VolumeError: there is no mask, their shapes differ, or one holds what is neither inside nor outside.
    """
    arrays = {name: as_mask(mask, f"mask of {name}") for name, mask in masks.items()}
    shapes = {mask.shape for mask in arrays.values()}
    if len(shapes) != 1:
        raise VolumeError(f"masks of one case must share one shape; these have {sorted(shapes) or 'none at all'}.")
    return label_map_at({name: np.flatnonzero(mask) for name, mask in arrays.items()}, shapes.pop())


def label_map_at(
    voxels: Mapping[str, npt.NDArray[np.integer]], shape: tuple[int, ...]
) -> tuple[Array, dict[str, tuple[int, ...]]]:
    """`label_map` of masks given as voxel indices, flat in C order: a sparse mask needs no volume of its own.

    Raises:
        VolumeError: an index lies outside the shape.
    """
    size = int(np.prod(shape))
    labels = np.zeros(size, np.uint32)
    members: list[frozenset[str]] = [frozenset()]
    for name, places in voxels.items():
        if places.size and (places.min() < 0 or places.max() >= size):
            raise VolumeError(f"the mask of {name} names voxels outside a volume of shape {shape}.")
        labels_at = labels[places]
        for value in np.unique(labels_at).tolist():
            members.append(members[value] | {name})
            labels[places[labels_at == value]] = len(members) - 1
    present_values = [0, *np.unique(labels[labels != 0]).tolist()]
    numbers = np.zeros(len(members), np.min_scalar_type(len(present_values) - 1))
    numbers[present_values] = np.arange(len(present_values))
    values = {name: tuple(int(numbers[value]) for value in present_values if name in members[value]) for name in voxels}
    return numbers[labels].reshape(shape), {name: label_values for name, label_values in values.items() if label_values}
