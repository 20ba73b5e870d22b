"""A network whose scans or weights a rival changes, and which is asked as it is in all else."""

from dataclasses import dataclass

from ...evaluation.answerers import NetworkAnswerer
from ...imaging.prompts import PromptKind
from ...inference.segmentation import Segmentation
from ...inference.signs import Surroundings


@dataclass(frozen=True)
class WrappedAnswerer:
    """All of an Answerer but `open`, by a network.

    Attributes:
        network: as it is.
    """

    network: NetworkAnswerer

    @property
    def corrects(self) -> bool:
        """See Answerer."""
        return self.network.corrects

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Answerer."""
        return self.network.takes(kinds)

    def knows(self, structure: str) -> bool:
        """See Answerer."""
        return self.network.knows(structure)

    def warnings(self, answer: Segmentation, surroundings: Surroundings) -> int:
        """See Answerer."""
        return self.network.warnings(answer, surroundings)
