import numpy as np
import pyarrow.parquet as pq
import pytest

from segevolution.errors import OutputError
from segevolution.evaluation.results import PartName, Results, read_table, surroundings


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "study")


def part(case="c1", key="k1", run="base"):
    return PartName(run, "chaos", case, key)


def test_a_part_counts_only_for_the_job_that_made_it(results, make_row):
    assert not results.has(part())
    results.write(part(), [make_row()])
    assert results.has(part())
    assert not results.has(part(key="k2"))
    assert not results.has(part(case="c2"))


def test_a_damaged_part_is_done_again(results, make_row):
    results.write(part(), [make_row()])
    path = part().path(results.folder / "parts", ".parquet")
    path.write_bytes(path.read_bytes()[:-20])
    assert not results.has(part())


def test_a_write_that_is_cut_short_leaves_no_part_and_nothing_temporary(results, make_row, monkeypatch):
    def cut_short(table, where):
        where.write_bytes(b"PAR1 half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", cut_short)
    with pytest.raises(OutputError, match="No space left"):
        results.write(part(), [make_row()])
    assert not results.has(part())
    assert not [path for path in results.folder.rglob("*") if path.is_file()]
    assert not list(results.folder.rglob(".partial-*"))


def test_a_row_with_other_columns_is_refused_by_name(results, make_row):
    with pytest.raises(OutputError, match="colour"):
        results.write(part(), [{**make_row(), "colour": "red"}])


def test_join_holds_the_planned_parts_in_order_and_nothing_else(results, make_row):
    for case in ("a", "b", "stale"):
        results.write(part(case), [make_row(case=case, dice=float("nan") if case == "a" else 0.25)])
    table = results.join([part("b"), part("a"), part("missing"), part("stale", key="newer")])
    assert list(table["case"]) == ["b", "a"]
    assert np.isnan(table["dice"][1])
    assert table.equals(read_table(results.table_path))


def test_a_study_without_rows_still_has_a_table_with_all_columns(results):
    assert list(results.join([]).columns) == pq.read_schema(results.table_path).names


def test_masks_come_back_bit_for_bit_for_any_structure_name(results, make_row):
    rng = np.random.default_rng(0)
    masks = {name: rng.random((5, 7, 3)) > 0.5 for name in ("liver", "prostate/uterus", "shape")}
    results.write(part(), [make_row()], masks)
    found = results.masks(part())
    assert found.keys() == masks.keys()
    assert all(np.array_equal(found[name], masks[name]) for name in masks)
    assert results.masks(part("other")) == {}


def test_any_case_name_is_one_file_inside_the_study(results, make_row):
    odd = part("../../up and away/é")
    results.write(odd, [make_row()])
    assert results.has(odd)
    assert results.folder in odd.path(results.folder / "parts", ".parquet").resolve().parents


def test_shifts_of_one_case_are_parts_of_their_own(results, make_row):
    results.write(part(), [make_row()])
    assert not results.has(PartName("base", "chaos", "c1", "k1", shift="bias_field=0.5"))


def test_a_missing_table_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="no table of results"):
        read_table(tmp_path / "results.parquet")


def test_the_manifest_names_versions_and_platform():
    found = surroundings()
    assert found["packages"]["torch"]
    assert found["python"].count(".") == 2
