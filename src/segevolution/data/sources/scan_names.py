"""Names of scans taken apart from their end: what tells the person, and what tells when and how they were scanned."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from .patient_words import (
    DATE,
    ENTITIES,
    FILES,
    LEADING,
    LETTER_NUMBER,
    MODALITIES,
    NUMBERED,
    SEQUENCES,
    TIMES,
    VIEWS,
)

# Where a number ends and a numbered word begins: Subject12visit1 is read as Subject12_visit1.
_GLUED = re.compile(rf"[a-z0-9]*\d(?=(?:{'|'.join(sorted(NUMBERED))})\d{{1,4}}(?:$|[_\-\s.]))", re.IGNORECASE)
# A number that may count the scans of a person, or people: scan_000, volume12, m001.
_COUNT = re.compile(
    r"(?:vol|volume|img|image|scan|stack|exam|study|series|ser|seq)[_\-\s.]*(\d+)[a-z]?|[a-z](\d{3,4})[a-z]?",
    re.IGNORECASE,
)
# A person is rarely scanned more often than this in one dataset.
MOST_VISITS = 9


@dataclass(frozen=True)
class ScanName:
    """A name taken apart: what tells the person, the kinds of what was left off, and a number that may count people."""

    rest: str
    left_off: frozenset[str]
    count: str | None = None

    @classmethod
    def of(cls, name: str, counts_tell: bool = False) -> "ScanName":
        """Take a name apart; with `counts_tell` a number behind "scan" or "volume" is the person's."""
        parts = re.findall(r"[^_\-\s.]+|[_\-\s.]+", _GLUED.sub(_parted, name))
        kinds: set[str] = set()
        number = None
        while True:
            count, kind = _ending(parts)
            may_count = _COUNT.fullmatch("".join(parts[len(parts) - count :])) if kind == "visit" else None
            if may_count is not None and counts_tell:
                break
            rest = _trimmed(parts[: len(parts) - count])
            if not count or not _tells_a_person(rest):
                break
            parts = rest
            kinds.add(kind)
            number = may_count[1] or may_count[2] if may_count is not None else number
        # A sequence or a time may stand in front too; a modality may not, since CT_1 and MR_1 are often two people.
        while len(parts) > 2 and parts[0].lower() in LEADING and _tells_a_person(parts[2:]):
            parts = parts[2:]
            kinds.add("sequence")
        return cls("".join(parts) if kinds else name, frozenset(kinds), number)


def parse_names(names: Sequence[str]) -> tuple[dict[str, ScanName], str | None]:
    """Each name taken apart, and what is in doubt about numbers that count people rather than one person's scans."""
    parsed = {name: ScanName.of(name) for name in names}
    numbers: dict[str, set[str]] = defaultdict(set)
    for parse in parsed.values():
        if parse.count is not None:
            numbers[parse.rest].add(parse.count)
    many = {rest for rest, counts in numbers.items() if len(counts) > MOST_VISITS}
    wide = {rest for rest, counts in numbers.items() if len(counts) > 1 and max(map(len, counts)) > 2}
    parsed |= {name: ScanName.of(name, counts_tell=True) for name, parse in parsed.items() if parse.rest in many}
    if many:
        return parsed, f'a number counts many files of "{min(many)}", and each was taken for a patient of its own'
    return parsed, f'the numbers behind "{min(wide)}" were taken for scans of one patient' if wide else None


def _parted(number: re.Match[str]) -> str:
    """A number with a separator behind it, unless it is a sequence's: t2scan1."""
    return number[0] if number[0].lower() in SEQUENCES else f"{number[0]}_"


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
