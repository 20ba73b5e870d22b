"""How often the same patients were used to measure an adapter: each attempt is one more chance of a lucky gain.

Each work folder notes whom its adapter is measured on, and each report how many attempts it knew of. Counted are the
folders beside the output; what lies elsewhere or was deleted is not known.
"""

from collections.abc import Collection, Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..data.record import CaseRecord
from ..documents import read_json
from ..errors import RecipeError, SegevolutionError
from ..files import write_json

NOTE = "attempts.json"
REPORT = "report.json"


class Attempt(BaseModel):
    """One adapter that was, or is to be, measured.

    Attributes:
        key: of the recipe, the data and the split.
        patients: "dataset/patient" of all that it is measured on.
    """

    model_config = ConfigDict(extra="ignore")

    key: str
    patients: list[str]


class _AttemptNote(BaseModel):
    """attempts.json, or what is read here of report.json."""

    model_config = ConfigDict(extra="ignore")

    known_attempts: list[Attempt] = []


def people_of(records: Collection[CaseRecord], cases: Collection[str]) -> list[str]:
    """The patients of some cases, as an attempt names them."""
    return sorted({"/".join(record.person) for record in records if record.name in cases})


def note_attempt(output: Path, work: Path, attempt: Attempt) -> list[Attempt]:
    """Note an attempt in its work folder.

    Args:
        output: the adapter's folder, whose neighbours are looked through.
        work: its work folder.
        attempt: this one; a call that goes on with it is the same attempt.

    Returns:
        All attempts that shared a test patient with it, itself among them, each once.
    """
    patients = set(attempt.patients)
    noted_runs = {noted.key: noted for noted in _noted(output)}
    attempt_by_key = {noted.key: noted for noted in _read(work / NOTE)} | {attempt.key: attempt}
    write_json(work / NOTE, {"known_attempts": [noted.model_dump() for noted in attempt_by_key.values()]})
    return [
        noted
        for noted in (noted_runs | attempt_by_key).values()
        if patients & set(noted.patients) or noted.key == attempt.key
    ]


def _noted(output: Path) -> Iterator[Attempt]:
    folder = output.resolve().parent
    if folder.is_dir():
        for beside in sorted(folder.iterdir()):
            for name in (NOTE, REPORT):
                yield from _read(beside / name)


def _read(path: Path) -> list[Attempt]:
    """The attempts that a file names; none where it is no such file."""
    if not path.is_file():
        return []
    try:
        return read_json(path, _AttemptNote, error=RecipeError).known_attempts
    except SegevolutionError:
        return []
