"""Find out from the names of all files of a dataset which person each scan is of; one person is one patient.

A name is read from its end: parts that tell when and how a person was scanned (session, visit, frame, date, sequence,
modality, side) are left off as long as something that can tell a person, a number that belongs to none of these,
remains. `sub-01_ses-pre_T1w` and `sub-01_ses-post_T2w` are of sub-01; `CT_scan_000` and `CT_scan_001` stay two. What
names alone leave open, a second number or digits that count up within others, is decided over all names together and
said to be in doubt. A person who knows better gives a regular expression or a table.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import StoreError
from .patient_table import read_patient_table
from .patient_words import (
    DATE,
    ENTITIES,
    FILES,
    GENERIC,
    LEADING,
    LETTER_NUMBER,
    MODALITIES,
    NUMBERED,
    SCHEMES,
    SEQUENCES,
    TIMES,
    VIEWS,
)

SAID_BY_A_PERSON = "what you said, "  # begins the rule of a grouping that a person gave
CHANGE = "--patient-from takes a regular expression or a table of names and patients"

_TABLES = (".csv", ".tsv", ".txt", ".json")
_LONGEST_PATTERN = 1000
# Where a number ends and a numbered word begins: Subject12visit1 is read as Subject12_visit1.
_GLUED = re.compile(rf"[a-z0-9]*\d(?=(?:{'|'.join(sorted(NUMBERED))})\d{{1,4}}(?:$|[_\-\s.]))", re.IGNORECASE)
# A person's name or identifier as DICOM has it, and a number or letter behind it.
_PERSON = re.compile(r"([^\^]+\^[^_]*?|\d+(?:\.\d+){3,})(?:[_\-\s](?:\d{1,3}|[a-z]))?", re.IGNORECASE)
# What may count a person's scans: a letter or a small number behind a separator, or a small number behind a word.
_SUFFIX = re.compile(r"(.*\w)[_\-\s.](\d{1,2})|(.*\w)[_\-\s.]([a-z])|(.*[^\W\d_])(\d{1,2})", re.IGNORECASE)
# A person is rarely scanned more often than this in one dataset.
_MOST_VISITS = 9


@dataclass(frozen=True)
class Grouping:
    """Which file is of which patient, and how that was decided.

    Attributes:
        patients: name of each file or folder -> its patient.
        rule: how, such as "their names without session and sequence".
        doubt: why a person should look at it; None where the names are plain.
    """

    patients: Mapping[str, str]
    rule: str
    doubt: str | None = None

    @property
    def sentence(self) -> str:
        """What was taken, and where there is doubt how to say otherwise; without a full stop."""
        files, people = len(self.patients), len(set(self.patients.values()))
        example = next((name for name, patient in self.patients.items() if name != patient), None)
        example_text = f" ({example} is of {self.patients[example]})" if example else ""
        doubt = f"; {self.doubt}: if that is wrong, {CHANGE}" if self.doubt else ""
        return f"{_number(files, 'file')}, {_number(people, 'patient')}: grouped by {self.rule}{example_text}{doubt}"


def group_patients(names: Iterable[str], patient_from: str | None = None) -> Grouping:
    """The patients of a dataset's files.

    Args:
        names: of files without suffix, or of folders.
        patient_from: what a person says: a regular expression whose first group is the patient, or the path of a
            table (JSON {"name": "patient"}, or CSV or TSV with a name and a patient a row).

    Raises:
        StoreError: the expression has no group, or the table cannot be read or lacks a name.
    """
    names = list(dict.fromkeys(names))
    if patient_from is not None:
        return _as_said(names, patient_from)
    patient_by_scheme = {name: match.group(1) for name in names if (match := _scheme(name)) is not None}
    parsed = {name: _Parsed.of(name) for name in names if name not in patient_by_scheme}
    patients = patient_by_scheme | {name: parse.rest for name, parse in parsed.items()}
    left_off = {kind for parse in parsed.values() for kind in parse.left_off}
    if patient_by_scheme:
        left_off.add("number of a scan")
    rule = _rule(left_off) if any(name != patient for name, patient in patients.items()) else "their whole names"
    rests = sorted({parse.rest for parse in parsed.values()})
    for decide in (_names_of_persons, _letters, _second_numbers, _names_without_numbers, _counting_digits):
        decision = decide(rests)
        if decision is not None:
            joined = {name: decision.patients.get(patient, patient) for name, patient in patients.items()}
            return Grouping(joined, decision.rule if joined != patients else rule, decision.doubt)
    if len(names) > 1 and len(set(patients.values())) == 1:
        return Grouping(patients, rule, "all files are of one patient")
    return Grouping(patients, rule, _shared_stem(rests) if len(set(patients.values())) == len(names) else None)


def patient_of(name: str, patient_from: str | None = None) -> str:
    """The patient of one file, by its name alone or as a person says; see `group_patients`."""
    return group_patients([name], patient_from).patients[name]


@dataclass(frozen=True)
class _Parsed:
    """A name taken apart: what tells the person, and the kinds of what was left off."""

    rest: str
    left_off: frozenset[str]

    @classmethod
    def of(cls, name: str) -> "_Parsed":
        parts = re.findall(r"[^_\-\s.]+|[_\-\s.]+", _GLUED.sub(_parted, name))
        kinds: set[str] = set()
        while True:
            count, kind = _ending(parts)
            rest = _trimmed(parts[: len(parts) - count])
            if not count or not _tells_a_person(rest):
                break
            parts = rest
            kinds.add(kind)
        # A sequence or a time may stand in front too; a modality may not, since CT_1 and MR_1 are often two people.
        while len(parts) > 2 and parts[0].lower() in LEADING and _tells_a_person(parts[2:]):
            parts = parts[2:]
            kinds.add("sequence")
        return cls("".join(parts) if kinds else name, frozenset(kinds))


def _parted(number: re.Match[str]) -> str:
    """A number with a separator behind it, unless it is a sequence's: t2scan1."""
    return number[0] if number[0].lower() in SEQUENCES else f"{number[0]}_"


def _scheme(name: str) -> re.Match[str] | None:
    return next((match for scheme in SCHEMES if (match := scheme.search(name))), None)


def _ending(parts: Sequence[str]) -> tuple[int, str]:
    """How many parts at the end tell when or how, not who, and of which kind they are; 0 where they tell who."""
    if len(parts) < 2:
        return 0, ""
    last = parts[-1].lower()
    before = parts[-3].lower() if len(parts) > 3 else ""
    if before in ENTITIES and parts[-2] == "-":
        return 3, "session"
    if len(parts) > 6 and parts[-5].lower() in NUMBERED and before.isdigit() and last.isdigit():
        return 5, "visit"  # week-000-1
    if before in NUMBERED and (last.isdigit() or re.fullmatch(r"\d{1,4}[a-z]?", last)):
        return 3, "visit"
    # 2018-04-23 and 03-23-2003
    if len(parts) > 6 and re.fullmatch(r"(?:19|20)\d\d-\d\d-\d\d|\d\d-\d\d-(?:19|20)\d\d", "".join(parts[-5:])):
        return 5, "date"
    if DATE.fullmatch(last):
        return 1, "date"
    word = re.match(r"([a-z]+)(\d*)$", last)
    if word and word[2] and word[1] in NUMBERED:
        return 1, "visit"
    for words, kind in ((SEQUENCES | MODALITIES, "sequence"), (TIMES | VIEWS, "time or side"), (FILES, "kind of file")):
        if last in words:
            return 1, kind
    return (1, "visit") if LETTER_NUMBER.fullmatch(last) else (0, "")


def _trimmed(parts: Sequence[str]) -> list[str]:
    """Parts without a separator at their end."""
    parts = list(parts)
    while parts and not re.search(r"[^_\-\s.]", parts[-1]):
        parts.pop()
    return parts


def _tells_a_person(parts: Sequence[str]) -> bool:
    """Whether a number is left that is not a word's of time or sequence, or that stands alone behind any word."""
    words = [part.lower() for part in parts if re.search(r"[^_\-\s.]", part)]
    return any(
        any(character.isdigit() for character in word)
        and word not in SEQUENCES
        and not (re.fullmatch(r"[a-z]\d{1,2}", word) and LETTER_NUMBER.fullmatch(word) and len(words) > 1)
        for word in words
    )


def _names_of_persons(rests: Sequence[str]) -> Grouping | None:
    """Names such as DOE^JOHN_1 or 1.2.840.7_b, whose beginning is a person's name or identifier as DICOM has it."""
    matches = [_PERSON.fullmatch(rest) for rest in rests]
    people = {rest: match[1] for rest, match in zip(rests, matches, strict=True) if match is not None}
    if len(people) < len(rests) or len(set(people.values())) == len(rests):
        return None
    return Grouping(people, "the person that their names begin with", "what follows the person was taken for a visit")


def _shared_stem(rests: Sequence[str]) -> str | None:
    """Why files that are each a patient of their own may be of fewer, in words; None where nothing says so."""
    groups: dict[str, list[str]] = defaultdict(list)
    for rest in rests:
        match = _SUFFIX.fullmatch(rest)
        if match is not None:
            groups[match[1] or match[3] or match[5]].append((match[2] or match[4] or match[6]).lower())
    shared = {stem: endings for stem, endings in groups.items() if len(endings) > 1}
    if shared and all(_counts_up(endings) for endings in shared.values()):
        stem = next((stem for stem in shared if _may_be_a_person(stem)), None)
        if stem is not None:
            return f'names share their beginning ("{stem}"), and each was taken for a patient of its own'
    # case_0800 and case_0801 alone: a count does not begin there
    digits = [re.fullmatch(r"(.*?)(\d+)(\d)", rest) for rest in rests]
    starts = {(match[1], match[2]) if match else None for match in digits}
    if len(rests) > 1 and len(starts) == 1 and None not in starts and _counts_up([rest[-1] for rest in rests]):
        ((word, number),) = (start for start in starts if start is not None)
        if int(number):
            return f'names share their beginning ("{word}{number}"), and each was taken for a patient of its own'
    return None


def _may_be_a_person(stem: str) -> bool:
    """Whether a beginning that names share says more than "case", "CT_scan" or a count's leading zeros."""
    words = [word.lower() for word in re.findall(r"[^_\-\s.]+", stem)]
    known_words = GENERIC | MODALITIES | SEQUENCES | FILES | TIMES | NUMBERED | VIEWS
    return any(len(word) > 1 and not re.fullmatch(r"0*", word) and word not in known_words for word in words)


def _second_numbers(rests: Sequence[str]) -> Grouping | None:
    """Names with a number behind a part with a number, as P01_2: a visit of P01, or person 2 of site P01?"""
    matches = {rest: re.fullmatch(r"(.*\d[a-z]?)[_\-\s.](\d+)", rest, re.IGNORECASE) for rest in rests}
    groups: dict[str, list[str]] = defaultdict(list)
    for match in matches.values():
        if match is not None:
            groups[match[1]].append(match[2])
    shared = [numbers for numbers in groups.values() if len(numbers) > 1]
    if not shared or len(groups) < 2:
        return None
    counted = all(_counts_up(numbers) and max(map(len, numbers)) < 3 for numbers in groups.values())
    few = max(map(len, groups.values())) <= 3
    if counted or few:
        patients = {rest: match[1] for rest, match in matches.items() if match is not None}
        return Grouping(patients, "their names without a second number", "the second number was taken for a visit")
    return Grouping({}, "", "names share their first number, and each name was taken for a patient of its own")


def _letters(rests: Sequence[str]) -> Grouping | None:
    """Names such as case_012a and case_012b, where a letter counts the scans of one number."""
    groups: dict[str, list[str]] = defaultdict(list)
    stems: dict[str, str] = {}
    for rest in rests:
        match = re.fullmatch(r"(.*\d)[_\-\s.]?([a-z])", rest, re.IGNORECASE)
        if match is not None:
            groups[match[1]].append(match[2].lower())
            stems[rest] = match[1]
    counted = {
        number: letters
        for number, letters in groups.items()
        if 1 < len(letters) <= _MOST_VISITS
        and sorted(letters) == [chr(ord("a") + place) for place in range(len(letters))]
    }
    if not counted:
        return None
    patients = {rest: stems.get(rest, rest) for rest in rests if stems.get(rest, rest) in groups}
    return Grouping(patients, "their names without the last letter", "the last letter was taken for a visit")


def _counting_digits(rests: Sequence[str]) -> Grouping | None:
    """Names such as case_0800, case_0801, case_0900, whose last digits count up within the digits before them."""
    matches = [re.fullmatch(r"(.*?)(\d{3,})", rest) for rest in rests]
    shapes = {(match[1], len(match[2])) if match else None for match in matches}
    if len(rests) < 3 or len(shapes) != 1 or None in shapes:
        return None
    for digits in (1, 2):
        groups: dict[str, list[str]] = defaultdict(list)
        for rest in rests:
            groups[rest[:-digits]].append(rest[-digits:])
        starts = {min(numbers) for numbers in groups.values()}
        counted = len(starts) == 1 and all(_counts_up(numbers) for numbers in groups.values())
        several = [numbers for numbers in groups.values() if len(numbers) > 1]
        # Numbers of a few people chosen by chance may look so too; of many they do not.
        if counted and several and (len(several) > 1 or len(groups) > 3):
            return Grouping(
                {rest: rest[:-digits] for rest in rests},
                f"their names without the last {'digit' if digits == 1 else 'two digits'}",
                f"the last {'digit was' if digits == 1 else 'digits were'} taken for a visit, counting up from "
                f"{starts.pop()} within each number before",
            )
    return None


def _names_without_numbers(rests: Sequence[str]) -> Grouping | None:
    """Names such as anna_scan_1 and anna_scan_2, which only a word can tell apart."""
    people: dict[str, str] = {}
    for rest in rests:
        match = re.fullmatch(r"([a-zA-Z]+)[_\-\s.](?:[a-zA-Z]+[_\-\s.]?)?\d{1,2}", rest)
        inner = rest.lower().replace("-", "_").split("_")
        if match is None or match[1].lower() in GENERIC | MODALITIES | SEQUENCES | FILES | TIMES | NUMBERED:
            return None
        if len(inner) < 2 or (re.sub(r"\d+", "", inner[-1]) or inner[-2]) not in NUMBERED:
            return None
        people[rest] = match[1]
    if len(set(people.values())) < 2:
        return None
    return Grouping(people, "the word that their names begin with", "no number tells the patients apart")


def _counts_up(numbers: Sequence[str]) -> bool:
    """Whether numbers are 0, 1, 2, ... or 1, 2, 3, ..., or letters a, b, c, ..., not more than visits can be."""
    values = sorted(int(number) if number.isdecimal() else ord(number) - ord("a") for number in numbers)
    return values[0] in (0, 1) and values == list(range(values[0], values[0] + len(values))) and (
        len(values) <= _MOST_VISITS
    )  # fmt: skip


def _rule(kinds: set[str]) -> str:
    order = ("session", "visit", "date", "sequence", "time or side", "kind of file", "number of a scan")
    words = [kind for kind in order if kind in kinds]
    return f"their names without {', '.join(words[:-1])}{' and ' if len(words) > 1 else ''}{words[-1]}"


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _as_said(names: Sequence[str], patient_from: str) -> Grouping:
    """By a person's regular expression, or by their table."""
    path = Path(patient_from).expanduser() if patient_from.lower().endswith(_TABLES) else None
    if path is not None:
        table = read_patient_table(path)
        missing = [name for name in names if name not in table]
        if missing:
            raise StoreError(
                f"{path} names no patient of {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}; add a row "
                "with the file's name and the patient."
            )
        return Grouping({name: table[name] for name in names}, f"{SAID_BY_A_PERSON}the table {path.name}")
    try:
        if len(patient_from) > _LONGEST_PATTERN:
            raise re.error("too long")
        expression = re.compile(patient_from)
        matches = {name: expression.search(name) for name in names}
        patients = {name: (match.group(1) if match else "") or name for name, match in matches.items()}
    except (re.error, IndexError, OverflowError, RecursionError) as error:
        raise StoreError(
            f'"{patient_from[:80]}" tells no patients: give a regular expression with one group, such as '
            '"^(P[0-9]+)", or the path of a table (.csv, .tsv, .json).'
        ) from error
    return Grouping(patients, f'{SAID_BY_A_PERSON}the expression "{patient_from}"')
