"""How long `segevolution --help` takes beside an interpreter that does nothing. Goal: under half a second.

Baseline: `python -c pass` of the same interpreter, in turns with it. The difference is what the package costs before
anyone has asked it for anything. `import typer, rich` stands beside it: that share is not ours. Processor seconds
are what the wall would show on an idle machine with its files in memory.
"""

import resource
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from measuring import Spent, arguments, clocked, show

BASELINE = "python -c pass"


@dataclass(frozen=True)
class Row:
    """One command; ratios are to BASELINE, by wall and by processor time."""

    command: str
    seconds: float
    cpu_seconds: float
    ratio: float
    cpu_ratio: float


def commands() -> dict[str, list[str]]:
    """Name -> command line; the console script beside this interpreter, or the module where it is not installed."""
    script = Path(sys.executable).with_name("segevolution")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "segevolution.cli.app"]
    return {
        BASELINE: [sys.executable, "-c", "pass"],
        'python -c "import typer, rich"': [sys.executable, "-c", "import typer, rich"],
        "segevolution --help": [*ours, "--help"],
        "segevolution segment --help": [*ours, "segment", "--help"],
    }


def measure(lines: dict[str, list[str]], *, rounds: int) -> list[Row]:
    """Each command `rounds` times, in turns; medians. A first round fills the file cache and is not counted.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    found: dict[str, list[Spent]] = {name: [] for name in lines}
    for number in range(rounds + 1):
        for name, line in lines.items():
            spent = _run(line)
            if number:
                found[name].append(spent)
    base = found[BASELINE]
    return [
        Row(
            name,
            statistics.median(one.wall for one in spent),
            statistics.median(one.cpu for one in spent),
            statistics.median(one.wall / other.wall for one, other in zip(spent, base, strict=True)),
            statistics.median(one.cpu / other.cpu for one, other in zip(spent, base, strict=True)),
        )
        for name, spent in found.items()
    ]


def _run(line: list[str]) -> Spent:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = clocked(lambda: subprocess.run(line, check=True, capture_output=True)).wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main() -> None:
    """Measure all commands."""
    options = arguments(__doc__, rounds=7, toy=False).parse_args()
    rows = measure(commands(), rounds=options.rounds)
    show(rows, as_json=options.json, title="Starting the command line (goal: --help under 0.5 s)")


if __name__ == "__main__":
    main()
