"""How often "use it" is said where adapting changes nothing, by simulation on made tables; no training."""

import numpy as np
import pandas as pd
import pytest

from segevolution.adaptation.evidence import VerdictEvidence, VerdictRow, corrected, measure
from segevolution.adaptation.verdict import Recommendation, advise
from segevolution.evaluation.results import SCHEMA
from segevolution.evaluation.retention import Retention
from segevolution.evaluation.significance import equivalence
from segevolution.evaluation.statistics import difference_of, estimate_of

KINDS = ("text", "point", "box", "text+point", "text+box", "point+box")
STUDIES = 250


def null(rng, patients):
    """(kinds, patients) changes without a true one: the kinds of a patient are correlated, as one adapter's are."""
    return rng.normal(0, 0.04, patients) + rng.normal(0, 0.04, (len(KINDS), patients))


def kept_ct(changes):
    """CT whose change is known; unless it was kept, "use it" is not said anyway."""
    change, tested = difference_of(changes, ()), equivalence(changes, 0.02, ())
    return (Retention("lora", "base", "ct", "CT", change, tested, False, tested.p, len(changes)),)


def answer_of(changes, ct):
    level = estimate_of([0.5] * changes.shape[1], ())
    rows = [
        VerdictRow("ours", "MRI", kind, level, level, difference_of(values, ()), retention=False)
        for kind, values in zip(KINDS, changes, strict=True)
    ]
    return advise(VerdictEvidence(difference_of(changes.mean(axis=0), ()), tuple(corrected(rows)), (), ct)).answer


@pytest.mark.parametrize("patients", [6, 9, 14])
def test_under_the_null_use_it_is_said_in_a_twentieth_of_studies_at_most(patients):
    rng = np.random.default_rng(patients)
    ct = kept_ct(np.linspace(-0.002, 0.002, 6))
    answers = [answer_of(null(rng, patients), ct) for _ in range(STUDIES)]
    assert np.mean([answer is Recommendation.USE for answer in answers]) <= 0.05
    assert np.mean([answer in (Recommendation.USE, Recommendation.CARE) for answer in answers]) <= 0.05


def test_a_true_gain_is_found():
    rng = np.random.default_rng(0)
    ct = kept_ct(np.linspace(-0.002, 0.002, 6))
    answers = [answer_of(null(rng, 14) + 0.08, ct) for _ in range(100)]
    assert np.mean([answer is Recommendation.USE for answer in answers]) > 0.8


@pytest.mark.parametrize("patients", [6, 14])
def test_ct_that_truly_lost_the_margin_is_called_kept_in_a_twentieth_at_most(patients):
    rng = np.random.default_rng(patients)
    answers = [
        answer_of(np.full((len(KINDS), 8), 0.2), kept_ct(rng.normal(-0.02, 0.02, patients))) for _ in range(STUDIES)
    ]
    assert np.mean([answer is Recommendation.USE for answer in answers]) <= 0.065


def test_a_table_is_judged_as_the_numbers_in_it_are():
    changes = null(np.random.default_rng(1), 6) + 0.03
    measured = measure(table_of(changes), "lora", "base", ["ct"])
    assert measured.gain.values == pytest.approx(tuple(changes.mean(axis=0)))
    assert [row.change.values for row in measured.rows] == [pytest.approx(tuple(values)) for values in changes]
    assert advise(measured).answer is answer_of(changes, ())


def table_of(changes):
    rows = []
    for kind, values in zip(KINDS, changes, strict=True):
        for number, change in enumerate(values):
            where = {"dataset": "ours", "modality": "MRI", "patient": f"p{number}", "case": f"p{number}"}
            what = {"structure": "liver", "prompt": kind, "context": "known", "seed": 0, "voxels": 9}
            for method, dice in (("base", 0.5), ("lora", 0.5 + change)):
                rows.append(
                    dict.fromkeys(SCHEMA.names) | where | what | {"method": method, "run": method, "dice": dice}
                )
    return pd.DataFrame(rows)
