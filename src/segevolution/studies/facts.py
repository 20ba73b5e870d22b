"""Read what a plan needs to know: the datasets, the bases, and the adapters that methods start from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.record import CaseRecord
from ..imaging.prompts import COMBINATIONS, PromptKind, kinds_in
from ..inference.load import load
from ..models.checkpoints import fingerprint
from ..models.spec import Spec
from ..recipes.keys import digest
from ..recipes.stores import StoreRef
from .rivals import RIVALS, Rival


@dataclass(frozen=True)
class DatasetFacts:
    """A dataset whose store is ready, or what stands in for it while a study is only planned.

    Attributes:
        records: of its cases.
        fingerprint: of its content.
        store: where it lies.
        failed: case -> why it was left out.
        unread: nobody has read the cases yet, so that a modality that is missing only is not known yet.
    """

    records: Sequence[CaseRecord]
    fingerprint: str
    store: StoreRef
    failed: Mapping[str, str] = field(default_factory=dict)
    unread: bool = False


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

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """Whether it takes these kinds of prompt together."""
        return kinds <= self.spec.accepts

    @property
    def takes_in_words(self) -> str:
        """What it takes."""
        return ", ".join(sorted(self.spec.accepts))

    @property
    def corrects(self) -> bool:
        """Whether clicks correct its answers."""
        return PromptKind.POINT in self.spec.accepts


@dataclass(frozen=True)
class RivalFacts:
    """A method that trains no adapter.

    Attributes:
        name: the kind of method.
        fingerprint: of the method, its settings and its base, so that another version is measured anew.
        rival: the kind itself.
        base: that it stands on, if any.
    """

    name: str
    fingerprint: str
    rival: Rival
    base: BaseFacts | None = None

    def unknown(self, structures: Iterable[str]) -> list[str]:
        """Those that its base does not know; without a base it is asked whatever it takes."""
        return [] if self.base is None else self.base.unknown(structures)

    def takes(self, kinds: frozenset[PromptKind]) -> bool:
        """See Rival."""
        return self.rival.takes(kinds) and (self.base is None or self.base.takes(kinds))

    @property
    def takes_in_words(self) -> str:
        """What it takes, of the combinations that are usual."""
        return ", ".join(prompt for prompt in COMBINATIONS if self.takes(kinds_in(prompt)))

    @property
    def corrects(self) -> bool:
        """Whether clicks correct its answers: those of a base."""
        return self.base is not None and self.base.corrects


MethodFacts = BaseFacts | RivalFacts


def rival_facts(kind: str, settings: Mapping[str, Any], base: BaseFacts | None = None) -> RivalFacts:
    """What is known of a rival with its settings, and the base that it stands on."""
    rival = RIVALS[kind]
    marks = [rival.mark, dict(settings), *([] if base is None else [base.fingerprint])]
    return RivalFacts(kind, digest(marks), rival, base)


def read_bases(names: Iterable[str]) -> dict[str, BaseFacts]:
    """Name -> facts, of each base once; CheckpointError where one cannot be loaded."""
    facts = {}
    for name in dict.fromkeys(names):
        base = load(name, device="cpu")
        facts[name] = BaseFacts(name, fingerprint(base), base.spec)
    return facts
