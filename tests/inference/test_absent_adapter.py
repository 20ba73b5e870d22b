"""An answer that an adapter had no part in says so: whoever named the adapter would take it for the adapter's."""

import numpy as np
import pytest

from segevolution.adapters.mixture import MixtureAdapter, MixtureConfig
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.session import Session
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

TASK = MixtureConfig(gate="task", experts=("liver",))


@pytest.mark.parametrize(
    ("config", "modality", "structure", "reason"),
    [
        (MixtureConfig(), None, "liver", "the adapter's gate goes by the modality, which was not said; name it"),
        (MixtureConfig(), Modality.CT, "liver", "the adapter has no expert for CT"),
        (MixtureConfig(), Modality.MRI, "liver", None),
        (TASK, Modality.MRI, "spleen", "the adapter has no expert for spleen"),
        (TASK, Modality.MRI, None, "the adapter's gate goes by the structure, and none was said"),
        (TASK, Modality.MRI, "liver", None),
        (
            MixtureConfig(gate="learned", confidence=0.99),
            Modality.MRI,
            "liver",
            "the adapter's gate is not sure of this",
        ),
        (MixtureConfig(gate="learned", experts=("MRI", "PET"), top_k=2, confidence=0.0), Modality.MRI, "liver", None),
    ],
)
def test_an_answer_of_the_base_alone_is_named_so(config, modality, structure, reason):
    backbone = TinyBackbone(TinyConfig(window=(8, 16, 16)))
    MixtureAdapter(config).attach(backbone)
    signal = np.random.default_rng(0).normal(100, 30, (16, 16, 8)).astype(np.float32)
    session = Session(backbone.eval(), Volume(signal, Grid(signal.shape, np.eye(4)), modality, "scan"))
    answer = session.segment(box=(2, 2, 2, 12, 12, 6), structure=structure)
    said = [note for note in answer.notes if "the base's answer" in note]
    assert said == [] if reason is None else said[0].startswith(f"this is the base's answer: {reason}")


def test_the_base_without_an_adapter_has_nothing_to_say():
    backbone = TinyBackbone(TinyConfig(window=(8, 16, 16))).eval()
    signal = np.random.default_rng(0).normal(100, 30, (16, 16, 8)).astype(np.float32)
    session = Session(backbone, Volume(signal, Grid(signal.shape, np.eye(4)), None, "scan"))
    assert not [note for note in session.segment(box=(2, 2, 2, 12, 12, 6)).notes if "the base" in note]
