"""Training with more cases than memory holds: steps a second and peak memory, streamed against all in memory.

Cases are copies of one noisy CT of 13 classes, written by the store under names of their own, thin so that many are
made in a minute. Each way trains the same tiny network by `training.fit` with the same seed in a process of its own:
what a step costs is drawing its views, which is where streaming can lose. Ways take turns, so that whatever else the
machine does falls upon both alike; the first round, which makes the framed copies, is not timed.

- in memory: every case framed and kept, as training did before it streamed.
- streamed: read by part from the framed copies beside the store, with a cache of --cache megabytes.

"peak gigabytes" is of the process, with python and torch in it, which "idle gigabytes" is without cases; the ratio of
memory is without it. "start seconds" is the time to the first step. The 20 steps after that are not timed.

With --extrapolate, rows for more cases follow that were not measured: a line through the two largest counts of cases.
`--shape 512 512 120 --cases 2 4 8 --extrapolate 200 400 800` is a study of CT as large as the seed's.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from measuring import arguments, begin, peak_gigabytes, show
from store import noisy_case
from torch import Tensor

from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Triple
from segevolution.inference.strategies import strategy_of
from segevolution.models.backbone import Features
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.training.batches import CaseGroup
from segevolution.training.case_groups import framed, load_group
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

WAYS = ("in memory", "streamed")
COUNTS = (10, 100, 1000)
SHAPE: Triple = (128, 128, 24)  # (X, Y, Z); 1.2 MB a case in memory
UNTIMED = 20  # steps


@dataclass(frozen=True)
class Row:
    """One way with one number of cases; ratios are to "in memory" with as many. Goals: 0.8 of its speed."""

    cases: int
    way: str
    steps_a_second: float
    peak_gigabytes: float
    idle_gigabytes: float
    start_seconds: float
    speed_ratio: float = 1.0
    memory_ratio: float = 1.0
    measured: bool = True


class ClockedBackbone(TinyBackbone):
    """A tiny network that notes when each step begins; one encoding is one step."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.moments: list[float] = []

    def encode(self, images: Tensor, modalities: Sequence[Modality | None]) -> Features:
        """See BackboneModule."""
        self.moments.append(time.perf_counter())
        return super().encode(images, modalities)


def make_store(folder: Path, case: Case, count: int) -> Store:
    """A store of so many copies of a case."""
    store = Store.create(folder)
    for number in range(count):
        store.add(replace(case, name=f"case{number:04}", patient=f"patient{number:04}"))
    return store


def measure(way: str, store: Store, *, steps: int, cache: float, workers: int) -> Row:
    """Train with all cases of a store in this process."""
    model = ClockedBackbone(TinyConfig(window=(8, 64, 64), seed=0))
    idle, began = peak_gigabytes(), time.perf_counter()
    settings = FitSettings(steps=UNTIMED + steps, cache_megabytes=cache, workers=workers, checkpoint_every=10**6)
    if way == "streamed":
        group = load_group(store, store.names, model.spec)
    else:
        strategy = strategy_of(model.spec)
        cases = framed(store, store.names, lambda volume: strategy.prepare(volume, model.spec), model.spec.structures)
        group = CaseGroup(tuple(cases))
    with tempfile.TemporaryDirectory() as folder:
        fit(model, [group], settings, Path(folder), device="cpu", quiet=True)
    moments = model.moments[-steps - 1 :]
    rate = (len(moments) - 1) / (moments[-1] - moments[0])
    return Row(len(store), way, rate, peak_gigabytes(), idle, model.moments[0] - began)


def measure_apart(store: Store, options: argparse.Namespace) -> list[Row]:
    """Both ways in processes of their own, in turns; the first turn of each makes or warms files and is left out."""
    rounds: list[dict[str, Row]] = []
    for _ in range(options.rounds + 1):
        rounds.append({})
        for way in WAYS:
            line = [sys.executable, __file__, "--alone", way, "--store", str(store.path)]
            line += ["--steps", str(options.steps), "--cache", str(options.cache), "--threads", str(options.threads)]
            line += ["--workers", str(options.workers)]
            output = subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout
            rounds[-1][way] = Row(**json.loads(output))
    return [_median([each[way] for each in rounds[1:]], [each[WAYS[0]] for each in rounds[1:]]) for way in WAYS]


def _median(rows: Sequence[Row], bases: Sequence[Row]) -> Row:
    """The median round of a way, and its ratios to the baseline of the same round."""
    names = ("steps_a_second", "peak_gigabytes", "idle_gigabytes", "start_seconds")
    values = {name: statistics.median(getattr(row, name) for row in rows) for name in names}
    pairs = list(zip(rows, bases, strict=True))
    speed = statistics.median(row.steps_a_second / base.steps_a_second for row, base in pairs)
    memory = statistics.median(_used(row) / _used(base) for row, base in pairs)
    return replace(rows[0], **values, speed_ratio=speed, memory_ratio=memory)


def _used(row: Row) -> float:
    return max(row.peak_gigabytes - row.idle_gigabytes, 1e-6)


def extrapolated(rows: Sequence[Row], counts: Sequence[int]) -> list[Row]:
    """Rows for more cases, their memory and start on a line through the two largest counts; speed is the last one's."""
    more = []
    for count in counts:
        pair = []
        for way in WAYS:
            first, last = sorted((row for row in rows if row.way == way), key=lambda row: row.cases)[-2:]
            share = (count - last.cases) / (last.cases - first.cases)
            changes = {
                name: getattr(last, name) + share * max(getattr(last, name) - getattr(first, name), 0.0)
                for name in ("peak_gigabytes", "start_seconds")
            }
            pair.append(replace(last, cases=count, measured=False, **changes))
        more += [replace(row, memory_ratio=_used(row) / _used(pair[0])) for row in pair]
    return more


def main() -> None:
    """Make stores in a temporary folder and measure both ways, or one of them here."""
    parser = arguments(__doc__, rounds=2)
    parser.add_argument("--cases", type=int, nargs="+", default=COUNTS, help="numbers of cases (10 100 1000)")
    parser.add_argument("--shape", type=int, nargs=3, default=SHAPE, help="of a case, X Y Z (128 128 24)")
    parser.add_argument("--steps", type=int, default=150, help="that are timed (150)")
    parser.add_argument("--cache", type=float, default=FitSettings().cache_megabytes, help="megabytes, when streaming")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare batches (0)")
    parser.add_argument("--extrapolate", type=int, nargs="+", default=(), help="more numbers, not measured")
    parser.add_argument("--alone", choices=WAYS, help="measure this way only, in this process, and print it as JSON")
    parser.add_argument("--store", type=Path, help="with --alone: the cases")
    options = parser.parse_args()
    begin(options.threads)
    if options.alone:
        store = Store.open(options.store)
        row = measure(options.alone, store, steps=options.steps, cache=options.cache, workers=options.workers)
        print(json.dumps(asdict(row)))
        return
    if options.toy:
        options.cases, options.shape, options.steps, options.rounds = (2, 4), (32, 32, 8), 3, 1
    if options.extrapolate and len(options.cases) < 2:
        parser.error("--extrapolate needs two numbers of cases that are measured.")
    case = noisy_case(tuple(options.shape))
    rows: list[Row] = []
    for count in options.cases:
        with tempfile.TemporaryDirectory() as folder:
            rows += measure_apart(make_store(Path(folder) / "store", case, count), options)
    rows += extrapolated(rows, options.extrapolate)
    show(rows, as_json=options.json, title="Training at scale (goals: 0.8 of the speed; 1,000 cases in under 2 GB)")


if __name__ == "__main__":
    main()
