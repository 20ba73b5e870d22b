"""A first answer imports what it needs and no more: each of these costs as much as the answer itself."""

import subprocess
import sys

import pytest

from segevolution.models.outline import outlined
from segevolution.models.tiny import TinyBackbone

SCRIPT = """
import sys
import numpy as np
import segevolution as sev
import segevolution.cli.segment_runs
import segevolution.inference.predict
from segevolution.imaging.grid import Grid

signal = np.random.default_rng(0).normal(40, 300, (40, 40, 20)).astype(np.float32)
volume = sev.Volume(signal, Grid(signal.shape, np.diag([4.0, 4, 5, 1])), sev.Modality.MODALITY, "made")
sev.Session(sev.load(MODEL), volume, windows="off").segment(text="liver")
print(*sorted(name for name in NAMES if name in sys.modules))
"""
COSTLY = ("transformers", "peft", "lightning", "matplotlib", "pandas", "torchio", "torch._dynamo")
COSTLY += ("blosc2", "SimpleITK", "httpx", "httpx2", "pydicom.sr", "highdicom")


@pytest.mark.parametrize(
    ("modality", "model"), [("CT", '"segvol-mini"'), ("MRI", '"segvol-mini-2", adapter="segvol-mini-mri"')]
)
def test_a_first_answer_imports_no_library_that_it_does_not_use(modality, model):
    script = SCRIPT.replace("NAMES", repr(COSTLY)).replace("MODALITY", modality).replace("MODEL", model)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_an_outline_has_shapes_and_no_memory():
    with outlined():
        outline = TinyBackbone().state_dict()
    whole = TinyBackbone().state_dict()
    assert all(value.is_meta for value in outline.values())
    assert {name: value.shape for name, value in outline.items()} == {
        name: value.shape for name, value in whole.items()
    }
