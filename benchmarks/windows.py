"""Windows of zoom-in against each other: encodings, decodings, seconds and Dice, on the same questions.

"roi" lays windows round each coarse mask, as SegVol's authors do, and is the baseline; "lattice" takes them from a
fixed lattice, so that prompts share encodings; "central" takes the fewest of these; "focus" looks once at each
structure and its surroundings; "off" answers with the zoom-out alone. See inference/strategies/zoom.py.

The cases come from a store (`--store`, `--cases`) or are simulated; prompts are simulated from their labels. Dice
differences are paired by question and averaged by patient, with a 95 % interval from six patients on. Encodings
are counted over all prompts of a case together, since a prompt reuses what an earlier one encoded; "further percent" is
the time of a prompt after a case's first, in that of the first, which also encodes the whole scan.

segvol-mini has seen simulated CT with seeds 100000 to 299999 in training; the patients here are others.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pandas as pd
from measuring import arguments, begin, show

from segevolution.data.store import Store
from segevolution.data.synthesis.patients import simulate
from segevolution.evaluation.evaluate import Run, evaluate
from segevolution.evaluation.questions import Questions
from segevolution.evaluation.statistics import difference
from segevolution.imaging.case import Case
from segevolution.imaging.prompts import COMBINATIONS, Combination
from segevolution.inference.load import load
from segevolution.models.backbone import BackboneModule
from segevolution.models.hub import DEFAULT
from segevolution.models.spec import Windows

BASELINE: Windows = "roi"
WAYS: tuple[Windows, ...] = tuple(way for way in get_args(Windows) if way != "propagate")  # that is of 2-D networks
FIRST_SEED = 950_000


@dataclass(frozen=True)
class Row:
    """One way, over all prompts or one kind; ratio is time to "roi"; difference is Dice minus that of "roi"."""

    windows: str
    prompt: str
    prompts: int
    encodings: float
    further_percent: float
    decodings: int
    seconds: float
    ratio: float
    dice: float
    difference: float
    low: float
    high: float
    patients: int


def answers(
    backbone: BackboneModule, cases: Iterable[Case], kinds: tuple[Combination, ...], structures: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Rows of `evaluation.results`, whose method says which windows; the ways take turns case by case."""
    rows = []
    for case in cases:
        for way in WAYS:
            questions = Questions(prompts=kinds, structures=structures, windows=way, surface=False)
            rows += evaluate(backbone, case, Run(way, way, 0), questions, "").rows
    return pd.DataFrame(rows).assign(windows="")  # the method says which, so that ways are paired by question


def compare(table: pd.DataFrame) -> list[Row]:
    """Each way over all prompts, then by kind of prompt."""
    parts = [("all", table), *((kind, table[table["prompt"] == kind]) for kind in table["prompt"].unique())]
    return [_row(way, name, part) for name, part in parts for way in (BASELINE, *(w for w in WAYS if w != BASELINE))]


def _row(way: str, name: str, part: pd.DataFrame) -> Row:
    mine, base = (part[part["method"] == method] for method in (way, BASELINE))
    found = difference(part, way, BASELINE).estimate
    return Row(
        way,
        name,
        len(mine),
        float(mine["encodings"].sum()) if name == "all" else math.nan,
        _further_percent(mine) if name == "all" else math.nan,
        int(mine["decodings"].sum()),
        float(mine["seconds"].sum()),
        float(mine["seconds"].sum() / base["seconds"].sum()),
        float(mine["dice"].mean()),
        found.mean,
        found.low,
        found.high,
        found.patients,
    )


def _further_percent(rows: pd.DataFrame) -> float:
    """Mean over cases of the mean seconds after the first prompt, in percent of the first's."""
    shares = [
        100 * case["seconds"].iloc[1:].mean() / case["seconds"].iloc[0] for _, case in rows.groupby("case", sort=False)
    ]
    return float(pd.Series(shares).mean())


def cases_of(store: Path, names: Sequence[str]) -> Iterator[Case]:
    """The named cases of a store, or all."""
    opened = Store.open(store)
    for name in names or opened.names:
        yield opened.read(name)


def main() -> None:
    """Compare the ways on the cases that the arguments name."""
    parser = arguments(__doc__, rounds=None, toy=False)
    parser.add_argument("--model", default=DEFAULT, help=f"name or folder ({DEFAULT})")
    parser.add_argument("--store", type=Path, help="take cases from here instead of simulating them")
    parser.add_argument("--cases", nargs="*", default=(), help="of the store; all if none is named")
    parser.add_argument("--patients", type=int, default=3, help="to simulate (3)")
    parser.add_argument("--modality", default="CT", choices=("CT", "MRI"), help="of the simulated scans (CT)")
    parser.add_argument("--prompts", nargs="+", choices=COMBINATIONS, default=("text", "point", "box", "text+box"))
    parser.add_argument("--structures", nargs="*", default=(), help="all that a case has if none is named")
    options = parser.parse_args()
    begin(options.threads)
    cases = (
        cases_of(options.store, options.cases)
        if options.store
        else simulate(options.patients, FIRST_SEED, modality=options.modality)
    )
    table = answers(load(options.model, device="cpu"), cases, tuple(options.prompts), tuple(options.structures))
    title = f'Windows of zoom-in, {options.model}, {table["case"].nunique()} cases (baseline "{BASELINE}")'
    show(compare(table), as_json=options.json, title=title)


if __name__ == "__main__":
    main()
