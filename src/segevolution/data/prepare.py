"""From a source to a store: in parallel, resumable, and nothing lost in silence.

Cases that the store holds are kept as they are, so a run that was stopped, or killed, goes on where it was; one whose
image file is newer than its case is noted, and `update` reads all again. A case that cannot be used is skipped with its
reason, which the store keeps too. One whose intensities are far from the others of its dataset is kept as measured and
noted.
"""

import multiprocessing
import os
import threading
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from ..errors import OutputError, SegevolutionError, StoreError
from .audit.intensity import outlying
from .record import CaseRecord
from .sources import Source
from .sources.collection import datasets_of
from .store import Store

# Told after each case: how many are done, how many there are, and the name of the case.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PrepareReport:
    """What became of each case of a source.

    Attributes:
        added: written by this run.
        kept: in the store before, and left as they were.
        failed: case -> why it was skipped.
        notes: case -> what is odd about a case that is in the store, its reader's remark first.
        updated: in the store before, replaced by what the source holds now.
    """

    added: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    updated: tuple[str, ...] = ()


def prepare(
    source: Source,
    store: Store,
    *,
    workers: int = 1,
    strict: bool = False,
    progress: Progress | None = None,
    prefix: str = "",
    only: Collection[str] | None = None,
    update: bool = False,
) -> PrepareReport:
    """Write every case of a source into a store.

    Args:
        workers: processes that read and write; the result is the same for any number.
        strict: stop at the first case that cannot be used.
        prefix: put before each case's name in the store, where two datasets use the same names.
        only: the cases to prepare; None takes all.
        update: read the cases that are in the store again, and replace those that differ or are damaged.

    Raises:
        StoreError: with `strict`, for the first bad case; or a worker was killed.
        OutputError: the store cannot be written; what is in it stays, so that the run can go on later.
    """
    store.sweep()
    facts = {"source": source.name, "licence": source.licence}
    datasets = datasets_of(source)
    for dataset in datasets:
        if store.datasets.get(dataset) != facts:
            store.describe(dataset, facts)
    wanted = [case for case in source.index() if only is None or case in only]
    outcomes: dict[str, _Outcome] = {}
    todo = []
    for case in wanted:
        name = prefix + case
        if name not in store:
            todo.append(case)
        elif (other := store.record(name).dataset) not in datasets:
            reason = f"the store has a case of this name of dataset {other}; prepare with --prefix."
            outcomes[name] = _Outcome("failed", reason)
        elif update:
            todo.append(case)
        else:
            outcomes[name] = _Outcome("kept")
    stop = strict and any(outcome.kind == "failed" for outcome in outcomes.values())
    with closing(_outcomes(source, store, [] if stop else todo, prefix, workers, update)) as finished:
        for done, (case, outcome) in enumerate(finished, start=len(outcomes) + 1):
            outcomes[prefix + case] = outcome
            if progress is not None:
                progress(done, len(wanted), prefix + case)
            if strict and outcome.kind == "failed":
                break
    store.refresh()
    report = _report(store, dict(sorted(outcomes.items())), update)
    _note_skipped(store, source.dataset, report)
    if strict and report.failed:
        name, reason = next(iter(report.failed.items()))
        raise StoreError(f"stopped at case {name} because of --strict: {reason}")
    return report


@dataclass(frozen=True)
class _Outcome:
    kind: Literal["added", "kept", "updated", "failed"]
    reason: str = ""


def _report(store: Store, outcomes: Mapping[str, _Outcome], update: bool) -> PrepareReport:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, outcome in outcomes.items():
        by_kind[outcome.kind].append(name)
    there = {name: store.record(name) for name, outcome in outcomes.items() if outcome.kind != "failed"}
    return PrepareReport(
        added=tuple(by_kind["added"]),
        kept=tuple(by_kind["kept"]),
        failed={name: outcomes[name].reason for name in by_kind["failed"]},
        notes=_notes(there, {} if update else newer(store, by_kind["kept"])),
        updated=tuple(by_kind["updated"]),
    )


def _note_skipped(store: Store, dataset: str, report: PrepareReport) -> None:
    """Keep the reasons beside the cases; those of cases that this run did not look at stay."""
    seen = {*report.added, *report.kept, *report.updated, *report.failed}
    before = store.skipped.get(dataset, {})
    store.note_skipped(dataset, {name: why for name, why in before.items() if name not in seen} | dict(report.failed))


def newer(store: Store, names: Collection[str]) -> dict[str, str]:
    """Cases whose image file was written after them, each with a sentence; label files are not known here."""
    notes = {}
    for name in names:
        origin = store.record(name).origin
        try:
            if origin is not None and origin.path.stat().st_mtime > (store.written(name) or 0):
                notes[name] = f"{origin.path} is newer than the case; if it changed, prepare with --update."
        except OSError:
            continue
    return notes


def _notes(records: Mapping[str, CaseRecord], changed: Mapping[str, str]) -> dict[str, str]:
    odd = outlying(records)
    told = {name: (record.remark, odd.get(name), changed.get(name)) for name, record in sorted(records.items())}
    return {name: " ".join(filter(None, sentences)) for name, sentences in told.items() if any(sentences)}


def _outcomes(
    source: Source, store: Store, todo: list[str], prefix: str, workers: int, update: bool
) -> Generator[tuple[str, _Outcome], None, None]:
    """Each case and what became of it, as they are finished."""
    if workers <= 1 or len(todo) <= 1:
        for case in todo:
            yield case, _prepare_case(source, store.path, case, prefix, update)
        return
    # Spawned, not forked: a forked copy of a process with threads (torch, blosc2) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=_leave_with_parent) as pool:
        futures = {pool.submit(_prepare_case, source, store.path, case, prefix, update): case for case in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise StoreError(
                "a worker process was killed, perhaps for want of memory; run again with fewer --workers: "
                "finished cases are kept."
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; it leaves instead."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _prepare_case(source: Source, store: Path, case: str, prefix: str, update: bool) -> _Outcome:
    opened = Store(store)
    try:
        found = source.read(case)
        named = replace(found, name=prefix + found.name)
        before = opened.written(named.name)
        opened.add(named, update=update)
        if before is None:
            return _Outcome("added")
        return _Outcome("kept" if before == opened.written(named.name) else "updated")
    except OutputError:
        raise
    except SegevolutionError as error:
        return _Outcome("failed", str(error))
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        return _Outcome("failed", f"{type(error).__name__}: {error}")
