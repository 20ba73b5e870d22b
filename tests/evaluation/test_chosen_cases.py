import pandas as pd
import pytest

from segevolution.evaluation.chosen_cases import choose_cases


def scored(make_table, scores, **more):
    rows = []
    for case, (base, lora) in scores.items():
        rows.append({"case": case, "patient": case, "dice": base, **more})
        rows.append({"case": case, "patient": case, "method": "lora", "run": "lora-s0", "dice": lora, **more})
    return make_table(rows)


def test_best_median_and_worst_case_follow_the_rule(make_table):
    table = scored(make_table, {"a": (0.5, 0.9), "b": (0.4, 0.1), "c": (0.3, 0.6), "d": (0.2, 0.5)})
    found = {choice.rank: choice for choice in choose_cases(table, "lora", "base", "text")}
    assert {rank: choice.case for rank, choice in found.items()} == {"best": "a", "median": "d", "worst": "b"}
    assert (found["median"].dice, found["median"].reference_dice) == pytest.approx((0.5, 0.2))
    assert found["best"].run == "lora-s0"


def test_two_cases_have_no_median_and_one_is_the_only_one(make_table):
    two = choose_cases(scored(make_table, {"a": (0.5, 0.9), "b": (0.5, 0.8)}), "lora", "base", "text")
    assert [(choice.rank, choice.case) for choice in two] == [("best", "a"), ("worst", "b")]
    assert [choice.rank for choice in choose_cases(scored(make_table, {"a": (0.5, 0.9)}), "lora", "base", "text")] == [
        "only"
    ]


def test_each_dataset_has_its_own_choice_and_other_prompts_do_not_count(make_table):
    tables = [
        scored(make_table, {"a": (0.5, 0.9), "b": (0.5, 0.8), "c": (0.5, 0.7)}, dataset=name) for name in ("x", "y")
    ]
    tables.append(scored(make_table, {"b": (0.5, 1.0)}, dataset="x", prompt="box"))
    found = choose_cases(pd.concat(tables, ignore_index=True), "lora", "base", "text")
    assert [(choice.dataset, choice.rank, choice.case) for choice in found] == [
        (name, rank, case) for name in "xy" for rank, case in (("best", "a"), ("median", "b"), ("worst", "c"))
    ]
