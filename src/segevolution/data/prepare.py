"""From a source to a store: in parallel, resumable, and nothing lost in silence.

Cases that the store holds are kept as they are, so a run that was stopped, or killed, goes on where it was. A case that
cannot be used is skipped with its reason. One whose intensities are far from the others of its dataset is kept as
measured and noted.
"""

import multiprocessing
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import OutputError, SegevolutionError, StoreError
from ..vocabulary import Modality
from .record import CaseRecord
from .sources import Source
from .sources.base import datasets_of
from .store import Store

# Told after each case: how many are done, how many there are, and the name of the case.
Progress = Callable[[int, int, str], None]

# A signal this many times stronger or weaker than its dataset's median is on another scale.
_OUTLYING = 20.0


@dataclass(frozen=True)
class PrepareReport:
    """What became of each case of a source.

    Attributes:
        added: written by this run.
        kept: in the store before.
        failed: case -> why it was skipped.
        notes: case -> what is odd about a case that is in the store.
    """

    added: tuple[str, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


def prepare(
    source: Source,
    store: Store,
    *,
    workers: int = 1,
    strict: bool = False,
    progress: Progress | None = None,
    prefix: str = "",
    only: Collection[str] | None = None,
) -> PrepareReport:
    """Write every case of a source into a store.

    Args:
        workers: processes that read and write; the result is the same for any number.
        strict: stop at the first case that cannot be used.
        prefix: put before each case's name in the store, where two datasets use the same names.
        only: the cases to prepare; None takes all.

    Raises:
        StoreError: with `strict`, for the first bad case; or a worker was killed.
        OutputError: the store cannot be written; what is in it stays, so that the run can go on later.
    """
    store.sweep()
    datasets = datasets_of(source)
    for dataset in datasets:
        store.describe(dataset, {"source": source.name, "licence": source.licence})
    wanted = [case for case in source.index() if only is None or case in only]
    kept, failed, todo = [], {}, []
    for case in wanted:
        name = prefix + case
        if name not in store:
            todo.append(case)
        elif store.record(name).dataset in datasets:
            kept.append(name)
        else:
            failed[name] = (
                f"the store has a case of this name of dataset {store.record(name).dataset}; prepare with --prefix."
            )
    added = []
    for done, (case, reason) in enumerate(
        _outcomes(source, store, todo, prefix, workers), start=len(wanted) - len(todo)
    ):
        name = prefix + case
        if reason is None:
            added.append(name)
        else:
            failed[name] = reason
        if progress is not None:
            progress(done + 1, len(wanted), name)
        if strict and reason is not None:
            break
    if strict and failed:
        name, reason = next(iter(failed.items()))
        raise StoreError(f"stopped at case {name} because of --strict: {reason}")
    notes = outlying({name: store.record(name) for name in (*added, *kept)})
    return PrepareReport(tuple(sorted(added)), tuple(sorted(kept)), dict(sorted(failed.items())), notes)


def outlying(records: Mapping[str, CaseRecord]) -> dict[str, str]:
    """Cases whose 99.5th percentile is far from their peers' median, each with a sentence.

    Peers share dataset, modality and sequence. CT is left out: it has units.
    """
    groups: dict[tuple[object, ...], dict[str, float]] = defaultdict(dict)
    for name, record in records.items():
        if record.modality is not Modality.CT:
            groups[record.dataset, record.modality, record.sequence][name] = record.signal[3]
    notes = {}
    for group in groups.values():
        middle = float(np.median(list(group.values())))
        for name, high in group.items():
            if middle > 0 and not middle / _OUTLYING <= high <= middle * _OUTLYING:
                notes[name] = (
                    f"its signal reaches {high:.4g}, where {middle:.4g} is usual in its dataset; kept as measured."
                )
    return dict(sorted(notes.items()))


def _outcomes(
    source: Source, store: Store, todo: list[str], prefix: str, workers: int
) -> Iterator[tuple[str, str | None]]:
    """Each case with None, or the reason why it was skipped, as they are finished."""
    if workers <= 1 or len(todo) <= 1:
        for case in todo:
            yield case, _prepare_case(source, store.path, case, prefix)
        return
    # Spawned, not forked: a forked copy of a process with threads (torch, blosc2) may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        futures = {pool.submit(_prepare_case, source, store.path, case, prefix): case for case in todo}
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


def _prepare_case(source: Source, store: Path, case: str, prefix: str) -> str | None:
    try:
        found = source.read(case)
        Store(store).add(replace(found, name=prefix + found.name))
    except OutputError:
        raise
    except SegevolutionError as error:
        return str(error)
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        return f"{type(error).__name__}: {error}"
    return None
