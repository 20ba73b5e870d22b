"""What layouts of image and label files share: cases by name, each read from its pair, facts from one header."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import StoreError
from ...imaging.case import Case
from .base import Overrides
from .pairs import Pair, read_pair


class PairedSource(ABC):
    """A `Source` whose cases are pairs of files; a layout sets the attributes and says which pairs there are."""

    path: Path
    overrides: Overrides
    _header: Mapping[str, Any]
    _structures: dict[str, tuple[int, ...]]
    _dataset: str

    @property
    def dataset(self) -> str:
        """The name given, else that of the header or the folder, in lower case with underscores."""
        return self._dataset

    @property
    def licence(self) -> str:
        """As the header says, or "not stated"."""
        return str(self._header.get("licence") or self._header.get("license") or "not stated")

    def index(self) -> Sequence[str]:
        """Every case that is listed, or of which at least one file is there."""
        return tuple(sorted(self._pairs))

    def read(self, case: str) -> Case:
        """One case.

        Raises:
            StoreError: it is not there, lacks one of its files, or its files do not belong together.
            FormatError, VolumeError: a file cannot be used.
        """
        if case not in self._pairs:
            raise StoreError(f"{self.path} has no case {case}; it has {len(self._pairs)} cases.")
        return read_pair(self._pairs[case], self.dataset, self._structures, self.overrides)

    @property
    @abstractmethod
    def _pairs(self) -> Mapping[str, Pair]:
        """Name of a case -> its files."""
