"""What a file of named structures holds: each as the voxels of a grid that lie in it, so that they may overlap."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import FormatError
from ..grid import Array, Grid

Places = npt.NDArray[np.integer]
_LONGEST_NAME = 300


@dataclass(frozen=True)
class StructureName:
    """What a file calls one structure.

    Attributes:
        number: in the file, from 1.
        written: the name that a person gave it, on one line.
        coded: the structure that its codes stand for; None where there are none, or none that are known.
    """

    number: int
    written: str
    coded: str | None = None


@dataclass(frozen=True, eq=False)
class StructureSet:
    """The structures of one file on a grid.

    Attributes:
        grid: on which they lie.
        names: of all structures, those without a voxel among them.
        places: number of a structure -> flat voxel indices (C order), ascending, each once.
        remarks: what its reader decided or left out, a sentence each, without a full stop.
    """

    grid: Grid
    names: tuple[StructureName, ...]
    places: Mapping[int, Places]
    remarks: tuple[str, ...] = ()

    def label_map(self, where: str) -> Array:
        """(X, Y, Z) with the numbers of the structures.

        Raises:
            FormatError: two structures share a voxel, or one has the background's number; `where` names the file.
        """
        if min(self.places, default=1) < 1:
            raise FormatError(
                f'{where} gives "{self._written(min(self.places))}" the number {min(self.places)}, which is no label; '
                "data prepare keeps it."
            )
        labels = np.zeros(int(np.prod(self.grid.shape)), np.min_scalar_type(max(self.places, default=0)))
        for number, places in self.places.items():
            covered_labels = labels[places]
            if covered_labels.any():
                other = int(covered_labels[covered_labels > 0][0])
                raise FormatError(
                    f'{where}: "{self._written(other)}" and "{self._written(number)}" overlap, so they are no label '
                    "map; data prepare keeps both."
                )
            labels[places] = number
        return labels.reshape(self.grid.shape)

    def _written(self, number: int) -> str:
        return next(name.written for name in self.names if name.number == number)


def one_line(text: object, otherwise: str) -> str:
    """A name as a file has it, without what cannot be printed; `otherwise` where nothing is left."""
    visible = "".join(letter if letter.isprintable() else " " for letter in str(text or ""))
    return " ".join(visible.split())[:_LONGEST_NAME] or otherwise


def joined(parts: Sequence[Places]) -> Places:
    """Flat voxel indices of several parts of one structure, ascending, each once."""
    places = np.sort(np.concatenate([np.zeros(0, np.intp), *parts]))
    return np.asarray(places[np.append(True, places[1:] != places[:-1])[: places.size]])
