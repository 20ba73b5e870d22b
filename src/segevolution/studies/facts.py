"""Read what a plan needs to know: the datasets, the bases, and the adapters that methods start from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..data.record import CaseRecord
from ..inference.load import load
from ..models.checkpoints import fingerprint
from ..models.spec import Spec
from ..recipes.stores import StoreRef


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset whose store is ready.

    Attributes:
        records: of its cases.
        fingerprint: of its content.
        store: where it lies.
        failed: case -> why it was left out.
    """

    records: Sequence[CaseRecord]
    fingerprint: str
    store: StoreRef
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BaseFacts:
    """A network that is adapted, or measured as it is.

    Attributes:
        name: as the recipe says it.
        fingerprint: of its weights.
        spec: what it accepts and knows.
    """

    name: str
    fingerprint: str
    spec: Spec

    def unknown(self, structures: Iterable[str]) -> list[str]:
        """Those that it was not trained on; none where any text may be tried."""
        return [name for name in structures if self.spec.structures and name not in self.spec.structures]


def read_bases(names: Iterable[str]) -> dict[str, BaseFacts]:
    """Name -> facts, of each base once; CheckpointError where one cannot be loaded."""
    facts = {}
    for name in dict.fromkeys(names):
        base = load(name, device="cpu")
        facts[name] = BaseFacts(name, fingerprint(base), base.spec)
    return facts
