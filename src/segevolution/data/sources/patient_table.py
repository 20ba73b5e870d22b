"""A person's table of files and patients: JSON {"name": "patient"}, or CSV or TSV with a name and a patient a row."""

import csv
from pathlib import Path
from typing import Any

from ...documents import Limits, read_json
from ...errors import StoreError
from .naming import image_stem


def read_patient_table(path: Path) -> dict[str, str]:
    """Name of a file, without the suffix of an image -> its patient.

    Raises:
        StoreError: it cannot be read, a row has no two cells, or one name has two patients.
    """
    if path.suffix.lower() == ".json":
        pairs: list[tuple[str, str]] = list(read_json(path, dict[str, str], error=StoreError).items())
    else:
        pairs = _rows(path)
    table: dict[str, str] = {}
    for name, patient in pairs:
        stem = image_stem(Path(name).name) or name
        if table.setdefault(stem, patient) != patient:
            raise StoreError(f"{path} gives {stem} two patients, {table[stem]} and {patient}; keep the right one.")
    return table


def _rows(path: Path) -> list[tuple[str, str]]:
    try:
        if path.stat().st_size > Limits().bytes:
            raise StoreError(f"{path} is too large for a table of patients.")
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.partition("\n")[0].count)
        rows: list[Any] = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(row)]
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path} cannot be read as a table: {error}.") from error
    if any(len(row) < 2 or not row[0].strip() or not row[1].strip() for row in rows):
        raise StoreError(f"{path} needs a file's name and a patient in each row, with a comma between them.")
    cells = [(row[0].strip(), row[1].strip()) for row in rows]
    if cells and cells[0][1].lower() in ("patient", "patient_id", "patientid", "subject", "participant_id", "person"):
        cells = cells[1:]
    return cells
