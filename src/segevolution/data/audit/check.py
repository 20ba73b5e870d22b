"""All checks of some stores, in one pass over their voxels."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoreError
from ..splits import Split
from ..store import Store
from .duplicates import Match, check_duplicates, matches
from .entries import AuditedCase, entries
from .findings import Finding, gathered
from .integrity import check_content, check_records
from .intensity import check_scales, check_signal
from .leaks import Repair, check_split, repair
from .overlaps import check_overlaps, require_base
from .people import check_people
from .registration import check_registration
from .signatures import Signature, signature

# Told what goes on, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Audit:
    """What the checks found.

    Attributes:
        findings: errors first.
        cases: how many were looked at.
        duplicates: pairs that hold one volume.
        repair: the split without its leaks; None where no split was given.
    """

    findings: tuple[Finding, ...]
    cases: int
    duplicates: tuple[Match, ...]
    repair: Repair | None

    @property
    def passed(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)


@dataclass(frozen=True)
class _CaseFindings:
    """What the voxels of one case told."""

    findings: tuple[Finding, ...]
    signature: Signature | None


def check(
    stores: Sequence[Store],
    *,
    split: Split | None = None,
    base: str | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Audit:
    """Look for everything that would make results on these cases wrong.

    Args:
        split: over the cases of all stores together; a name that two stores share is written "store/case".
        base: a model whose training data are known, to find cases that it has seen.
        workers: processes that read; the findings are the same for any number.

    Raises:
        StoreError: a store cannot be read, is given twice, or a name of the split could mean two cases.
        VocabularyError: nobody has said what `base` was trained on.
    """
    everyone, entry_findings, split = _input(stores, split, base)
    findings = [
        *entry_findings,
        *check_records(everyone),
        *check_scales({entry.name: entry.record for entry in everyone}),
    ]
    findings += check_people(everyone)
    signatures: dict[str, Signature] = {}
    for number, (name, examined) in enumerate(_examined(everyone, workers), start=1):
        findings += examined.findings
        if examined.signature is not None:
            signatures[name] = examined.signature
        if progress is not None:
            progress("reading", number, len(everyone))
    report_pairs = None if progress is None else lambda number, total: progress("comparing", number, total)
    pairs = matches(everyone, signatures, report_pairs)
    findings += check_duplicates(pairs, everyone)
    mended = None
    if split is not None:
        names = [(match.first, match.second) for match in pairs]
        findings += check_split(split, everyone, names)
        mended = repair(split, everyone, names)
    if base is not None:
        findings += check_overlaps(everyone, base)
    datasets = {entry.name: entry.record.dataset for entry in everyone}
    return Audit(gathered(findings, datasets), len(everyone), pairs, mended)


def check_input(stores: Sequence[Store], *, split: Split | None = None, base: str | None = None) -> None:
    """Raise, as `check` would and before any long work, where stores, split or base cannot be used."""
    _input(stores, split, base)


def _input(
    stores: Sequence[Store], split: Split | None, base: str | None
) -> tuple[Sequence[AuditedCase], list[Finding], Split | None]:
    """The cases, what is wrong with their records, and the split in names of the cases."""
    if base is not None:
        require_base(base)
    everyone, input_findings = entries(stores)
    if split is not None:
        split = split.matched(entry.record for entry in everyone)
        check_split(split, everyone, ())
    return everyone, list(input_findings), split


def _examined(everyone: Sequence[AuditedCase], workers: int) -> Iterator[tuple[str, _CaseFindings]]:
    """Each case as it is finished."""
    if workers <= 1 or len(everyone) <= 1:
        for entry in everyone:
            yield entry.name, _examine(entry.name, entry.store.path, entry.record.name)
        return
    # Spawned, not forked: a forked copy of a process with threads (torch, blosc2) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(everyone)), mp_context=context) as pool:
        futures = {
            pool.submit(_examine, entry.name, entry.store.path, entry.record.name): entry.name for entry in everyone
        }
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise StoreError(
                "a worker process was killed, perhaps for want of memory; run again with fewer --workers."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _examine(name: str, path: Path, case: str) -> _CaseFindings:
    store = Store(path)
    record = store.record(case)
    try:
        signal, labels = store.read_window(case, (0, 0, 0), record.shape)
    except StoreError as error:
        remedy = "Delete the folder of the case and prepare it again."
        return _CaseFindings((Finding("integrity", "error", (name,), f"{name} cannot be read: {error}", remedy),), None)
    findings = check_content(name, record, signal, labels)
    if any(finding.severity == "error" for finding in findings):
        return _CaseFindings(tuple(findings), None)
    findings += check_signal(name, record, signal)
    findings += check_registration(name, record, signal, labels)
    return _CaseFindings(tuple(findings), signature(signal, record.spacing))
