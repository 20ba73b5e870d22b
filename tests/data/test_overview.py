"""What is in a store can be counted and seen."""

from pathlib import Path
from typing import Any

import pytest

from segevolution.data.overview import contact_sheet, overview
from segevolution.data.prepare import prepare
from segevolution.data.sources.msd import MSDSource
from segevolution.data.store import Store
from segevolution.errors import OutputError, StoreError

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


def test_contact_sheet_draws_a_picture(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert contact_sheet(store, path, most=2) == 2
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OutputError, match="exists already"):
        contact_sheet(store, path)
    with pytest.raises(OutputError, match="is no picture"):
        contact_sheet(store, tmp_path / "sheet.xyz")
    with pytest.raises(StoreError, match="holds no case"):
        contact_sheet(Store.create(tmp_path / "empty"), tmp_path / "empty.png")
