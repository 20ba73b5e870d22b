"""Rules on made tables: what is advised, and why."""

import pandas as pd
import pytest

from segevolution.adaptation.evidence import measure
from segevolution.adaptation.verdict import Recommendation, advise
from segevolution.evaluation.results import SCHEMA


def made(changes, *, patients=8, dataset="ours", modality="MRI", before=0.5, structures=("liver",)):
    """Rows of base and lora; `changes` maps a prompt kind to what is added, a number or one for each patient."""
    rows = []
    for prompt, change in changes.items():
        for number in range(patients):
            added = change[number % len(change)] if isinstance(change, list) else change
            for structure in structures:
                told = added[structure] if isinstance(added, dict) else added
                for method, dice in (("base", before + 0.01 * number), ("lora", before + 0.01 * number + told)):
                    where = {"dataset": dataset, "modality": modality, "patient": f"p{number}", "case": f"p{number}"}
                    what = {"structure": structure, "prompt": prompt, "context": "known", "shift": "none"}
                    run = {"run": method, "method": method, "seed": 0, "voxels": 100, "dice": dice}
                    rows.append(dict.fromkeys(SCHEMA.names) | where | what | run)
    return pd.DataFrame(rows)


def advice(*tables, **more):
    return advise(measure(pd.concat(tables, ignore_index=True), "lora", "base", ["ct"], **more))


def ct(change, patients=6):
    return made({"text": change, "box": change}, patients=patients, dataset="ct", modality="CT")


def scattered(mean, size):
    return [mean + size * place for place in (-1, -0.6, -0.2, 0.2, 0.6, 1, 0.1, -0.1)]


def test_gains_and_nothing_lost_is_to_be_used():
    found = advice(made({"text": 0.2, "box": [0.0, 0.03, -0.03]}), ct(0.0))
    assert found.answer is Recommendation.USE
    assert found.headline.startswith("Use it: Dice over all kinds of prompt rose by +0.1")
    assert "no kind of prompt and no structure fell, and CT was kept within 0.02 of Dice." in found.headline
    assert "text: gained (+0.200 [+0.200, +0.200], 8 patients)." in found.reasons
    assert any(sentence.startswith("box: no gain within the interval") for sentence in found.reasons)
    assert found.when_not == ("box prompts: no gain was shown",)


def test_the_mean_over_all_kinds_decides_and_says_so():
    found = advice(made({"text": 0.2, "box": 0.1}), ct(0.0))
    assert found.reasons[0] == (
        "Over all kinds of prompt: +0.150 [+0.150, +0.150], p = 0.008, 8 patients. This decides."
    )


def test_one_lucky_kind_of_many_is_no_gain():
    changes = {kind: scattered(0.0, 0.1) for kind in ("point", "box", "text+point", "text+box", "point+box")}
    found = advice(made({"text": scattered(0.03, 0.02), **changes}, patients=7), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert any(sentence.startswith("text: rose, but not beyond what so many kinds") for sentence in found.reasons)


def test_an_interval_that_holds_zero_everywhere_says_do_not_adapt():
    found = advice(made({"text": [0.1, -0.1], "box": [0.2, -0.2]}), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert found.headline.startswith("Do not adapt: no gain of Dice over all kinds of prompt is shown")


def test_a_gain_too_small_to_mean_anything_is_none():
    found = advice(made({"text": 0.004}), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert "text: changed by less than 0.01 (+0.004 [+0.004, +0.004], 8 patients)." in found.reasons


def test_a_prompt_kind_that_fell_is_named_as_what_the_adapter_is_not_for():
    found = advice(made({"text": 0.2, "point": -0.05}), ct(0.0))
    assert found.answer is Recommendation.CARE
    assert "rose by" in found.headline
    assert "but point prompts fell" in found.headline
    assert "point prompts: they fell; ask the base without the adapter" in found.when_not


def test_falls_without_a_gain_say_do_not_adapt():
    found = advice(made({"text": [0.1, -0.1], "point": -0.05}), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert "and point prompts fell" in found.headline


def test_a_structure_that_fell_reaches_the_answer():
    changes = {"text": [{"liver": 0.3, "spleen": -0.1}]}
    found = advice(made(changes, structures=("liver", "spleen")), ct(0.0))
    assert found.answer is Recommendation.CARE
    assert "but spleen fell" in found.headline
    assert "spleen: it fell" in found.when_not


@pytest.mark.parametrize(
    ("change", "answer", "word"),
    [
        ([0.001, -0.002, 0.0, -0.001], Recommendation.USE, "CT (ct): kept within 0.02 of Dice"),
        ([-0.001, -0.03, 0.01, -0.02], Recommendation.CARE, "that it was kept within 0.02 of Dice is not shown"),
        ([-0.049, -0.052], Recommendation.CARE, "more than 0.02 of Dice was lost"),
    ],
    ids=["kept", "not-shown", "lost"],
)
def test_ct_is_kept_only_where_that_is_shown(change, answer, word):
    found = advice(made({"text": 0.2}), ct(change))
    assert found.answer is answer
    assert any(word in sentence for sentence in found.reasons)
    assert any(clause.startswith("CT (ct)") for clause in found.when_not) == (answer is Recommendation.CARE)


def test_one_kind_that_lost_ct_is_not_hidden_by_another_that_gained():
    table = made({"text": [-0.029, -0.031], "box": [0.031, 0.029]}, patients=6, dataset="ct", modality="CT")
    found = advice(made({"text": 0.2}), table)
    assert found.answer is Recommendation.CARE
    assert "CT (ct) by text fell by 0.030" in found.headline


def test_ct_that_was_not_measured_reaches_the_answer():
    found = advice(made({"text": 0.2}))
    assert found.answer is Recommendation.CARE
    assert "but CT was not measured" in found.headline
    assert "Whether CT is still answered as before was not measured." in found.reasons


def test_ct_of_too_few_patients_is_not_called_kept():
    found = advice(made({"text": 0.2}), ct(-0.001, patients=3))
    assert found.answer is Recommendation.CARE
    assert any("too few patients to know whether it was kept" in sentence for sentence in found.reasons)


def test_simulated_ct_is_called_so_wherever_it_counts():
    found = advice(made({"text": 0.2}), ct([0.001, -0.001]), simulated=["ct"])
    assert found.answer is Recommendation.USE
    assert "and simulated CT was kept within 0.02" in found.headline
    assert any(sentence.startswith("Real CT was not measured") for sentence in found.reasons)


def test_ct_that_is_the_same_to_the_last_bit_is_said_to_be():
    assert any("to the last bit (6 patients)" in sentence for sentence in advice(made({"text": 0.2}), ct(0.0)).reasons)
    almost = advice(made({"text": 0.2}), ct(1e-12))
    assert not any("to the last bit" in sentence for sentence in almost.reasons)


def test_ct_is_not_kept_where_nothing_could_be_lost():
    nothing = made({"text": 0.0, "box": 0.0}, patients=8, dataset="ct", modality="CT").assign(dice=0.0)
    found = advice(made({"text": 0.2}), nothing)
    assert found.answer is Recommendation.CARE
    assert any("above that with 0 of them only" in sentence for sentence in found.reasons)
    one = advice(made({"text": 0.2}), ct(0.0, patients=1))
    assert one.answer is Recommendation.CARE
    assert "that CT (ct) was kept within 0.02 is not shown" in one.headline


def test_ct_that_the_adapter_leaves_to_the_base_is_unchanged_whoever_was_measured():
    found = advice(made({"text": 0.2}), ct(0.0, patients=1), by_design=["CT"])
    assert found.answer is Recommendation.USE
    assert advice(made({"text": 0.2}), ct(0.001, patients=1), by_design=["CT"]).answer is Recommendation.CARE


def test_ct_patients_that_were_learned_from_show_nothing():
    found = advice(made({"text": 0.2}), ct(0.0), learned=["ct"])
    assert found.answer is Recommendation.CARE
    assert "CT (ct) was measured on patients that it learned from" in found.headline
    assert any("of others nothing is shown" in sentence for sentence in found.reasons)
    own = advice(made({"text": 0.2}), ct(0.0), learned=["ours"])
    assert "but ours was measured on patients that it learned from" in own.headline


def test_before_and_after_are_of_the_same_questions():
    hard = made({"text": -0.1}, structures=("ureter",))
    table = pd.concat([made({"text": 0.2}), hard[hard["method"] == "lora"]], ignore_index=True)
    (row,) = measure(table, "lora", "base", []).rows
    assert row.after.mean - row.before.mean == pytest.approx(row.change.estimate.mean) == pytest.approx(0.2)
    assert row.no_before == ("ureter",)
    assert any("text: without ureter, for which" in sentence for sentence in advice(table, ct(0.0)).reasons)


def test_below_six_patients_no_gain_is_claimed_whatever_the_difference():
    found = advice(made({"text": 0.3}, patients=5), ct(0.0))
    assert found.answer is Recommendation.UNKNOWN
    assert "5 patients tested are too few to know" in found.headline
    assert "no gain is claimed" in found.headline
    assert any(sentence.startswith("text: too few patients to know (+0.300,") for sentence in found.reasons)


def test_nobody_held_out_claims_nothing():
    found = advice(ct(0.0))
    assert found.answer is Recommendation.UNKNOWN
    assert found.headline.startswith("Nobody could be held out")


def test_attempts_on_the_same_patients_are_said():
    assert any("This is attempt 3" in line for line in advice(made({"text": 0.2}), ct(0.0), attempts=3).reasons)
    assert not any("attempt" in line for line in advice(made({"text": 0.2}), ct(0.0)).reasons)


def test_a_name_that_the_base_does_not_know_has_no_before():
    table = made({"text": 0.2, "box": 0.2})
    table = table[(table["method"] == "lora") | (table["prompt"] == "box")]
    found = advice(table, ct(0.0))
    assert found.answer is Recommendation.USE
    assert any(sentence.startswith("text: the base does not know these names") for sentence in found.reasons)


def test_modalities_are_told_apart():
    found = advice(made({"text": 0.4}), made({"text": -0.1}, dataset="other", modality="PET"), ct(0.0))
    assert "PET text prompts fell" in found.headline
    assert "MRI text: gained (+0.400 [+0.400, +0.400], 8 patients)." in found.reasons
