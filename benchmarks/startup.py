"""How long the command line takes to help, beside an interpreter that does nothing, and to give a first answer.

Goals: --help under half a second; a cold `segment` of a small CT at most 2.2 times a bare `import torch`.

Baseline: `python -c pass` of the same interpreter, in turns with it. The difference is what the package costs before
anyone has asked it for anything. `import typer, rich` stands beside it: that share is not ours. Processor seconds
are what the wall would show on an idle machine with its files in memory.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from measuring import Spent, arguments, clocked, show

BASELINE = "python -c pass"
TORCH, ANSWER = 'python -c "import torch"', "segevolution segment ct.nii.gz --text liver"


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
    folder = Path(tempfile.mkdtemp())
    _write_scan(folder / "ct.nii.gz")
    script = Path(sys.executable).with_name("segevolution")
    ours = [str(script)] if script.exists() else [sys.executable, "-m", "segevolution.cli.app"]
    return {
        BASELINE: [sys.executable, "-c", "pass"],
        'python -c "import typer, rich"': [sys.executable, "-c", "import typer, rich"],
        "segevolution --help": [*ours, "--help"],
        "segevolution segment --help": [*ours, "segment", "--help"],
        TORCH: [sys.executable, "-c", "import torch"],
        ANSWER: [*ours, "segment", str(folder / "ct.nii.gz"), "--text", "liver", "--quiet", "--force"],
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


def _write_scan(path: Path) -> None:
    """A small made CT: a body with a liver in it, 96 x 96 x 48 voxels of 4 x 4 x 5 mm."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in (96, 96, 48)), indexing="ij")
    signal = np.where((x / 0.9) ** 2 + (y / 0.7) ** 2 < 1, 40, -1000)
    signal = np.where(((x - 0.35) / 0.45) ** 2 + ((y - 0.05) / 0.4) ** 2 + (z / 0.6) ** 2 < 1, 110, signal)
    affine = np.diag([-4.0, -4.0, 5.0, 1.0])
    nib.save(nib.Nifti1Image(signal.astype(np.int16), affine), path)


def _run(line: list[str]) -> Spent:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    wall = clocked(lambda: subprocess.run(line, check=True, capture_output=True)).wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)


def main() -> None:
    """Measure all commands."""
    options = arguments(__doc__, rounds=7, toy=False).parse_args()
    rows = measure(commands(), rounds=options.rounds)
    torch, answer = (next(row for row in rows if row.command == name) for name in (TORCH, ANSWER))
    if not options.json:
        print(
            f"first answer / import torch: {answer.cpu_seconds / torch.cpu_seconds:.2f} (goal 2.2), by processor time"
        )
    show(rows, as_json=options.json, title="Starting the command line (goal: --help under 0.5 s)")


if __name__ == "__main__":
    main()
