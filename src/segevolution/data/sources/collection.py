"""Sources of several datasets at once, such as the folder of all codes of M3D-Seg."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .base import Source


@runtime_checkable
class Collection(Source, Protocol):
    """A source of several datasets at once, whose cases say which is theirs."""

    @property
    def datasets(self) -> Sequence[str]:
        """Their names in the store."""
        ...


def datasets_of(source: Source) -> tuple[str, ...]:
    """The names in the store of what a source holds: one, or those of a collection."""
    return tuple(source.datasets) if isinstance(source, Collection) else (source.dataset,)
