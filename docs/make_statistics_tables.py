"""Simulate what the statistics promise, and print the tables of explanation/honest_comparison.md.

    python docs/make_statistics_tables.py            (some ten minutes of one CPU core; --studies 300 for a first look)

"Before" is what this package did at first: the percentile bootstrap over patients, and "use it" where the interval of
any of six kinds of prompt lay above zero and CT fell by no more than .02 in the mean. It lives here alone.
"""

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import stats

from segevolution.adaptation.evidence import VerdictEvidence, VerdictRow, corrected
from segevolution.adaptation.verdict import Recommendation, advise
from segevolution.evaluation.intervals import fold_variance, interval_of
from segevolution.evaluation.retention import Retention
from segevolution.evaluation.significance import equivalence
from segevolution.evaluation.statistics import difference_of, estimate_of

Numbers = npt.NDArray[np.float64]
Bounds = tuple[float, float]

PATIENTS = (4, 5, 6, 7, 10, 14, 20)
KINDS = ("text", "point", "box", "text+point", "text+box", "point+box")
DRAWN: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Numbers], float]] = {
    "normal": (lambda rng, size: rng.normal(0.05, 0.1, size), 0.05),
    "skewed to losses": (lambda rng, size: -0.1 * rng.gamma(4, size=size), -0.4),
    "skewed to gains": (lambda rng, size: rng.beta(1.5, 6, size), 0.2),
    "a tenth fails": (
        lambda rng, size: np.where(rng.random(size) < 0.1, -0.8, 0.05) + rng.normal(0, 0.02, size),
        0.9 * 0.05 - 0.1 * 0.8,
    ),
}


def percentile(sample: Numbers) -> Bounds:
    """The percentile bootstrap, as before."""
    drawn = np.random.default_rng(0).integers(0, sample.size, (2000, sample.size))
    low, high = np.quantile(sample[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def student(sample: Numbers) -> Bounds:
    """Student's t alone."""
    reach = float(stats.t.ppf(0.975, sample.size - 1)) * float(sample.std(ddof=1)) / sample.size**0.5
    return float(sample.mean()) - reach, float(sample.mean()) + reach


def ours(sample: Numbers) -> Bounds:
    """The wider of Student's t and the studentised bootstrap."""
    found = interval_of(sample, ())
    return found.low, found.high


def coverage(studies: int) -> list[tuple[str, ...]]:
    """How often each interval holds the true mean."""
    rows = []
    for kind, (draw, truth) in DRAWN.items():
        for name, method in (("percentile bootstrap", percentile), ("Student's t", student), ("now", ours)):
            cells = []
            for patients in PATIENTS:
                samples = draw(np.random.default_rng(patients), (studies, patients))
                bounds = [method(sample) for sample in samples]
                cells.append(f"{np.mean([low <= truth <= high for low, high in bounds]):.2f}")
            rows.append((kind, name, *cells))
    return rows


def folds(studies: int) -> list[tuple[str, ...]]:
    """How often the interval holds the mean over patients and trainings, where each fold is a training of its own."""
    rows = []
    for spread in (0.0, 0.02, 0.05):
        for count, patients in ((2, 14), (3, 9), (4, 14)):
            rng, place = np.random.default_rng(1), np.arange(patients) % count
            hits: dict[bool, list[bool]] = {False: [], True: []}
            for _ in range(studies):
                values = 0.05 + rng.normal(0, spread, count)[place] + rng.normal(0, 0.05, patients)
                part = fold_variance(values, place.tolist())
                for with_folds in hits:
                    found = interval_of(values, [part] if with_folds and part is not None else [])
                    hits[with_folds].append(found.low <= 0.05 <= found.high)
            told = (f"{np.mean(hits[False]):.2f}", f"{np.mean(hits[True]):.2f}")
            rows.append((f"{spread:g}", str(count), str(patients), *told))
    return rows


def verdicts(studies: int) -> list[tuple[str, ...]]:
    """How often "use it" is said where adapting changes nothing, and where CT truly lost .02."""
    rows = []
    still = np.linspace(-0.002, 0.002, 6)
    for patients in (6, 9, 14):
        rng = np.random.default_rng(patients)
        before, now = [], []
        for _ in range(studies):
            changes = rng.normal(0, 0.04, patients) + rng.normal(0, 0.04, (len(KINDS), patients))
            before.append(_before(changes, still))
            now.append(_now(changes, still))
        rows.append(("nothing changes", str(patients), *_shares(before, now)))
    for patients in (6, 14):
        rng = np.random.default_rng(patients)
        gain = np.full((len(KINDS), 8), 0.2)
        losses = rng.normal(-0.02, 0.02, (studies, patients))
        before, now = [_before(gain, loss) for loss in losses], [_now(gain, loss) for loss in losses]
        rows.append(("MRI gains, CT truly lost 0.02", str(patients), *_shares(before, now)))
    return rows


def _before(changes: Numbers, ct: Numbers) -> bool:
    bounds = [percentile(values) for values in changes]
    gained = any(low > 0 and values.mean() >= 0.01 for (low, _), values in zip(bounds, changes, strict=True))
    fell = any(high < 0 and values.mean() <= -0.01 for (_, high), values in zip(bounds, changes, strict=True))
    return gained and not fell and float(ct.mean()) >= -0.02


def _now(changes: Numbers, ct: Numbers) -> bool:
    level = estimate_of([0.5] * changes.shape[1], ())
    rows = [
        VerdictRow("ours", "MRI", kind, level, level, difference_of(values, ()), retention=False)
        for kind, values in zip(KINDS, changes, strict=True)
    ]
    tested = equivalence(ct, 0.02, ())
    kept = Retention("lora", "base", "ct", "CT", difference_of(ct, ()), tested, False, tested.p, len(ct))
    measured = VerdictEvidence(difference_of(changes.mean(axis=0), ()), tuple(corrected(rows)), (), (kept,))
    return advise(measured).answer is Recommendation.USE


def _shares(*answers: list[bool]) -> tuple[str, ...]:
    return tuple(f"{100 * np.mean(told):.0f} %" for told in answers)


def main() -> None:
    """Print every table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2000, help="replicates of each cell (2000)")
    studies = parser.parse_args().studies
    _print(("differences", "interval", *(f"n = {count}" for count in PATIENTS)), coverage(studies))
    _print(("spread of trainings", "folds", "patients", "patients alone", "with the folds"), folds(studies))
    _print(("truth", "patients", '"use it" before', '"use it" now'), verdicts(studies))


def _print(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (columns, ("---",) * len(columns), *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


if __name__ == "__main__":
    main()
