"""Summarise the cases of a store as rows of a table."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .record import CaseRecord

COLUMNS = ("dataset", "modality", "sequence", "structure", "cases", "patients", "median_ml")


@dataclass(frozen=True)
class OverviewRow:
    """One line of the overview: how often a structure appears, and how large it is.

    Attributes:
        structure: "(all)" on the line of the whole group.
        median_ml: of the structure's volume in millilitres; None on the group's line.
    """

    dataset: str
    modality: str
    sequence: str
    structure: str
    cases: int
    patients: int
    median_ml: float | None


def overview(records: Iterable[CaseRecord]) -> tuple[OverviewRow, ...]:
    """Datasets x modality x sequence x structures, sorted; the first line of each group counts all of its cases."""
    groups: dict[tuple[str, str, str], list[CaseRecord]] = defaultdict(list)
    for record in records:
        groups[record.dataset, str(record.modality or "?"), record.sequence or ""].append(record)
    rows = []
    for group, members in sorted(groups.items()):
        rows.append(OverviewRow(*group, "(all)", len(members), len({record.patient for record in members}), None))
        for structure in sorted({name for record in members for name in record.structures}):
            having = [record for record in members if structure in record.structures]
            sizes = [record.voxels[structure] * record.grid.voxel_volume / 1000 for record in having]
            patients = len({record.patient for record in having})
            rows.append(OverviewRow(*group, structure, len(having), patients, round(float(np.median(sizes)), 2)))
    return tuple(rows)
