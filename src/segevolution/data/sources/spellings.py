"""One person written in several ways, P01 and p01, P-01 and P_01, P1 and P01, is one patient."""

import re
from collections import defaultdict
from dataclasses import replace

from .grouping import Grouping
from .naming import folded


def one_spelling(grouping: Grouping) -> Grouping:
    """Give patients whose names differ in case, accents' encoding, separators or leading zeros the first one's name.

    Leading zeros are of no account only where no two files would have one name without them: of P1_T1 and P01_T1
    nothing tells whether they are of one person.
    """
    patients = dict(grouping.patients)
    first_spelling: dict[str, str] = {}
    for name, patient in patients.items():
        patients[name] = first_spelling.setdefault(_plain(patient), patient)
    files: dict[str, list[str]] = defaultdict(list)
    for name, patient in patients.items():
        files[_unpadded(patient)].append(name)
    doubts = [] if grouping.doubt is None else [grouping.doubt]
    for names in files.values():
        spellings = list(dict.fromkeys(patients[name] for name in names))
        if len(spellings) < 2:
            continue
        is_one = len({_unpadded(name) for name in names}) == len(names)
        if is_one:
            patients |= dict.fromkeys(names, spellings[0])
        if len(doubts) < 2:
            taken = "one patient" if is_one else f"{len(spellings)} patients"
            doubts.append(f"{' and '.join(spellings)} were taken for {taken}")
    return replace(grouping, patients=patients, doubt="; ".join(doubts) or None)


def _plain(text: str) -> str:
    return re.sub(r"[_\-\s.]+", "_", folded(text))


def _unpadded(text: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", _plain(text))
