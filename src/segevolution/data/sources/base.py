"""The base of all datasets: an index of cases, and a way to read each.

A new dataset is one file with a class that fulfils `Source`, and one line in the table of `sources/__init__`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from ...imaging.case import Case
from ...vocabulary import Modality


@dataclass(frozen=True)
class Overrides:
    """What a person knows better than the files.

    Attributes:
        dataset: its name in the store.
        modality, sequence: of every case.
        patient_pattern: regular expression whose first group, in a case's file name, is the patient; or the path of a
            table of file names and patients (.csv, .tsv, .json).
        orientation: where the axes of those files point that do not say it themselves, such as "LAS".
        allow_outside: whether files of the dataset may name other files outside of their folder.
    """

    dataset: str | None = None
    modality: Modality | None = None
    sequence: str | None = None
    patient_pattern: str | None = None
    orientation: str | None = None
    allow_outside: bool = False


@dataclass(frozen=True)
class Decision:
    """Something that a source took for granted, changed or left out, for a person to see and to decide otherwise.

    Attributes:
        kind: "renamed", "merged", "kept apart", "union", "no union", "background", "not read", "channel", "patients".
        text: what was decided, without a full stop.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Provenance:
    """Where a dataset comes from.

    Attributes:
        licence: as its publishers state it, or "its owner's" for a layout that anyone may use.
        link: of its page; empty for a layout.
        obtain: what a person does to get it, in a sentence; this package downloads nothing.
    """

    licence: str = "its owner's"
    link: str = ""
    obtain: str = "Your own files, in this layout."


class Source(Protocol):
    """A dataset in its own layout.

    Attributes:
        name: of the layout, such as "msd".
        summary: one line for the list of sources.
        provenance: for the list of sources.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    provenance: ClassVar[Provenance]

    def __init__(self, path: Path, overrides: Overrides | None = None) -> None: ...

    @property
    def licence(self) -> str:
        """Of the data, as far as its files say."""
        ...

    @property
    def dataset(self) -> str:
        """Name of this dataset in the store."""
        ...

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a folder looks like this layout, from its names alone."""
        ...

    def index(self) -> Sequence[str]:
        """The names of all cases, sorted, those with a fault among them."""
        ...

    def read(self, case: str) -> Case:
        """One case; a SegevolutionError of one sentence where it cannot be used."""
        ...
