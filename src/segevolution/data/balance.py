"""Choose the cases and structures of training so that no dataset, modality or structure drowns the others.

A sample is a pair of a case and a structure that it carries. Everything here is decided by a seed and names, so the
order in which records come changes nothing, and no draw depends on the one before it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import StoreError
from ..imaging.case import Part
from ..vocabulary import Modality
from .splits import PARTS, HasPerson, Person, Split, lot

Level = Literal["dataset", "modality", "structure"]
LEVELS: tuple[Level, ...] = ("dataset", "modality", "structure")

_DRAW = 0x5A3  # sets these draws apart from others that begin with the same seed, stream and step


@dataclass(frozen=True)
class Sample:
    """A structure of a case; both are there, since an absent structure is no sample."""

    case: str
    structure: str
    dataset: str
    modality: Modality | None


class HasStructures(HasPerson, Protocol):
    """The part of a `CaseRecord` that samples are made of."""

    @property
    def structures(self) -> Mapping[str, Collection[int]]:
        """Canonical name -> label values, of the structures that have a voxel."""
        ...


def samples(records: Iterable[HasStructures]) -> tuple[Sample, ...]:
    """Every (case, structure) that is there, sorted by dataset, case and structure."""
    case_samples = [
        Sample(record.name, structure, record.person[0], record.modality)
        for record in records
        for structure, values in record.structures.items()
        if values
    ]
    return tuple(sorted(case_samples, key=lambda sample: (sample.dataset, sample.case, sample.structure)))


def round_robin(records: Iterable[HasPerson], count: int, seed: int = 0) -> tuple[str, ...]:
    """Names of `count` cases, one from each dataset and modality in turn, in the order in which they are drawn.

    Within a dataset and modality, and among these, the order is random. One that runs dry drops out and the others
    go on. A larger count begins with the cases of a smaller one.

    Raises:
        StoreError: fewer than one case is asked for, or more than there are.
    """
    queues: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        queues[record.person[0], str(record.modality)].append(record.name)
    available = sum(map(len, queues.values()))
    if not 1 <= count <= available:
        raise StoreError(f"{count} cases were asked for, but there are {available}; ask for 1 to {available}.")
    turns = []
    for group, names in queues.items():
        shuffled = sorted((lot(seed, *group, name), name) for name in names)
        turns += [(place, lot(seed, *group), name) for place, (_, name) in enumerate(shuffled)]
    return tuple(name for _, _, name in sorted(turns)[:count])


def capped(
    records: Iterable[HasPerson],
    split: Split,
    caps: Mapping[Part, int],
    seed: int = 0,
    *,
    unit: Literal["patients", "cases"] = "patients",
) -> Split:
    """The split with at most so many patients (or cases) of each dataset in a part, chosen by lot.

    What a lower cap keeps, a higher one keeps too. What is left over is in no part.

    Args:
        records: at least those that the split names.
        caps: part -> the most of one dataset; parts that are not named stay whole.
        unit: what is counted; capped by cases, a patient may keep some of theirs.

    Raises:
        StoreError: a cap is negative or of no part, or the split names a case that has no record.
    """
    wrong = [f"{part}: {most}" for part, most in caps.items() if part not in PARTS or most < 0]
    if wrong:
        raise StoreError(f"{wrong[0]} is no cap; give train, validation or test a number of 0 or more.")
    of: dict[str, Person] = {record.name: record.person for record in records}
    cases_by_part = {}
    for part in PARTS:
        names: tuple[str, ...] = getattr(split, part)
        lost = [name for name in names if name not in of]
        if lost:
            raise StoreError(
                f"the split names {lost[0]}, which is not among the {len(of)} cases; is it another store's?"
            )
        cases_by_part[part] = _first(names, of, caps[part], seed, unit) if part in caps else names
    return Split(**cases_by_part)


def weights(
    drawn: Sequence[Sample],
    by: Sequence[Level] = LEVELS,
    power: float = 1.0,
    masses: Sequence[float] | None = None,
) -> npt.NDArray[np.float64]:
    """The chance of each sample, level by level: datasets first, then modalities within each, then structures.

    At each level a group of mass m gets the share m^(1 - power) among the groups beside it: power 0 leaves every sample
    its mass, 1 draws the groups evenly, and what lies between is a compromise (as Conneau and Lample 2019,
    arXiv:1901.07291, draw languages of unequal size). Within the last level's groups the masses decide.

    Args:
        drawn: what to draw from.
        by: the levels from the outermost in; each is balanced within the one before it.
        power: 0 to 1.
        masses: (samples,), how much each counts, above zero; None counts all alike.

    Returns:
        (samples,), sums to 1.

    Raises:
        StoreError: there is no sample, a level is unknown or named twice, or the power is out of range.
    """
    if not drawn:
        raise StoreError("there is no sample to weigh; no case carries a structure.")
    if not set(by) <= set(LEVELS) or len(set(by)) < len(by) or not 0 <= power <= 1:
        raise StoreError(
            f"samples cannot be weighed by {', '.join(by)} to the power {power:g}; "
            f"name some of {', '.join(LEVELS)}, each once, and a power from 0 to 1."
        )
    chances = np.array(np.ones(len(drawn)) if masses is None else masses, np.float64)
    paths = [tuple(str(getattr(sample, level)) for level in by) for sample in drawn]
    group_mass: dict[tuple[str, ...], float] = defaultdict(float)
    for path, mass in zip(paths, chances, strict=True):
        for depth in range(len(by) + 1):
            group_mass[path[:depth]] += mass
    beside: dict[tuple[str, ...], float] = defaultdict(float)  # what the shares of the groups within one sum to
    for group, mass in group_mass.items():
        if group:
            beside[group[:-1]] += mass ** (1 - power)
    for place, path in enumerate(paths):
        chances[place] /= group_mass[path]
        for depth in range(1, len(by) + 1):
            chances[place] *= group_mass[path[:depth]] ** (1 - power) / beside[path[: depth - 1]]
    shares: npt.NDArray[np.float64] = chances / chances.sum()
    return shares


def draw(chances: npt.NDArray[np.float64], step: int, seed: int = 0, *, stream: int = 0, size: int = 1) -> list[int]:
    """The places of the samples of a step, drawn with replacement by their chances.

    They depend on these numbers alone, so any worker or process that is asked for a step draws the same.

    Args:
        chances: (samples,), as `weights` gives them.
        step: of the training.
        stream: the process' rank, so that processes draw apart.
        size: samples a step.
    """
    places = np.random.default_rng([seed, stream, step, _DRAW]).choice(len(chances), size, p=chances)
    return [int(place) for place in places]


def _first(
    names: Iterable[str], of: Mapping[str, Person], most: int, seed: int, unit: Literal["patients", "cases"]
) -> tuple[str, ...]:
    """The names of the first patients or cases of each dataset in the order of the lot."""
    datasets: dict[str, dict[tuple[str, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in names:
        person = of[name]
        datasets[person[0]][person if unit == "patients" else (*person, name)].append(name)
    return tuple(
        name
        for units in datasets.values()
        for key in sorted(units, key=lambda key: lot(seed, *key))[:most]
        for name in units[key]
    )
