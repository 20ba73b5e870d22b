"""Read the older intervals of explanation/what_adaptation_gains.md by today's rules, as far as printed numbers allow.

    python docs/reread_older_intervals.py

The values of the patients were not kept, so this is an approximation: the half width of a percentile bootstrap interval
is 1.96 standard errors with n in place of n - 1 in the variance; interval and p are Student's t from that error, p no
smaller than sign flips of n patients can give, and Holm's correction runs over all cells of a table.
"""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from scipy import stats

from segevolution.evaluation.significance import holm

PAGE = Path(__file__).parent / "explanation" / "what_adaptation_gains.md"
TABLES = {"| against scratch |": 14}
PROMPTS = ("text", "point", "box", "text+box")


def cells(page: str, heading: str) -> Iterator[tuple[str, str, float, float, float]]:
    """(method, prompt, mean, low, high) of a table."""
    for line in page[page.index(heading) :].split("\n\n")[0].splitlines()[2:]:
        method, *values = (cell.strip() for cell in line.strip("|").split("|"))
        for prompt, value in zip(PROMPTS, values, strict=True):
            mean, low, high = (float(number) for number in re.findall(r"[-+]\d\.\d+", value))
            yield method, prompt, mean, low, high


def main() -> None:
    """Print every cell whose verdict changed or that is undecided, and how many are decided."""
    page = PAGE.read_text("utf-8")
    for heading, patients in TABLES.items():
        found = list(cells(page, heading))
        errors = [(high - low) / 2 / 1.96 * math.sqrt(patients / (patients - 1)) for *_, low, high in found]
        p = {
            f"{method}, {prompt}": max(2 * float(stats.t.sf(abs(mean) / error, patients - 1)), 2 / 2**patients)
            for (method, prompt, mean, *_), error in zip(found, errors, strict=True)
        }
        corrected = holm(p)
        print(f"{heading.strip('| ')}, n = {patients}: {sum(value < 0.05 for value in corrected.values())} of {len(p)}")
        for (method, prompt, mean, low, high), error in zip(found, errors, strict=True):
            name = f"{method}, {prompt}"
            if corrected[name] >= 0.05:
                reach = float(stats.t.ppf(0.975, patients - 1)) * error
                before = "decided" if low > 0 or high < 0 else "undecided"
                bounds = f"[{low:+.3f}, {high:+.3f}] -> [{mean - reach:+.3f}, {mean + reach:+.3f}]"
                print(f"  {name}: {mean:+.3f} {bounds}, corrected p {corrected[name]:.3f}; was {before}")


if __name__ == "__main__":
    main()
