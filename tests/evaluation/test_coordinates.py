"""Answers to different questions are never averaged by accident."""

import pandas as pd
import pytest

from segevolution.evaluation.analysis import Analysis
from segevolution.evaluation.coordinates import PLAIN, complete, in_words, plain_rows, varying
from segevolution.evaluation.findings import findings
from segevolution.evaluation.patient_values import by_patient, paired
from segevolution.evaluation.statistics import difference, estimate, summarise
from segevolution.evaluation.tables import comparison_rows, level_rows

CHANGES = {
    "shift": "noise",
    "strength": 0.1,
    "unit": "share",
    "jitter": 5.0,
    "jitter_unit": "mm",
    "points": 3,
    "windows": "off",
    "click": 2,
}
PEOPLE = [f"p{number}" for number in range(6)]


def two_strengths(make_table, column="strength", value=0.1):
    """The base loses .2 from one value of a coordinate to the other, the method loses nothing."""
    rows = [
        {
            "method": method,
            "patient": patient,
            "prompt": "point+box",
            column: at,
            "dice": 0.8 - (0.2 if at == value and method == "base" else 0),
        }
        for method in ("base", "lora")
        for patient in PEOPLE
        for at in (PLAIN[column], value)
    ]
    return make_table(rows)


@pytest.mark.parametrize("column", PLAIN)
def test_rows_that_differ_in_one_coordinate_only_are_not_averaged(make_table, column):
    table = two_strengths(make_table, column, CHANGES[column])
    assert varying(table) == [column]
    for average in (by_patient, estimate):
        with pytest.raises(ValueError, match=f"differ in {column}"):
            average(table)
    with pytest.raises(ValueError, match=f"differ in {column}"):
        difference(table, "lora", "base")


@pytest.mark.parametrize("column", PLAIN)
def test_summaries_and_tables_have_a_row_for_each_value(make_table, column):
    table = two_strengths(make_table, column, CHANGES[column])
    found = summarise(table, ["method"])
    means = {(row["method"], row[column]): round(row["mean"], 6) for row in found.to_dict("records")}
    changed = CHANGES[column]
    plain = PLAIN[column]
    assert means == {("base", plain): 0.8, ("base", changed): 0.6, ("lora", plain): 0.8, ("lora", changed): 0.8}
    shown = findings(table, Analysis("toy", "base"))
    rows = level_rows(shown.metric("dice"), ["base", "lora"]).rows
    assert [row[2].split(" ")[0] for row in rows] == ["0.800", "0.600"]
    assert len({row[1] for row in rows}) == 2
    assert [row[3][:6] for row in comparison_rows(shown.comparisons).rows] == ["+0.000", "+0.200"]


def test_pairs_are_of_the_same_strength(make_table):
    pairs = paired(two_strengths(make_table), "lora", "base")
    assert len(pairs) == 12
    assert pairs.groupby("strength")["dice"].mean().round(6).to_dict() == {0.0: 0.0, 0.1: 0.2}


def test_prompt_seeds_are_repeated_draws_of_one_question_and_are_averaged(make_table):
    rows = [{"patient": "p", "prompt_seed": seed, "dice": value} for seed, value in ((0, 0.2), (1, 0.4))]
    assert by_patient(make_table(rows)) == {("chaos", "p"): pytest.approx(0.3)}


def test_plain_rows_are_first_answers_on_unchanged_scans_with_the_most_exact_boxes(make_table):
    rows = [
        {"prompt": "box", "jitter": 5.0, "case": "a"},
        {"prompt": "box", "jitter": 10.0, "case": "b"},
        {"prompt": "text", "case": "c"},
        {"prompt": "text", "click": 1, "case": "d"},
        {"prompt": "text", "shift": "noise", "strength": 0.1, "case": "e"},
    ]
    assert list(plain_rows(make_table(rows))["case"]) == ["a", "c"]


def test_a_frame_without_these_columns_is_of_plain_questions():
    old = pd.DataFrame([{"dataset": "d", "patient": "p", "dice": 0.5, "strength": None}])
    row = complete(old).iloc[0]
    assert {name: row[name] for name in PLAIN} == dict(PLAIN)


@pytest.mark.parametrize(
    ("columns", "values", "words"),
    [
        (["shift", "strength", "unit"], ["none", "0.0", ""], "unchanged"),
        (["shift", "strength", "unit"], ["noise", "0.05", "share of signal"], "noise 0.05 share of signal"),
        (["jitter", "jitter_unit"], ["5.0", "mm"], "boxes +-5 mm"),
        (["jitter", "jitter_unit"], ["0.0", ""], "exact boxes"),
        (["shift", "strength", "unit"], ["noise", "0.1", "standard deviation over the signal range"], "noise 0.1"),
        (["strength", "click"], ["0.1", "3"], "shift 0.1, click 3"),
        ([], [], ""),
    ],
)
def test_a_group_is_told_from_others_in_words(columns, values, words):
    assert in_words(columns, values) == words


def test_the_jitter_of_boxes_is_told_of_prompts_with_a_box_only():
    columns, values = ["jitter", "jitter_unit", "click"], ["5.0", "mm", "1"]
    assert in_words(columns, values, "text+box") == "boxes +-5 mm, click 1"
    assert in_words(columns, values, "text+point") == "click 1"
