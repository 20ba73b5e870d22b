"""Print the tables of explanation/what_adaptation_gains.md from the folder of a study: what it gains and costs."""

import json
import sys
from pathlib import Path

import pandas as pd

from segevolution.evaluation.cells import difference_cells
from segevolution.evaluation.statistics import difference, estimate

PROMPTS = ("text", "point", "box", "text+box")


def main(study: Path, ct: str = "btcv") -> None:
    """Dice on MRI, change of CT, differences against training from scratch, and costs, a row a method.

    Which of the differences are decided, corrected for their number, stands in the study's report.md.
    """
    table = pd.read_parquet(study / "results.parquet")
    methods = list(dict.fromkeys(table["method"]))
    mri, old = table[table["dataset"] != ct], table[table["dataset"] == ct]
    rows = []
    for method in methods:
        mine = mri[mri["method"] == method]
        cells = [_mean(mine[mine["prompt"] == prompt]) for prompt in PROMPTS]
        cells += [_change(old[old["prompt"] == prompt], method, "base") for prompt in ("text", "text+box")]
        rows.append((method, *cells))
    _print(("method", *PROMPTS, "CT, text", "CT, text+box"), rows)
    for scratch in (name for name in methods if name.startswith("scratch")):
        shots = scratch.removeprefix("scratch")  # as many patients, in words
        compared = [name for name in methods if name.endswith(shots) and name not in ("base", scratch)]
        rows = [
            (name, *(_change(mri[mri["prompt"] == prompt], name, scratch) for prompt in PROMPTS)) for name in compared
        ]
        _print((f"against {scratch}", *PROMPTS), rows)
    _print(("run", "trained values", "adapter, MB", "seconds a step"), _costs(study))


def _mean(rows: pd.DataFrame) -> str:
    found = estimate(rows)
    if not found.shown:
        return "–" if found.patients == 0 else f"{found.mean:.2f}"
    return f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _change(rows: pd.DataFrame, method: str, reference: str) -> str:
    if method == reference:
        return _mean(rows[rows["method"] == reference])
    change, _ = difference_cells(difference(rows, method, reference))
    return change


def _costs(study: Path) -> list[tuple[str, ...]]:
    found = []
    for run in sorted((study / "models").iterdir()):
        told = run / "fit" / "fit.json"
        if "." in run.name or not told.is_file():
            continue
        result = json.loads(told.read_text("utf-8"))["result"]
        size = sum(path.stat().st_size for path in (run / "adapter").rglob("*") if path.is_file()) / 1e6
        pace = result["seconds"] / result["step"]
        found.append((run.name, f"{result['trained_parameters']:,}", f"{size:.1f}", f"{pace:.1f}"))
    return found


def _print(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (columns, ("---",) * len(columns), *rows):
        print(f"| {' | '.join(row)} |")
    print()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
