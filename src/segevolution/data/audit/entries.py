"""The cases of several stores under names that are unique over all of them: "store/case"."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import StoreError
from ...vocabulary import Modality
from ..record import CaseRecord
from ..splits import Person
from ..store import Store
from .findings import Finding

_MEND = "Mend its files and prepare again, or do without it."


@dataclass(frozen=True, eq=False)
class AuditedCase:
    """One case of one of the stores.

    Attributes:
        name: "store/case", unique over all stores.
        store: that holds it.
        record: what is known of it.
    """

    name: str
    store: Store
    record: CaseRecord

    @property
    def person(self) -> Person:
        """(dataset, patient), in whatever store."""
        return self.record.person

    @property
    def modality(self) -> Modality | None:
        """None when not known."""
        return self.record.modality

    @property
    def group(self) -> tuple[str, str, str]:
        """Dataset, modality and sequence: the cases it can be compared with."""
        return self.record.dataset, str(self.record.modality or "?"), self.record.sequence or ""


def entries(stores: Sequence[Store]) -> tuple[tuple[AuditedCase, ...], tuple[Finding, ...]]:
    """Every case whose record can be read, by store and name, and findings on those that cannot or were left out.

    Raises:
        StoreError: a store is given twice, or has no folder of cases.
    """
    audited_cases, faults = [], []
    for label, store in zip(labels(stores), stores, strict=True):
        for name in store.names:
            try:
                audited_cases.append(AuditedCase(f"{label}/{name}", store, store.record(name)))
            except StoreError as error:
                faults.append(
                    Finding(
                        "integrity",
                        "error",
                        (f"{label}/{name}",),
                        f"{label}/{name} has no readable record: {error}",
                        "Delete the folder of the case and prepare it again.",
                    )
                )
        for dataset, reasons in store.skipped.items():
            faults += [
                Finding(
                    "skipped", "note", (f"{label}/{case}",), f"{label}/{case} of {dataset} was left out: {why}", _MEND
                )
                for case, why in reasons.items()
            ]
    return tuple(audited_cases), tuple(faults)


def labels(stores: Sequence[Store]) -> tuple[str, ...]:
    """A short name for each store: its folder's, or its path where folders share a name; StoreError for one twice."""
    paths = [store.path.resolve() for store in stores]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise StoreError(f"{twice[0]} is given twice; give each store once.")
    times = Counter(path.name for path in paths)
    return tuple(
        path.name if times[path.name] == 1 else str(store.path) for path, store in zip(paths, stores, strict=True)
    )
