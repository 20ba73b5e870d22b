"""Rules on made tables: what is advised, and why."""

import pandas as pd
import pytest

from segevolution.adaptation.verdict import Recommendation, advise, fallen_structures, rows_of
from segevolution.evaluation.results import SCHEMA
from segevolution.evaluation.retention import losses_of


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
                    run = {"run": method, "method": method, "seed": 0, "dice": dice}
                    rows.append(dict.fromkeys(SCHEMA.names) | where | what | run)
    return pd.DataFrame(rows)


def advice(*tables):
    table = pd.concat(tables, ignore_index=True)
    names = ["lora", "base", ["ct"]]
    return advise(rows_of(table, *names), losses_of(table, *names), fallen_structures(table, *names))


def ct(change, patients=6):
    return made({"text": change, "box": change}, patients=patients, dataset="ct", modality="CT")


def test_gains_and_nothing_lost_is_to_be_used():
    found = advice(made({"text": 0.2, "box": [0.0, 0.03, -0.03]}), ct(0.0))
    assert found.answer is Recommendation.USE
    assert "rose with text;" in found.headline
    assert "text: gained (+0.200 [+0.200, +0.200], 8 patients)." in found.reasons
    assert any(sentence.startswith("box: no gain within the interval") for sentence in found.reasons)
    assert found.when_not == ("box prompts: no gain was shown",)


def test_an_interval_that_holds_zero_everywhere_says_do_not_adapt():
    found = advice(made({"text": [0.1, -0.1], "box": [0.2, -0.2]}), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert found.headline.startswith("Do not adapt: no prompt kind gained within the interval")


def test_a_gain_too_small_to_mean_anything_is_none():
    found = advice(made({"text": 0.004}), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert "text: changed by less than 0.01 (+0.004 [+0.004, +0.004], 8 patients)." in found.reasons


def test_a_prompt_kind_that_fell_is_named_as_what_the_adapter_is_not_for():
    found = advice(made({"text": 0.2, "point": -0.05}), ct(0.0))
    assert found.answer is Recommendation.CARE
    assert "Dice rose with text, but point prompts fell" in found.headline
    assert "point prompts: they fell; ask the base without the adapter" in found.when_not


def test_falls_without_a_gain_say_do_not_adapt():
    found = advice(made({"text": [0.1, -0.1], "point": -0.05}), ct(0.0))
    assert found.answer is Recommendation.NOT
    assert "and point prompts fell" in found.headline


@pytest.mark.parametrize(("change", "answer"), [(-0.03, Recommendation.CARE), (-0.015, Recommendation.USE)])
def test_ct_is_lost_from_two_hundredths_on(change, answer):
    found = advice(made({"text": 0.2}), ct(change))
    assert found.answer is answer
    assert ("no kind of prompt fell, and CT was kept within 0.02 of Dice" in found.headline) == (
        answer is Recommendation.USE
    )
    assert any("more than 0.02 of Dice was lost" in sentence for sentence in found.reasons) == (
        answer is Recommendation.CARE
    )
    assert any(sentence.startswith("CT: it lost 0.030") for sentence in found.when_not) == (
        answer is Recommendation.CARE
    )


def test_ct_that_is_the_same_to_the_last_bit_is_said_to_be():
    assert any("to the last bit (6 patients)" in sentence for sentence in advice(made({"text": 0.2}), ct(0.0)).reasons)
    almost = advice(made({"text": 0.2}), ct(1e-12))
    assert not any("to the last bit" in sentence for sentence in almost.reasons)


def test_few_patients_on_ct_are_called_an_impression():
    found = advice(made({"text": 0.2}), ct(-0.001, patients=3))
    assert any("too few patients for more than an impression" in sentence for sentence in found.reasons)


def test_below_six_patients_no_gain_is_claimed_whatever_the_difference():
    found = advice(made({"text": 0.3}, patients=5), ct(0.0))
    assert found.answer is Recommendation.UNKNOWN
    assert "5 patients held out are too few to know" in found.headline
    assert "no gain is claimed" in found.headline
    assert any(sentence.startswith("text: too few patients to know (+0.300") for sentence in found.reasons)


def test_nobody_held_out_claims_nothing():
    found = advice(ct(0.0))
    assert found.answer is Recommendation.UNKNOWN
    assert found.headline.startswith("Nobody could be held out")


def test_ct_that_was_not_measured_is_said_not_to_be():
    assert "Whether CT is still answered as before was not measured." in advice(made({"text": 0.2})).reasons


def test_a_name_that_the_base_does_not_know_has_no_before():
    table = made({"text": 0.2, "box": 0.2})
    table = table[(table["method"] == "lora") | (table["prompt"] == "box")]
    found = advice(table, ct(0.0))
    assert found.answer is Recommendation.USE
    assert "rose with box;" in found.headline
    assert any(sentence.startswith("text: the base does not know these names") for sentence in found.reasons)


def test_a_structure_that_fell_within_a_gain_is_named():
    changes = {"text": {"liver": 0.3, "spleen": -0.1}}
    found = advice(made({"text": [changes["text"]]}, structures=("liver", "spleen")), ct(0.0))
    assert "spleen: it fell" in found.when_not
    assert "Structures that fell, over all prompt kinds: spleen." in found.reasons


def test_modalities_are_told_apart():
    found = advice(made({"text": 0.2}), made({"text": -0.2}, dataset="ours", modality="PET"), ct(0.0))
    assert found.answer is Recommendation.CARE
    assert "rose with MRI text, but PET text prompts fell" in found.headline
