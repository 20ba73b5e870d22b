"""Volumes to try without any file: made patients, the same ones every time."""

from dataclasses import dataclass
from functools import lru_cache

from ..data.synthesis.patients import simulate_case
from ..imaging.volume import Volume
from ..vocabulary import Modality
from .faults import NotFound


@dataclass(frozen=True)
class Example:
    """A made patient in a made scanner.

    Attributes:
        id, title: for machines and for people.
        modality, sequence: as for `simulate_case`.
    """

    id: str
    title: str
    modality: Modality
    sequence: str | None


EXAMPLES = (
    Example("ct", "Made CT of an abdomen", Modality.CT, "portal"),
    Example("mri", "Made T1-weighted MRI of the same abdomen", Modality.MRI, "T1"),
)


@lru_cache(maxsize=len(EXAMPLES))
def _made(example: Example) -> Volume:
    return simulate_case(7, modality=example.modality, sequence=example.sequence).volume


def example_volume(name: str) -> Volume:
    """An example by its id; raises NotFound where there is none."""
    for example in EXAMPLES:
        if example.id == name:
            return _made(example)
    raise NotFound(f'no example "{name[:60]}" is here; there are {", ".join(example.id for example in EXAMPLES)}.')
