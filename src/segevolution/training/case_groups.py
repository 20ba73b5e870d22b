"""Cases of a store as a training takes them: framed once, and the structures that the network knows."""

from collections.abc import Callable, Iterator, Sequence

from ..data.framed_copies import FramedCopies
from ..data.record import CaseRecord
from ..data.store import Store
from ..data.windows import FramedCase
from ..errors import StoreError
from ..imaging.framing import Frame
from ..imaging.volume import Volume
from ..inference.strategies import strategy_of
from ..models.backbone import Spec
from .batches import CaseGroup


def load_group(store: Store, names: Sequence[str], spec: Spec, weight: float = 1.0) -> CaseGroup:
    """Cases of a store ready for training: framed once, see `data.framed_copies`, and read from there by part.

    Only structures that the network knows are kept (`spec.structures`; all where that is empty).

    Raises:
        StoreError: a case carries no structure.
        OutputError: the store cannot be written, for instance because the disk is full.
    """
    strategy = strategy_of(spec)
    copies = FramedCopies(store, strategy.preparation(spec), lambda volume: strategy.prepare(volume, spec))
    return CaseGroup(tuple(_cases(store, names, spec.structures, copies.case)), weight)


def framed(
    store: Store, names: Sequence[str], prepare: Callable[[Volume], Frame], structures: Sequence[str]
) -> Iterator[FramedCase]:
    """The same cases one by one, sorted by name, each in memory and nothing written; `prepare` frames a volume."""

    def case(record: CaseRecord, labelled: frozenset[str], known: frozenset[str]) -> FramedCase:
        store_case = store.read(record.name)
        return FramedCase.make(store_case, prepare(store_case.volume), labelled, known)

    return _cases(store, names, structures, case)


def _cases(
    store: Store,
    names: Sequence[str],
    structures: Sequence[str],
    case_of: Callable[[CaseRecord, frozenset[str], frozenset[str]], FramedCase],
) -> Iterator[FramedCase]:
    """Cases sorted by name; `case_of` makes one of its record, all structures of its dataset, and those to keep."""
    records = store.select(names=names)
    groups = {(record.dataset, record.modality) for record in records}
    labelled = {group: store.labelled(*group) for group in groups}
    known = frozenset(structures)
    for record in records:
        case = case_of(record, labelled[record.dataset, record.modality], known)
        if not case.structures:
            raise StoreError(f"{record.name} carries no structure that this model knows, so it cannot be trained on.")
        yield case
