"""Check that no patient and no near-duplicate stands in two parts of a split, and repair a split that fails.

People are told apart by (dataset, patient), volumes by their content: whoever or whatever is in two parts makes results
on the held-out one too good.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from ...errors import StoreError
from ..splits import PARTS, Split, torn_patients
from ..ties import group_leaders
from .entries import AuditedCase
from .findings import Finding

_REMEDY = "Move them into one part: --fix-splits takes them out of the held-out one."

Pair = tuple[str, str]


@dataclass(frozen=True)
class Repair:
    """A split without the leaks that were found.

    Attributes:
        split: the new one, with cases named as in the old.
        moved: name in the split -> (from, to).
    """

    split: Split
    moved: Mapping[str, tuple[str, str]]


def resolve(split: Split, entries: Sequence[AuditedCase]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which case each name of a split means.

    Returns:
        "store/case" -> name in the split; and the names that no store has.

    Raises:
        StoreError: a name is that of cases in two stores, or two names are one case.
    """
    named: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        named[entry.name].append(entry.name)
        named[entry.record.name].append(entry.name)
    names: dict[str, str] = {}
    unknown = []
    for name in (*split.train, *split.validation, *split.test):
        places = named.get(name, [])
        if len(places) > 1:
            raise StoreError(f'the split\'s case {name} is in {" and ".join(places)}; write which, as "{places[0]}".')
        if not places:
            unknown.append(name)
        elif places[0] in names:
            raise StoreError(f"the split has {places[0]} as {names[places[0]]} and as {name}; keep one.")
        else:
            names[places[0]] = name
    return names, tuple(unknown)


def check_split(split: Split, entries: Sequence[AuditedCase], duplicates: Iterable[Pair]) -> list[Finding]:
    """Every leak of a split, and what else is wrong with it.

    Args:
        duplicates: pairs of "store/case" that hold one volume.

    Raises:
        StoreError: a name of the split could mean two cases.
    """
    names, unknown = resolve(split, entries)
    part_of = _parts(split, names)
    records = {entry.name: entry.record for entry in entries}
    findings = []
    if unknown:
        some = ", ".join(unknown[:5]) + (" ..." if len(unknown) > 5 else "")
        message = f"the split names {len(unknown)} cases that no store has: {some}."
        findings.append(
            Finding("split", "error", unknown, message, "Give every store the split is about, or mend names.")
        )
    for part in PARTS:
        if not getattr(split, part):
            held = part != "train"
            message = f"the split has no case for {part}."
            remedy = "Take it from the training patients, never from the test." if held else "Put cases there."
            findings.append(Finding("split", "note" if held else "warning", (), message, remedy))
    left = tuple(entry.name for entry in entries if entry.name not in names)
    if left:
        message = f"{len(left)} of {len(entries)} cases are in no part of the split."
        findings.append(Finding("split", "note", left, message, "Nothing, if they were left out on purpose."))
    for person, parts in torn_patients(entries, _as_entries(part_of)).items():
        cases = tuple(entry.name for entry in entries if entry.person == person and entry.name in part_of)
        message = f"patient {person[1]} of {person[0]} is in {' and '.join(_sorted(parts))}."
        findings.append(Finding("leak", "error", cases, message, _REMEDY))
    for first, second in duplicates:
        apart = len({part_of.get(first), part_of.get(second)} - {None}) == 2
        if apart and records[first].person != records[second].person:
            message = f"{first} in {part_of[first]} and {second} in {part_of[second]} are one volume under two names."
            findings.append(Finding("leak", "error", (first, second), message, _REMEDY))
    for part in ("train", "validation"):
        theirs = tuple(name for name in part_of if part_of[name] == part and records[name].part == "test")
        if theirs:
            message = f"{len(theirs)} cases that their dataset's authors keep for test are in {part}."
            remedy = "Compare with no published result on that test part, or move them."
            findings.append(Finding("split", "warning", theirs, message, remedy))
    return findings


def repair(split: Split, entries: Sequence[AuditedCase], duplicates: Iterable[Pair]) -> Repair:
    """Move every case that leaks out of the held-out part, never into one.

    A person, and all volumes that are duplicates of one another, go together into that of their parts that is held out
    least: a patient in test and train goes to train whole, so that what stays in test is new to the model.

    Raises:
        StoreError: a name of the split could mean two cases.
    """
    names, _ = resolve(split, entries)
    part_of = _parts(split, names)
    parts = {name: part for part, members in asdict(split).items() for name in members}
    moved = {}
    for group in _groups(entries, duplicates):
        placed_members = [name for name in group if name in part_of]
        if len({part_of[name] for name in placed_members}) < 2:
            continue
        goal = _sorted(part_of[name] for name in placed_members)[0]
        for name in placed_members:
            if part_of[name] != goal:
                moved[names[name]] = (part_of[name], goal)
                parts[names[name]] = goal
    repaired_split = Split(*(tuple(name for name, part in parts.items() if part == split_part) for split_part in PARTS))
    return Repair(repaired_split, dict(sorted(moved.items())))


def _groups(entries: Sequence[AuditedCase], duplicates: Iterable[Pair]) -> list[list[str]]:
    """Cases that must stay together: one person, one volume, and whatever hangs together by these."""
    first: dict[tuple[str, str], str] = {}
    ties = [(first.setdefault(entry.person, entry.name), entry.name) for entry in entries]
    groups: dict[str, list[str]] = defaultdict(list)
    for name, leader in group_leaders((entry.name for entry in entries), (*ties, *duplicates)).items():
        groups[leader].append(name)
    return list(groups.values())


def _parts(split: Split, names: Mapping[str, str]) -> dict[str, str]:
    """ "store/case" -> its part."""
    part_of = {name: part for part, members in asdict(split).items() for name in members}
    return {place: part_of[name] for place, name in names.items()}


def _as_entries(part_of: Mapping[str, str]) -> Split:
    """A split over "store/case"."""
    return Split(*(tuple(name for name, part in part_of.items() if part == split_part) for split_part in PARTS))


def _sorted(parts: Iterable[str]) -> list[str]:
    return sorted(set(parts), key=PARTS.index)
