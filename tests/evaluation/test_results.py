import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segevolution.errors import OutputError
from segevolution.evaluation.coordinates import LATER
from segevolution.evaluation.results import SCHEMA, PartName, Results, read_table, surroundings


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


def test_a_changed_byte_never_reads_as_another_number(results, make_row):
    results.write(part(), [make_row(dice=0.82), make_row(structure="spleen", dice=0.31)])
    path = part().path(results.folder / "parts", ".parquet")
    content, good = path.read_bytes(), results.rows([part()])
    rng = np.random.default_rng(0)
    outcomes = set()
    for place in rng.integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        rows = Results(results.folder).rows([part()])
        outcomes.add(len(rows))
        assert rows.empty or rows.equals(good)
    assert outcomes == {0, 2}  # most bytes count, some hold nothing


def test_a_damaged_part_is_not_done_and_its_damaged_join_is_one_sentence(results, make_row):
    results.write(part(), [make_row(dice=0.8203125)])
    path = part().path(results.folder / "parts", ".parquet")
    results.join([part()])
    assert results.has(part())
    assert results.has_table()
    for damaged in (path, results.table_path):
        value = np.float64(0.8203125).tobytes()
        assert value in damaged.read_bytes()
        damaged.write_bytes(damaged.read_bytes().replace(value, np.float64(0.6328125).tobytes()))
    assert not Results(results.folder).has(part())
    assert not results.has_table()
    with pytest.raises(OutputError, match="no table of results; run the study that makes it"):
        results.table()
    results.write(part(), [make_row(dice=0.8203125)])
    assert list(results.join([part()])["dice"]) == [0.8203125]


def test_of_a_part_without_a_digest_the_values_must_be_possible(results, make_row):
    for case, dice, whole in (("a", 1.0, True), ("b", 1.139, False), ("c", float("nan"), True)):
        path = part(case).path(results.folder / "parts", ".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist([make_row(case=case, dice=dice, hd95_mm=float("inf"))], schema=SCHEMA)
        pq.write_table(table.replace_schema_metadata({b"segevolution.key": b"k1"}), path)
        assert results.has(part(case)) == whole


def test_what_the_plan_says_of_an_answer_counts_not_what_was_noted(results, make_row):
    results.write(part(), [make_row(labels="manual", method="lora", prompt_seed=4)])
    planned = {"labels": "a network's output", "method": "lora (5 shots)", "prompt_seed": 9}
    (row,) = results.join([part()], {part(): planned}).to_dict("records")
    assert (row["labels"], row["method"]) == ("a network's output", "lora (5 shots)")
    assert row["prompt_seed"] == 4  # a key covers it


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


def test_each_strength_of_a_shift_is_a_part_of_its_own_and_no_case_name_can_be_mistaken_for_one(results, make_row):
    names = [
        PartName("base", "chaos", "c1", "k"),
        PartName("base", "chaos", "c1", "k", "noise", 0.1),
        PartName("base", "chaos", "c1", "k", "noise", 0.30000000000000004),
        PartName("base", "chaos", "c1", "k", "noise", 0.3),
        PartName("base", "chaos", "c1,noise,0.1", "k"),
        PartName("base", "chaos", "c1@noise", "k"),
    ]
    assert len({name.path(results.folder, ".parquet") for name in names}) == len(names)


@pytest.mark.parametrize("name", [".", "..", "../..", "a/../../b"])
def test_no_name_of_a_run_or_dataset_leads_out_of_the_study(results, name):
    for odd in (PartName(name, "chaos", "c1", "k"), PartName("base", name, "c1", "k")):
        path = odd.path(results.folder / "parts", ".parquet")
        assert path.resolve().relative_to(results.folder.resolve()).parts[0] == "parts"
        assert len(path.relative_to(results.folder).parts) == 4


def write_as_before(path, rows):
    """A file as versions wrote it that knew no strength, jitter, click, prompt seed or base."""
    table = pa.Table.from_pylist(rows, schema=SCHEMA).drop_columns(list(LATER))
    path.parent.mkdir(parents=True)
    pq.write_table(table.replace_schema_metadata({b"segevolution.key": b"k1"}), path)


def test_a_table_of_an_earlier_version_is_read_with_plain_values(results, make_row):
    write_as_before(results.table_path, [make_row(prompt="box", dice=0.75)])
    (row,) = read_table(results.table_path).to_dict("records")
    plain = {name: value for name, value in LATER.items() if name not in ("predicted_ml", "warnings")}
    assert {name: row[name] for name in plain} == plain
    assert np.isnan(row["predicted_ml"])
    assert row["dice"] == 0.75


def test_a_part_of_an_earlier_version_is_joined_as_its_job_asked(results, make_row):
    name = part()
    write_as_before(
        name.path(results.folder / "parts", ".parquet"), [make_row(prompt=kind) for kind in ("text", "box")]
    )
    assert results.has(name)
    said = {"base": "b", "jitter": 5.0, "jitter_unit": "voxel", "prompt_seed": 3}
    table = results.join([name], {name: said})
    assert list(table["base"]) == ["b", "b"]
    assert list(table["prompt_seed"]) == [3, 3]
    assert list(zip(table["jitter"], table["jitter_unit"], strict=True)) == [(0.0, ""), (5.0, "voxel")]
    results.write(part("new"), [make_row(case="new", base="own", jitter=1.0)])
    assert list(results.rows([part("new")], {part("new"): said})["jitter"]) == [1.0]  # what a part says counts


def test_a_metric_that_a_table_lacks_is_missing_in_it(results, make_row):
    results.folder.mkdir()
    pq.write_table(pa.Table.from_pylist([make_row()], schema=SCHEMA).drop_columns(["hd95_mm"]), results.table_path)
    assert np.isnan(read_table(results.table_path)["hd95_mm"][0])


@pytest.mark.parametrize("columns", [{"a": [1]}, {name: [None] for name in [*SCHEMA.names, "more"]}])
def test_another_table_is_refused(results, columns):
    results.folder.mkdir()
    pq.write_table(pa.table(columns), results.table_path)
    with pytest.raises(OutputError, match="no table of results"):
        read_table(results.table_path)


def test_damaged_masks_are_one_sentence(results, make_row):
    results.write(part(), [make_row()], {"liver": np.ones((3, 3, 3), bool)})
    path = part().path(results.folder / "masks", ".npz")
    for content in (b"", b"junk", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(OutputError, match="is damaged"):
            results.masks(part())


def test_a_missing_table_is_one_sentence(tmp_path):
    with pytest.raises(OutputError, match="no table of results"):
        read_table(tmp_path / "results.parquet")


def test_the_manifest_names_versions_and_platform():
    found = surroundings()
    assert found["packages"]["torch"]
    assert found["python"].count(".") == 2


def test_a_long_name_in_another_script_is_shortened_and_stays_one_of_its_own(results, make_row):
    names = [f"{'ж' * 60}_{number}" for number in range(2)]
    parts = [PartName("base", names[0], name, "k", "bias_field", 0.30000000000000004) for name in names]
    for part in parts:
        results.write(part, [make_row(case=part.case)], {"liver": np.ones((2, 2, 2), bool)})
    assert [results.rows([part])["case"].tolist() for part in parts] == [[name] for name in names]
    assert all(results.masks(part) for part in parts)
    short = PartName("base", "chaos", "ж" * 30, "k")
    assert short.path(results.folder, ".parquet").name == "%D0%B6" * 30 + ".parquet"
