"""A split is told what leaks, and mended so that what is held out is new."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segevolution.data.audit.entries import AuditedCase, entries
from segevolution.data.audit.leaks import check_split, repair
from segevolution.data.splits import Split, torn_patients
from segevolution.data.store import Store
from segevolution.errors import StoreError
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume

Add = Callable[..., tuple[AuditedCase, ...]]


@pytest.fixture
def add(tmp_path: Path) -> Add:
    """Puts patients' cases, such as "a_1" of patient a, into stores, and lists all."""
    stores: dict[str, Store] = {}

    def put(store: str, *names: str, **changes: object) -> tuple[AuditedCase, ...]:
        stores.setdefault(store, Store.create(tmp_path / store) if store not in stores else stores[store])
        for name in names:
            signal = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
            volume = Volume(signal, Grid(signal.shape, np.diag([2, 2, 2, 1])), None, name)
            labels = (signal > 100).astype(np.uint8)
            case = Case(name, name.split("_")[0], "toy", volume, labels, {"liver": (1,)})
            stores[store].add(replace(case, **changes))  # type: ignore[arg-type]
        return entries(list(stores.values()))[0]

    return put


def test_a_sound_split_has_no_finding(add: Add) -> None:
    there = add("s", "a_1", "a_2", "b", "c")
    assert check_split(Split(("a_1", "a_2"), ("b",), ("c",)), there, ()) == []
    assert repair(Split(("a_1", "a_2"), ("b",), ("c",)), there, ()).moved == {}


def test_a_patient_in_two_parts_is_an_error_and_goes_to_the_part_held_out_least(add: Add) -> None:
    there = add("s", "a_1", "a_2", "b", "c_1", "c_2", "d_1", "d_2")
    split = Split(("a_1", "b"), ("c_1", "d_1"), ("a_2", "c_2", "d_2"))
    found = check_split(split, there, ())
    assert [(finding.severity, finding.message) for finding in found] == [
        ("error", "patient a of toy is in train and test."),
        ("error", "patient c of toy is in validation and test."),
        ("error", "patient d of toy is in validation and test."),
    ]
    assert found[0].cases == ("s/a_1", "s/a_2")
    mended = repair(split, there, ())
    assert mended.moved == {
        "a_2": ("test", "train"),
        "c_2": ("test", "validation"),
        "d_2": ("test", "validation"),
    }
    assert torn_patients([entry.record for entry in there], mended.split) == {}
    assert mended.split.test == ()


def test_a_person_is_one_over_several_stores(add: Add) -> None:
    add("s", "a_1", "b")
    there = add("t", "a_2")
    (finding,) = check_split(Split(("a_1",), ("b",), ("a_2",)), there, ())
    assert finding.cases == ("s/a_1", "t/a_2")


def test_duplicates_in_two_parts_leak_and_chains_move_together(add: Add) -> None:
    add("s", "a", "b_1", "b_2", "c")
    there = add("t", "x", "y")
    split = Split(("a",), ("c",), ("b_1", "b_2", "y", "x"))
    pairs = [("s/a", "s/b_1"), ("s/b_2", "t/x")]
    (finding,) = check_split(split, there, pairs)
    assert finding.message == "s/a in train and s/b_1 in test are one volume under two names."
    mended = repair(split, there, pairs)
    assert mended.split == Split(("a", "b_1", "b_2", "x"), ("c",), ("y",))
    assert check_split(mended.split, there, pairs) == []


def test_names_that_mean_nothing_or_two_cases(add: Add) -> None:
    add("s", "a", "b")
    there = add("t", "a", dataset="other")
    (finding,) = check_split(Split(("s/a", "t/a"), ("b",), ("zz",)), there, ())
    assert (finding.severity, finding.cases) == ("error", ("zz",))
    with pytest.raises(StoreError, match="a is in s/a and t/a"):
        check_split(Split(("a",), ("b",)), there, ())
    with pytest.raises(StoreError, match="has s/b as b and as s/b"):
        check_split(Split(("s/b", "b")), there, ())
    assert repair(Split(("s/a", "t/a"), ("b",), ("zz",)), there, ()).split.test == ("zz",)


def test_empty_parts_and_cases_left_out_are_notes(add: Add) -> None:
    found = check_split(Split(("a",)), add("s", "a", "b"), ())
    assert {finding.severity for finding in found} == {"note"}
    assert [finding.message for finding in found] == [
        "the split has no case for validation.",
        "the split has no case for test.",
        "1 of 2 cases are in no part of the split.",
    ]


def test_training_on_the_authors_test_part_is_a_warning(add: Add) -> None:
    add("s", "a", "b", "c")
    there = add("s", "d", part="test")
    found = check_split(Split(("a", "d"), ("b",), ("c",)), there, ())
    assert [(finding.severity, finding.cases) for finding in found] == [("warning", ("s/d",))]
    assert check_split(Split(("a",), ("b",), ("c", "d")), there, ()) == []
