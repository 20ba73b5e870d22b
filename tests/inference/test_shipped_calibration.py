"""What ships says how far it is to be believed: its calibration was measured on these very weights, and is good enough.

Where one of these tests fails because weights were replaced, measure anew (docs/explanation/confidence.md):
segevolution models calibrate NAME STORE [--adapter NAME] [--cases ...]
"""

import pytest

from segevolution.inference.calibration import Calibration
from segevolution.inference.confidence import calibration_of
from segevolution.inference.networks import answering
from segevolution.vocabulary import Modality


def shipped(modality: Modality) -> Calibration:
    used, _ = answering("segvol-mini", None, modality)
    return calibration_of(used.model, used.adapter)


@pytest.mark.parametrize("modality", [Modality.CT, Modality.MRI])
def test_what_answers_by_default_was_measured_with_its_weights(modality: Modality) -> None:
    known = shipped(modality).modalities
    assert modality in known, "weights have changed since they were calibrated; see the top of this file"
    measured = known[modality].measured
    assert measured.patients >= 5
    assert set(measured.error_after) == {"text", "point", "box", "text+point", "text+box"}
    assert max(measured.error_after.values()) < 0.08
    assert measured.poor_flagged >= 0.7 * measured.poor
    assert measured.good_flagged <= 0.05 * measured.good


def test_the_bare_model_says_that_it_was_never_measured_on_mri() -> None:
    used, is_expert = answering("segvol-mini", "none", Modality.MRI)
    assert not is_expert
    assert set(calibration_of(used.model, used.adapter).modalities) == {Modality.CT}
