"""Which file is of which patient, and how that was decided, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

CHANGE = "--patient-from takes a regular expression or a table of names and patients"


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


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
