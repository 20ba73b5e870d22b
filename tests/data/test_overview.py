"""What is in a store can be counted."""

from pathlib import Path
from typing import Any

import pytest

from segevolution.data.overview import overview
from segevolution.data.prepare import prepare
from segevolution.data.sources.msd import MSDSource
from segevolution.data.store import Store

STEMS = ("patient001_frame01", "patient001_frame02", "patient002_frame01")


@pytest.fixture
def store(miniature: Any, tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "store")
    prepare(MSDSource(miniature.msd(tmp_path / "task", STEMS)), store)
    return store


def test_overview_counts_cases_patients_and_volumes(store: Store) -> None:
    rows = overview(store.cases)
    assert [(row.structure, row.cases, row.patients, row.median_ml) for row in rows] == [
        ("(all)", 3, 2, None),
        ("anterior hippocampus", 3, 2, 0.09),
        ("hippocampus", 3, 2, 0.17),
        ("posterior hippocampus", 3, 2, 0.09),
    ]
    assert {(row.dataset, row.modality, row.sequence) for row in rows} == {("hippocampus", "MRI", "")}
