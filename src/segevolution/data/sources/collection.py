"""Sources of several datasets at once, such as the folder of all codes of M3D-Seg."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from ..images import ImageIdentity, image_identity
from .base import Decision, Source

# The file or folder of an image and, where a layout tells series apart, its SeriesInstanceUID.
ImagePlace = tuple[Path, str | None]


@runtime_checkable
class Collection(Source, Protocol):
    """A source of several datasets at once, whose cases say which is theirs."""

    @property
    def datasets(self) -> Sequence[str]:
        """Their names in the store."""
        ...


@runtime_checkable
class DecidingSource(Source, Protocol):
    """A source that says what it took for granted, changed or left out."""

    @property
    def decisions(self) -> Sequence[Decision]:
        """One for each name that was changed, file that is not read, and the grouping of the patients."""
        ...


@runtime_checkable
class TracedSource(Source, Protocol):
    """A source that says where the image of a case lies, without reading it."""

    def image_of(self, case: str) -> ImagePlace | None:
        """Of a case of the index; None where it lacks an image."""
        ...


def series_of(source: Source, case: str) -> str | None:
    """The SeriesInstanceUID by which a source tells a case's image; None where it does not."""
    place = source.image_of(case) if isinstance(source, TracedSource) else None
    return place[1] if place else None


def identity_of(source: Source, case: str) -> ImageIdentity | None:
    """What tells the image of a case from another of the same name; None where nothing does."""
    place = source.image_of(case) if isinstance(source, TracedSource) else None
    return image_identity(*place) if place else None


def decisions_of(source: Source) -> tuple[Decision, ...]:
    """What a source decided; nothing where it has nothing to say."""
    return tuple(source.decisions) if isinstance(source, DecidingSource) else ()


def datasets_of(source: Source) -> tuple[str, ...]:
    """The names in the store of what a source holds: one, or those of a collection."""
    return tuple(source.datasets) if isinstance(source, Collection) else (source.dataset,)


def in_lines(decisions: Sequence[Decision], shown: int = 8) -> tuple[str, ...]:
    """Decisions for a person to read, a line a kind, of each kind the first ones."""
    lines = []
    for kind in dict.fromkeys(decision.kind for decision in decisions):
        texts = [decision.text for decision in decisions if decision.kind == kind]
        more = f"; and {len(texts) - shown} more" if len(texts) > shown else ""
        lines.append(f"{kind}: {'; '.join(texts[:shown])}{more}")
    return tuple(lines)
