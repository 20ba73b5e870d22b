import math

from segevolution.evaluation.patients import patient_pairs
from segevolution.evaluation.statistics import difference


def test_patients_have_both_values_over_the_questions_that_both_methods_answered(make_table):
    rows = []
    for number, patient in enumerate(("p1", "p2", "p3")):
        rows.append({"patient": patient, "dice": 0.1 * number})
        rows += [
            {"patient": patient, "method": "lora", "run": f"lora-s{seed}", "seed": seed, "dice": 0.1 * number + gain}
            for seed, gain in ((0, 0.2), (1, 0.4))
        ]
    rows.append({"patient": "p1", "structure": "spleen", "dice": 0.9})  # lora was not asked for it
    rows.append({"patient": "p4", "dice": 0.5})
    table = make_table(rows)
    pairs = patient_pairs(table, "lora", "base")
    assert [(pair.patient, round(pair.reference, 6), round(pair.method, 6)) for pair in pairs] == [
        ("p1", 0.0, 0.3),
        ("p2", 0.1, 0.4),
        ("p3", 0.2, 0.5),
    ]
    changes = difference(table, "lora", "base").values
    assert all(math.isclose(pair.method - pair.reference, value) for pair, value in zip(pairs, changes, strict=True))


def test_where_one_method_answered_nothing_there_are_no_patients(make_table):
    assert patient_pairs(make_table([{}, {"patient": "p2"}]), "lora", "base") == ()
    assert patient_pairs(make_table([{"method": "lora"}, {"patient": "p2"}]), "lora", "base") == ()
