"""Cases whose structures lie in several files, or in masks that overlap: one label map of them, nothing lost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import StoreError
from ...imaging.case import Case, label_map_at
from ...imaging.grid import Array
from .base import Overrides
from .label_contradictions import names_by_value, require_own_names
from .pairs import Pair, case_of, place_labels, read_image, read_label_map
from .structure_names import unions_of

Places = npt.NDArray[np.integer]


@dataclass(frozen=True)
class LabelFile:
    """One of the files in which a case's structures lie.

    Attributes:
        structures: name -> its values in this file; no value at all stands for every voxel that is not 0.
    """

    path: Path
    structures: Mapping[str, tuple[int, ...]]

    @classmethod
    def mask(cls, path: Path, structure: str) -> "LabelFile":
        """A file of one structure."""
        return cls(path, {structure: ()})


def read_label_files(pair: Pair, files: Sequence[LabelFile], dataset: str, overrides: Overrides) -> Case:
    """A case of an image and any number of label files on its grid; unions of its structures are added.

    Args:
        pair: its `label` is not looked at.

    Raises:
        FormatError, VolumeError: a file is missing or cannot be used.
        StoreError: a file lies on another grid, holds a value without a name or one that it calls by the name of
            another structure, or two files hold one structure.
    """
    image = replace(read_image(pair.image, overrides, overrides.modality or pair.modality), name=pair.name)
    numbers: dict[str, tuple[int, ...]] = {}
    masks: dict[int, Places] = {}
    for file in files:
        labels = place_labels(image, read_label_map(file.path, overrides, image))
        named_values = {value for values in file.structures.values() for value in values}
        unknown = set(np.unique(labels).tolist()) - named_values - {0} if named_values else set()
        if unknown:
            raise StoreError(
                f"{pair.name}: {file.path} holds the label {', '.join(map(str, sorted(unknown)))}, which has no name; "
                "name it in the table of labels, or repair the file."
            )
        require_own_names(file.path, names_by_value(file.structures), set(np.unique(labels).tolist()))
        for name, values in file.structures.items():
            if name in numbers:
                file_names = ", ".join(other.path.name for other in files if name in other.structures)
                raise StoreError(f"{pair.name} has {name} in more than one file ({file_names}); leave one of them.")
            inside = np.isin(labels, values) if values else labels != 0
            numbers[name] = (len(masks) + 1,)
            masks[len(masks) + 1] = np.flatnonzero(inside)
    labels, structures = labels_of(masks, numbers | unions_of(numbers)[0], image.grid.shape)
    return case_of(pair, dataset, image, labels, structures, overrides, labelled=bool(files))


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
    structure_values = {
        name: tuple(sorted({value for number in numbers for value in values.get(str(number), ())}))
        for name, numbers in structures.items()
    }
    return labels, {name: numbers for name, numbers in structure_values.items() if numbers}
