"""The same volume under two names, within and across stores: also resampled, cut, re-windowed or mirrored copies."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...imaging.grid import Array, Triple
from .entries import AuditedCase
from .findings import Finding
from .signatures import SPACINGS, Level, Signature, shape_of

# Measured on pairs of 137 real and simulated volumes and on made copies (docs/reference/findings.md): detail correlates
# with 0.66 at most between two patients, with 0.77 and more between a volume and its copy.
_LIKE = 0.6  # correlation of two descriptors that may be one point
_VOTES = 0.08  # of the points, and at least:
_FEWEST = 6
CORRELATION = 0.75
_HOPELESS = 0.3  # one voxel beside the right place, copies still correlate better
_SEARCH = 4  # steps of one coarse voxel
_OVERLAP = 0.15  # of the smaller volume
_MIRRORED_POINTS = 40  # the strongest, which are enough to suspect a mirrored copy

_MIRRORS: tuple[tuple[bool, bool, bool], ...] = tuple(
    (x, y, z) for x, y, z in itertools.product((False, True), repeat=3)
)


@dataclass(frozen=True)
class Match:
    """Two cases that hold one volume.

    Attributes:
        first, second: "store/case".
        correlation: of their detail where they overlap; 1 where all voxels are the same.
        same_voxels: whether all values are the same, up to order and scale.
        mirrored: along which axes the second is turned round against the first.
    """

    first: str
    second: str
    correlation: float
    same_voxels: bool
    mirrored: tuple[bool, bool, bool] = (False, False, False)

    @property
    def how(self) -> str:
        """In words, how alike they are."""
        axes = "".join(axis for axis, turned in zip("xyz", self.mirrored, strict=True) if turned)
        turned = f", mirrored along {' and '.join(axes)}" if axes else ""
        if self.same_voxels:
            return f"the same voxel values{turned}"
        return f"resampled, cut or re-windowed, correlation {self.correlation:.2f}{turned}"


def matches(
    entries: Sequence[AuditedCase],
    signatures: Mapping[str, Signature],
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Match, ...]:
    """All pairs of cases of different people that hold one volume, and of one person where all voxels are the same.

    Other sequences, frames and visits of one person look alike and are no duplicates.

    Args:
        signatures: "store/case" -> signature; cases without one are left out.
        progress: told how many cases are compared with all before them, and how many there are.
    """
    able = [entry for entry in entries if entry.name in signatures]
    pairs = []
    for number, second in enumerate(able):
        ours = signatures[second.name]
        for first in able[:number]:
            theirs = signatures[first.name]
            if theirs.values == ours.values:
                likeness = compare(theirs, ours)
                mirrored = likeness[1] if likeness else (False, False, False)
                pairs.append(Match(first.name, second.name, 1.0, True, mirrored))
            elif first.person != second.person and (likeness := compare(theirs, ours)):
                pairs.append(Match(first.name, second.name, likeness[0], False, likeness[1]))
        if progress is not None:
            progress(number + 1, len(able))
    return tuple(pairs)


def compare(first: Signature, second: Signature) -> tuple[float, tuple[bool, bool, bool]] | None:
    """Correlation and mirroring where both are one volume, else None; judged on the finest grid that they share."""
    level_pairs = [(first.at(spacing), second.at(spacing)) for spacing in SPACINGS]
    first_level, second_level = next((pair for pair in level_pairs if None not in pair), (None, None))
    if first_level is None or second_level is None:
        return None
    best: tuple[float, tuple[bool, bool, bool]] | None = None
    for mirror in _MIRRORS:
        shift = _voted(first_level, second_level, mirror)
        if shift is not None:
            correlation = _correlation(first_level, second_level, mirror, shift)
            if correlation >= CORRELATION and (best is None or correlation > best[0]):
                best = correlation, mirror
    return best


def check_duplicates(found: Sequence[Match], entries: Sequence[AuditedCase]) -> list[Finding]:
    """One finding a pair; where two datasets share many volumes, one for all of them."""
    of = {entry.name: entry for entry in entries}
    pairs: dict[tuple[str, str], list[Match]] = defaultdict(list)
    findings = []
    for match in found:
        first_case, second_case = of[match.first], of[match.second]
        if first_case.person == second_case.person:
            message = f"{match.first} and {match.second} are one volume of one patient, there twice ({match.how})."
            remedy = "Keep one: it counts twice in training and in every mean."
            findings.append(Finding("duplicates", "warning", (match.first, match.second), message, remedy))
        else:
            pairs[first_case.record.dataset, second_case.record.dataset].append(match)
    remedy = "Treat them as one patient: keep one, or keep both in one part of every split."
    for (dataset, second), members in pairs.items():
        if len(members) < 4:
            for match in members:
                message = f"{match.first} and {match.second} are one volume under two names ({match.how})."
                findings.append(Finding("duplicates", "warning", (match.first, match.second), message, remedy))
            continue
        cases = tuple(dict.fromkeys(name for match in members for name in (match.first, match.second)))
        first = members[0]
        where = f"of {dataset} are there under two names" if dataset == second else f"of {dataset} are in {second} too"
        message = (
            f"{len(members)} volumes {where}, for example {first.first} and {first.second} ({first.how}); all pairs: "
            f"{', '.join(f'{match.first} = {match.second}' for match in members)}."
        )
        findings.append(Finding("duplicates", "warning", cases, message, remedy))
    return findings


def _voted(first: Level, second: Level, mirror: tuple[bool, bool, bool]) -> Triple | None:
    """The shift on which enough points agree: a voxel of the mirrored second + shift = the voxel of the first."""
    turned = any(mirror)
    points, descriptors = second.points.astype(np.int64), second.descriptors
    if turned:
        points, descriptors = points[:_MIRRORED_POINTS], descriptors[:_MIRRORED_POINTS]
        points = np.where(mirror, np.array(shape_of(second)) - 1 - points, points)
        descriptors = _flip(descriptors, (False, *mirror))
    if not len(points) or not len(first.points):
        return None
    like = descriptors.reshape(len(points), -1) @ first.descriptors.reshape(len(first.points), -1).T
    nearest = like.argmax(1)
    sure = like[np.arange(len(points)), nearest] > _LIKE
    shifts = first.points[nearest[sure]] - points[sure]
    needed = max(_FEWEST, _VOTES * min(len(points), len(first.points)))
    if len(shifts) < needed:
        return None
    x, y, z = (np.abs(steps[:, None] - steps[None]) <= 1 for steps in shifts.T)
    agreeing = (x & y & z).sum(1)
    if agreeing.max() < needed:
        return None
    right, front, up = (int(step) for step in shifts[agreeing.argmax()])
    return right, front, up


def _correlation(first: Level, second: Level, mirror: tuple[bool, bool, bool], shift: Triple) -> float:
    """Of the detail, at the best place round a shift; between voxels a parabola tells how high it gets."""
    first_detail = first.detail.astype(np.float32)
    second_detail = _flip(second.detail, mirror).astype(np.float32)
    centre, best = shift, _at(first_detail, second_detail, shift)
    if best < _HOPELESS:
        return best
    for _ in range(_SEARCH):
        values = {step: _at(first_detail, second_detail, step) for step in _around(centre)}
        place = max(values, key=lambda step: values[step])
        if values[place] <= best:
            break
        centre, best = place, values[place]
    value = best
    for axis in range(3):
        low, high = (_at(first_detail, second_detail, _moved(centre, axis, step)) for step in (-1, 1))
        if 0 < low < best and 0 < high < best:
            value += (low - high) ** 2 / (8 * (2 * best - low - high))
    return min(value, 1.0)


def _at(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32], shift: Triple) -> float:
    """Correlation over the overlap; -1 where there is too little of it."""
    first_values, second_values = [], []
    for side, length, step in zip(one.shape, other.shape, shift, strict=True):
        low, high = max(0, step), min(side, length + step)
        if low >= high:
            return -1.0
        first_values.append(slice(low, high))
        second_values.append(slice(low - step, high - step))
    first, second = one[tuple(first_values)], other[tuple(second_values)]
    energies = _energy(first), _energy(second)
    least = min(_energy(one), _energy(other))
    if first.size < _OVERLAP * min(one.size, other.size) or min(energies) < 0.5 * _OVERLAP * least or least == 0:
        return -1.0
    return float(np.einsum("xyz,xyz->", first, second)) / float(np.sqrt(energies[0] * energies[1]))


def _energy(array: npt.NDArray[np.float32]) -> float:
    return float(np.einsum("xyz,xyz->", array, array))


def _around(centre: Triple) -> list[Triple]:
    x, y, z = centre
    return [(x + i, y + j, z + k) for i, j, k in itertools.product((-1, 0, 1), repeat=3)]


def _moved(centre: Triple, axis: int, step: int) -> Triple:
    x, y, z = (side + (step if number == axis else 0) for number, side in enumerate(centre))
    return x, y, z


def _flip(array: Array, flips: tuple[bool, ...]) -> Array:
    return array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
