"""Read the facts on a ready adapter that a study needs: its identity, and the patients it learned from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..adapters import describe
from ..adapters.artifact import WEIGHTS
from ..adapters.card_values import card_licences, card_texts
from ..data.record import CaseRecord
from ..files import sha256
from ..recipes.keys import digest

_LEARNED = re.compile(r"(?P<case>.+) is of (?P<person>.+), image (?P<image>[0-9a-f]{16})")
BEFORE = "(before, by what it started from)"


@dataclass(frozen=True)
class ReadyAdapter:
    """An adapter that was made before.

    Attributes:
        mark: digest of its weights, settings and structures; its card does not count.
        taught: entries of its card, such as "chaos/chaos_01", of what it learned from.
        licences: of these, by dataset.
        patients: entries of its card, such as "chaos/chaos_01 is of chaos/1, image 0123456789abcdef", of the same
            cases as far as it is known whose they are; see `describe_case`.
    """

    mark: str
    taught: tuple[str, ...]
    licences: Mapping[str, str]
    patients: tuple[str, ...] = ()

    @property
    def known(self) -> list[re.Match[str]]:
        """What the card says of each case whose patient is known, with the groups case, person and image."""
        return [match for entry in self.patients if (match := _LEARNED.fullmatch(entry))]


def describe_case(dataset: str, record: CaseRecord) -> str:
    """What a card says of a case that is learned from, so that its patient is known again under another name.

    Args:
        dataset: its name in the study.
        record: of the case.
    """
    return f"{dataset}/{record.name} is of {'/'.join(record.person)}, image {image_mark(record)}"


def image_mark(record: CaseRecord) -> str | None:
    """A digest of what a record says of the scan: equal for one scan, whatever it, its dataset or labels are called.

    None of a case that nobody has read yet.
    """
    if not isinstance(record, CaseRecord):  # a case that stands in, see `forecast`
        return None
    scan = [record.shape, record.affine.tolist(), record.dtype, record.signal, sorted(record.voxels.values())]
    return digest(scan)


def read_ready(folder: Path) -> ReadyAdapter:
    """Read what a study has to know of an adapter that a method starts from; AdapterError where it is not whole."""
    description = describe(folder)
    identity = [
        description["method"],
        description["settings"],
        description.get("structures", []),
        sha256(folder / WEIGHTS),
    ]
    card = description["card"]
    return ReadyAdapter(
        digest(identity),
        tuple(card_texts(card.get("data"))),
        card_licences(card.get("licences")),
        tuple(card_texts(card.get("patients"))),
    )
