"""Find out from the names of all files of a dataset which person each scan is of; one person is one patient.

A name is read from its end: parts that tell when and how a person was scanned (session, visit, frame, date, sequence,
modality, side) are left off as long as something that can tell a person, a number that belongs to none of these,
remains. `sub-01_ses-pre_T1w` and `sub-01_ses-post_T2w` are of sub-01; `CT_scan_000` and `CT_scan_001` stay two. What
names alone leave open, a second number or digits that count up within others, is decided over all names together and
said to be in doubt. A person who knows better gives a regular expression or a table.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...errors import StoreError
from .grouping import Grouping
from .patient_table import read_patient_table
from .patient_words import FILES, GENERIC, MODALITIES, NUMBERED, SCHEMES, SEQUENCES, TIMES, VIEWS
from .scan_names import MOST_VISITS, parse_names
from .spellings import one_spelling

SAID_BY_A_PERSON = "what you said, "  # begins the rule of a grouping that a person gave

_TABLES = (".csv", ".tsv", ".txt", ".json")
_LONGEST_PATTERN = 1000
# A person's name or identifier as DICOM has it, and a number or letter behind it.
_PERSON = re.compile(r"([^\^]+\^[^_]*?|\d+(?:\.\d+){3,})(?:[_\-\s](?:\d{1,3}|[a-z]))?", re.IGNORECASE)
# What may count a person's scans: a letter or a small number behind a separator, or a small number behind a word.
_SUFFIX = re.compile(r"(.*\w)[_\-\s.](\d{1,2})|(.*\w)[_\-\s.]([a-z])|(.*[^\W\d_])(\d{1,2})", re.IGNORECASE)


def group_patients(names: Iterable[str], patient_from: str | None = None) -> Grouping:
    """The patients of a dataset's files.

    Args:
        names: of files without suffix, or of folders.
        patient_from: what a person says: a regular expression whose first group is the patient, or the path of a
            table (JSON {"name": "patient"}, or CSV or TSV with a name and a patient a row).

    Raises:
        StoreError: the expression has no group, the table cannot be read, or either says nothing of a name.
    """
    names = list(dict.fromkeys(names))
    if patient_from is not None:
        return _as_said(names, patient_from)
    return one_spelling(_by_their_names(names))


def _by_their_names(names: Sequence[str]) -> Grouping:
    patient_by_scheme = {name: match.group(1) for name in names if (match := _scheme(name)) is not None}
    parsed, counted = parse_names([name for name in names if name not in patient_by_scheme])
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
            return Grouping(joined, decision.rule if joined != patients else rule, decision.doubt or counted)
    if len(names) > 1 and len(set(patients.values())) == 1:
        return Grouping(patients, rule, "all files are of one patient")
    alone = len(set(patients.values())) == len(names)
    return Grouping(patients, rule, counted or (_shared_stem(rests) if alone else None))


def patient_of(name: str, patient_from: str | None = None) -> str:
    """The patient of one file, by its name alone or as a person says; see `group_patients`."""
    return group_patients([name], patient_from).patients[name]


def _scheme(name: str) -> re.Match[str] | None:
    return next((match for scheme in SCHEMES if (match := scheme.search(name))), None)


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
        if 1 < len(letters) <= MOST_VISITS
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
        len(values) <= MOST_VISITS
    )  # fmt: skip


def _rule(kinds: set[str]) -> str:
    order = ("session", "visit", "date", "sequence", "time or side", "kind of file", "number of a scan")
    words = [kind for kind in order if kind in kinds]
    return f"their names without {', '.join(words[:-1])}{' and ' if len(words) > 1 else ''}{words[-1]}"


def _as_said(names: Sequence[str], patient_from: str) -> Grouping:
    """By a person's regular expression, or by their table."""
    path = Path(patient_from).expanduser() if patient_from.lower().endswith(_TABLES) else None
    if path is not None:
        patients = read_patient_table(path)
        rule, remedy = f"the table {path.name}", "add a row with the file's name and the patient."
    else:
        patients = _by_expression(names, patient_from)
        rule, remedy = f'the expression "{patient_from}"', "write one whose group is in every name, or give a table."
    missing = [name for name in names if not patients.get(name)]
    if missing:
        some = f"{', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}"
        raise StoreError(f"{rule if path is None else path} names no patient of {some}; {remedy}")
    return Grouping({name: patients[name] for name in names}, f"{SAID_BY_A_PERSON}{rule}")


def _by_expression(names: Sequence[str], text: str) -> dict[str, str]:
    """The patient of each name in which a regular expression finds one."""
    try:
        if len(text) > _LONGEST_PATTERN:
            raise re.error("too long")
        expression = re.compile(text)
        if not expression.groups:
            raise re.error("no group")
        matches = {name: expression.search(name) for name in names}
    except (re.error, OverflowError, RecursionError) as error:
        raise StoreError(
            f'"{text[:80]}" tells no patients: give a regular expression with one group, such as '
            '"^(P[0-9]+)", or the path of a table (.csv, .tsv, .json).'
        ) from error
    return {name: match.group(1) for name, match in matches.items() if match and match.group(1)}
