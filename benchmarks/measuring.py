"""What every benchmark shares: clocks, arguments, networks without training, and one way to print a table.

A number of seconds means something on one machine on one day only. So each script measures a named baseline in the
same run, in turns with what it judges, and prints the ratio of the two.
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.runtime import limit_threads

Precision = str
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


@dataclass(frozen=True)
class Spent:
    """Seconds of one piece of work: on the wall, and of all threads together on the processor."""

    wall: float
    cpu: float


Work = Callable[[], object]


def clocked(work: Work) -> Spent:
    """Do it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def in_turns(works: Mapping[str, Work], rounds: int) -> dict[str, list[Spent]]:
    """Do everything once to warm up, then in turns, so that whatever else the machine does falls upon all alike."""
    for work in works.values():
        work()
    spent: dict[str, list[Spent]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            spent[name].append(clocked(work))
    return spent


def median(spent: Sequence[Spent], clock: str = "wall") -> float:
    """Of one clock, seconds."""
    return statistics.median(getattr(one, clock) for one in spent)


def ratio(spent: Sequence[Spent], baseline: Sequence[Spent], clock: str = "wall") -> float:
    """Time over the baseline's time, the median over rounds."""
    pairs = zip(spent, baseline, strict=True)
    return statistics.median(getattr(one, clock) / getattr(base, clock) for one, base in pairs)


def network(*, toy: bool = False, kind: type[SegVol] = SegVol, blocks: int | None = None) -> SegVol:
    """SegVol in the published size with random weights, the same at every call.

    Args:
        toy: a tiny one, to try a script.
        kind: SegVol or a subclass.
        blocks: of the encoder; None = all.
    """
    words = WordTokenizer.of_vocabulary()
    config = toy_config(words.size) if toy else SegVolConfig.published()
    config = config if blocks is None else dataclasses.replace(config, depth=blocks)
    return kind.fresh(config, seed=0, tokenizer=words).eval()


def toy_config(vocabulary: int) -> SegVolConfig:
    """The published form as small as it goes."""
    text = TextConfig(vocabulary=vocabulary, width=16, layers=1, heads=2, mlp=32)
    return SegVolConfig(
        window=(8, 32, 32),
        patch=(4, 8, 8),
        width=48,
        depth=2,
        heads=4,
        mlp=96,
        decoder_heads=4,
        decoder_mlp=64,
        iou_hidden=16,
        text=text,
    )


def random_image(window: Sequence[int]) -> torch.Tensor:
    """(1, 1, D, H, W) in [0, 1]."""
    return torch.rand(1, 1, *window, generator=torch.Generator().manual_seed(0))


def autocast(precision: Precision) -> AbstractContextManager[None]:
    """The session's own: bf16 under autocast, or nothing."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def peak_gigabytes() -> float:
    """Of this process, at its largest; where the system can tell, without what its parent held when it began."""
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def apart(
    script: str, ways: Iterable[str], precision: Precision, options: argparse.Namespace, extra: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Every way of a script in a process of its own, one after the other; what `--alone` printed as JSON.

    Raises:
        subprocess.CalledProcessError: one of them failed; its traceback is on stderr.
    """
    rows = []
    for way in ways:
        line = [sys.executable, script, "--alone", way, "--precision", precision, "--threads", str(options.threads)]
        line += [*(["--toy"] if options.toy else []), *extra]
        rows.append(json.loads(subprocess.run(line, check=True, stdout=subprocess.PIPE).stdout))
    return rows


def arguments(about: str | None, *, rounds: int | None = 5, toy: bool = True) -> argparse.ArgumentParser:
    """The options that scripts share; `rounds` is None where everything is measured once."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="that torch may use (2)")
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"repetitions; the median counts ({rounds})")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    if toy:
        parser.add_argument("--toy", action="store_true", help="a tiny network, to try the script: no result")
    return parser


def begin(threads: int) -> None:
    """Fix threads and chance."""
    limit_threads(threads)
    torch.manual_seed(0)


def show(rows: Sequence[Any], *, as_json: bool, title: str, notes: str = "") -> None:
    """Print dataclass rows as a table under a line that says how busy the machine is, or as JSON."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    machine = f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores, load {load:.1f}"
    if as_json:
        print(json.dumps({"title": title, "machine": machine, "rows": [dataclasses.asdict(row) for row in rows]}))
        return
    names = [entry.name for entry in dataclasses.fields(rows[0])]
    cells = [[name.replace("_", " ") for name in names]]
    cells += [[_cell(getattr(row, name)) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    print(f"{title}\n({machine})")
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if notes:
        print(notes)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
