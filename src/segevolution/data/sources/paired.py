"""What layouts of image and label files share: cases by name, each read from its pair, facts from one header."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ...errors import StoreError
from ...imaging.case import Case
from .base import Decision, Overrides, Provenance
from .collection import ImagePlace
from .grouping import Grouping
from .naming import ImageFiles, held_twice, image_files
from .pairs import Pair, read_pair
from .patients import group_patients
from .unread import unread_files


class PairedSource(ABC):
    """A `Source` whose cases are pairs of files; a layout sets the attributes and says which pairs there are."""

    path: Path
    overrides: Overrides
    provenance: ClassVar[Provenance]
    _licence: str | None = None
    _structures: Mapping[str, tuple[int, ...]]
    _decisions: tuple[Decision, ...] = ()
    _dataset: str

    @property
    def dataset(self) -> str:
        """The name given, else that of the header or the folder, in lower case with underscores."""
        return self._dataset

    @property
    def licence(self) -> str:
        """As the dataset's files say, or "not stated"."""
        return self._licence or "not stated"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was taken for granted or left out, for a person to see: names, unions, files, patients."""
        return (*self._decisions, *self._decisions_on_files, Decision("patients", self.grouping.sentence))

    @property
    def _decisions_on_files(self) -> tuple[Decision, ...]:
        return unread_files((stray for files in self._files.values() for stray in files.strays), None)

    @property
    def _folders(self) -> Iterable[Path]:
        """The folders that are read, where a layout finds its files by their names."""
        return ()

    @cached_property
    def _files(self) -> dict[Path, ImageFiles]:
        """The files of each of these folders."""
        return {folder: image_files(folder) for folder in self._folders}

    @cached_property
    def grouping(self) -> Grouping:
        """Which file is of which patient, and how that was decided."""
        known = {pair.stem: pair.patient for pair in self._pairs.values() if pair.patient is not None}
        stems = [pair.stem for pair in self._pairs.values()]
        if self.overrides.patient_pattern is None and known:
            unknown = group_patients(stem for stem in stems if stem not in known)
            rule = "the names of their folders" if len(known) == len(set(stems)) else f"their layout and {unknown.rule}"
            return Grouping({**unknown.patients, **known}, rule, unknown.doubt)
        return group_patients(stems, self.overrides.patient_pattern)

    def index(self) -> Sequence[str]:
        """Every case that is listed, or of which at least one file is there."""
        return tuple(sorted(self._pairs))

    def image_of(self, case: str) -> ImagePlace | None:
        """Where the image of a case lies, or should."""
        return self._pairs[case].image, None

    def read(self, case: str) -> Case:
        """One case.

        Raises:
            StoreError: it is not there, lacks one of its files, or its files do not belong together.
            FormatError, VolumeError: a file cannot be used.
        """
        return read_pair(self._pair(case), self.dataset, self._structures, self.overrides)

    def _pair(self, case: str) -> Pair:
        """The files of a case, with its patient."""
        if case not in self._pairs:
            raise StoreError(f"{self.path} has no case {case}; it has {len(self._pairs)} cases.")
        pair = self._pairs[case]
        return replace(pair, patient=self.grouping.patients[pair.stem])

    @property
    @abstractmethod
    def _pairs(self) -> Mapping[str, Pair]:
        """Name of a case -> its files."""


def pairs_by_name(pairs: Iterable[Pair]) -> dict[str, Pair]:
    """Name of a case -> its pair.

    Raises:
        StoreError: two pairs have one name.
    """
    return _by_name(
        pairs, lambda one, other: f"{one.image} and {other.image} would both be the case {one.name}; rename one."
    )


def kept_once(pairs: Iterable[Pair]) -> dict[str, Pair]:
    """Name of a case -> its pair, in layouts whose names are their authors'.

    Raises:
        StoreError: two folders hold one case.
    """
    return _by_name(pairs, lambda one, other: held_twice(one.name, one.image.parent, other.image.parent))


def _by_name(pairs: Iterable[Pair], clash: Callable[[Pair, Pair], str]) -> dict[str, Pair]:
    """Name of a case -> its pair; where two pairs have one name a StoreError, in the words of `clash`."""
    by_name: dict[str, Pair] = {}
    for pair in pairs:
        other = by_name.setdefault(pair.name, pair)
        if other != pair:
            raise StoreError(clash(other, pair))
    return by_name
