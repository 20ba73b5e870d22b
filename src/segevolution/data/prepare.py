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
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ..errors import OutputError, SegevolutionError, StoreError
from ..imaging.case import Part
from ..imaging.signal_checks import signal_doubts
from .audit.intensity import outlying
from .record import CaseRecord
from .sources import Decision, Source
from .sources.collection import datasets_of, decisions_of, identity_of
from .sources.naming import contents
from .splits import PARTS, Split
from .store import Store
from .stored_images import another_image, changed_image, stored_names

# Told after each case: how many are done, how many there are, and the name of the case.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PrepareReport:
    """What became of each case of a source.

    Attributes:
        added: written by this run.
        kept: in the store before, and left as they were.
        failed: case -> why it was skipped.
        notes: case -> what is odd about a case that is in the store: its reader's remark, then doubts about its signal.
        updated: in the store before, replaced by what the source holds now.
        decisions: what the source took for granted, changed or left out: names of labels, unions, files and channels
            that are not read, and which file is of which patient.
    """

    added: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    updated: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()

    @property
    def usable(self) -> int:
        """How many cases of the source are in the store now."""
        return len(self.added) + len(self.kept) + len(self.updated)


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
    split: Split | None = None,
) -> PrepareReport:
    """Write every case of a source into a store.

    Args:
        workers: processes that read and write; the result is the same for any number.
        strict: stop at the first case that cannot be used.
        prefix: put before each case's name in the store, where two datasets use the same names.
        only: the cases to prepare; None takes all.
        update: read the cases that are in the store again, and replace those that differ or are damaged.
        split: who is in which part, in names of cases or of their files; only these are prepared, and their records
            carry the part.

    Raises:
        StoreError: with `strict`, for the first bad case; a worker was killed; the source holds no case; or the split
            names none of its cases.
        OutputError: the store cannot be written; what is in it stays, so that the run can go on later.
    """
    index = require_cases(source)
    parts = _parts(source, index, split)
    store.sweep()
    decisions = decisions_of(source)
    facts = {"source": source.name, "licence": source.licence}
    datasets = datasets_of(source)
    for dataset in datasets:
        if store.datasets.get(dataset) != facts:
            store.describe(dataset, facts)
        store.note_decisions(dataset, [asdict(decision) for decision in decisions])
    wanted_cases = [case for case in index if (only is None or case in only) and (split is None or case in parts)]
    outcomes: dict[str, _CaseOutcome] = {}
    todo = []
    names = stored_names(source, store, wanted_cases, prefix)
    for case, name in names.items():
        if name not in store:
            todo.append(case)
            continue
        record, image = store.record(name), identity_of(source, case)
        if record.dataset not in datasets:
            reason = f"the store has a case of this name of dataset {record.dataset}; prepare with --prefix."
            outcomes[name] = _CaseOutcome("failed", reason)
        elif (reason_against := another_image(record, image)) is not None:
            outcomes[name] = _CaseOutcome("failed", reason_against)
        elif update:
            todo.append(case)
        else:
            outcomes[name] = _CaseOutcome("kept", changed_image(record, image))
    stop = strict and any(outcome.kind == "failed" for outcome in outcomes.values())
    with closing(
        _outcomes(source, store, [] if stop else todo, _PrepareOptions(names, update, parts), workers)
    ) as finished:
        for number, (case, outcome) in enumerate(finished, start=len(outcomes) + 1):
            outcomes[names[case]] = outcome
            if progress is not None:
                progress(number, len(wanted_cases), names[case])
            if strict and outcome.kind == "failed":
                break
    store.refresh()
    report = replace(_report(store, dict(sorted(outcomes.items())), update), decisions=decisions)
    _note_skipped(store, source.dataset, report)
    if strict and report.failed:
        name, reason = next(iter(report.failed.items()))
        raise StoreError(f"stopped at case {name} because of --strict: {reason}")
    return report


def require_cases(source: Source) -> Sequence[str]:
    """The names of a source's cases; StoreError, which says what lies there, where it has none."""
    index = source.index()
    if not index:
        raise StoreError(f"no case was found in the layout {source.name}{_where(source)}.")
    return index


@dataclass(frozen=True)
class _PrepareOptions:
    """How cases are put into the store; see `prepare`."""

    names: Mapping[str, str]
    update: bool
    parts: Mapping[str, Part]


def _parts(source: Source, index: Sequence[str], split: Split | None) -> dict[str, Part]:
    """Case -> its part, by the names of cases or of their files."""
    if split is None:
        return {}
    part_of = {name: part for part in PARTS for name in getattr(split, part)}
    # A case of one channel of several is named after its file, then the channel.
    part_by_case = {case: part_of.get(case) or part_of.get(_file_of(case, part_of)) for case in index}
    parts = {case: part for case, part in part_by_case.items() if part is not None}
    if not parts:
        some = ", ".join(list(part_of)[:3])
        raise StoreError(f"the split names none of the {len(index)} cases{_where(source)}; it names {some} ...")
    return parts


def _file_of(case: str, names: Collection[str]) -> str:
    """The longest of the names that a case's name begins with, up to an underscore; "" where there is none."""
    while "_" in case:
        case = case.rpartition("_")[0]
        if case in names:
            return case
    return ""


def _where(source: Source) -> str:
    """What lies where a source looked: its folder, or those of images and labels in it."""
    folder = getattr(source, "path", None)
    if not isinstance(folder, Path):
        return ""
    inner = [path for name in ("imagesTr", "images", "labelsTr", "labels") if (path := folder / name).is_dir()]
    return f": {' and '.join(f'{path} holds {contents(path)}' for path in inner or [folder])}"


@dataclass(frozen=True)
class _CaseOutcome:
    kind: Literal["added", "kept", "updated", "failed"]
    reason: str = ""


def _report(store: Store, outcomes: Mapping[str, _CaseOutcome], update: bool) -> PrepareReport:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, outcome in outcomes.items():
        by_kind[outcome.kind].append(name)
    changed = {name: outcomes[name].reason for name in by_kind["kept"] if outcomes[name].reason}
    stored_records = {name: store.record(name) for name, outcome in outcomes.items() if outcome.kind != "failed"}
    return PrepareReport(
        added=tuple(by_kind["added"]),
        kept=tuple(by_kind["kept"]),
        failed={name: outcomes[name].reason for name in by_kind["failed"]},
        notes=_notes(stored_records, {} if update else newer(store, by_kind["kept"]) | changed),
        updated=tuple(by_kind["updated"]),
    )


def _note_skipped(store: Store, dataset: str, report: PrepareReport) -> None:
    """Keep the reasons beside the cases; those of cases that this run did not look at stay."""
    reported_cases = {*report.added, *report.kept, *report.updated, *report.failed}
    before = store.skipped.get(dataset, {})
    store.note_skipped(
        dataset, {name: why for name, why in before.items() if name not in reported_cases} | dict(report.failed)
    )


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
    reasons = {name: (record.remark, odd.get(name), changed.get(name)) for name, record in sorted(records.items())}
    return {name: " ".join(filter(None, sentences)) for name, sentences in reasons.items() if any(sentences)}


def _outcomes(
    source: Source, store: Store, todo: list[str], how: _PrepareOptions, workers: int
) -> Generator[tuple[str, _CaseOutcome], None, None]:
    """Each case and what became of it, as they are finished."""
    if workers <= 1 or len(todo) <= 1:
        for case in todo:
            yield case, _prepare_case(source, store.path, case, how)
        return
    # Spawned, not forked: a forked copy of a process with threads (torch, blosc2) may hang.
    context = multiprocessing.get_context("spawn")
    # The source goes to each worker once: with its list of files it may be large.
    start = partial(_start_worker, source, store.path, how)
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context, initializer=start) as pool:
        futures = {pool.submit(_prepare_in_worker, case): case for case in todo}
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


_WORK: list[tuple[Source, Path, "_PrepareOptions"]] = []


def _start_worker(source: Source, store: Path, how: _PrepareOptions) -> None:
    """What a worker process does all its life, kept in it."""
    _WORK[:] = [(source, store, how)]
    _leave_with_parent()


def _prepare_in_worker(case: str) -> "_CaseOutcome":
    source, store, how = _WORK[0]
    return _prepare_case(source, store, case, how)


def _leave_with_parent() -> None:
    """A worker whose parent was killed would wait for work for ever; it leaves instead."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _prepare_case(source: Source, store: Path, case: str, how: _PrepareOptions) -> _CaseOutcome:
    opened = Store(store)
    try:
        prepared_case = source.read(case)
        remark = ". ".join(
            filter(
                None, (prepared_case.remark and prepared_case.remark.rstrip("."), *signal_doubts(prepared_case.volume))
            )
        )
        renamed_case = replace(
            prepared_case,
            name=how.names[case],
            part=how.parts.get(case, prepared_case.part),
            remark=f"{remark}." if remark else None,
        )
        before = opened.written(renamed_case.name)
        opened.add(renamed_case, update=how.update, image=identity_of(source, case))
        if before is None:
            return _CaseOutcome("added")
        return _CaseOutcome("kept" if before == opened.written(renamed_case.name) else "updated")
    except OutputError:
        raise
    except SegevolutionError as error:
        return _CaseOutcome("failed", str(error))
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        return _CaseOutcome("failed", f"{type(error).__name__}: {error}")
