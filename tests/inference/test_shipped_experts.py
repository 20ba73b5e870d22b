"""An expert that ships answers its modality unless a person says otherwise, and everything else stays the base."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from segevolution.adapters import MixtureAdapter, MixtureConfig, save_adapter
from segevolution.adapters.shipped import EXPERT_FOR, expert_for, find_adapter, shipped
from segevolution.errors import AdapterError
from segevolution.imaging.formats import read_labels
from segevolution.inference.predict import predict
from segevolution.inference.request import Request
from segevolution.models.checkpoints import save_model
from segevolution.models.hub import packaged_root
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of shipped weights with a model "toy" and its expert for MRI, which answers otherwise than the base."""
    root = tmp_path / "weights"
    network = TinyBackbone(TinyConfig(window=(8, 32, 32)))
    save_model(network, root / "toy")
    adapter = MixtureAdapter(MixtureConfig())
    adapter.attach(network)
    with torch.no_grad():
        for value in adapter.trainable_parameters():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(3)))
    save_adapter(adapter, network, root / "adapters" / "toy-mri", {"base": "toy", EXPERT_FOR: "MRI"})
    for module in ("models.hub", "adapters.shipped"):
        monkeypatch.setattr(f"segevolution.{module}.packaged_root", lambda: root)
    return root


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    signal = np.random.default_rng(0).random((24, 24, 10)).astype(np.float32)
    nib.save(nib.Nifti1Image(signal, np.diag([2.0, 2.0, 5.0, 1.0])), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def _answer(scan: Path, modality: Modality | None, adapter: str | None) -> tuple[np.ndarray, dict]:
    output = scan.with_name("mask.nii.gz")
    box = (4, 4, 2, 18, 18, 8)
    request = Request(scan, box=box, model="toy", modality=modality, adapter=adapter, output=output, force=True)
    predict(request)
    return read_labels(output).array, json.loads(output.with_name("mask.json").read_text("utf-8"))


@pytest.mark.usefixtures("packaged")
def test_the_expert_answers_its_modality_and_says_so_in_one_line(scan: Path) -> None:
    bare, key = _answer(scan, Modality.MRI, "none")
    assert key["adapter"] is None
    assert not any("expert" in note for note in key["notes"])
    mask, key = _answer(scan, Modality.MRI, None)
    assert key["adapter"] == "toy-mri"
    assert [note for note in key["notes"] if "expert" in note] == [
        "MRI is answered by the expert toy-mri; --adapter none leaves it out"
    ]
    named, _ = _answer(scan, Modality.MRI, "toy-mri")
    assert np.array_equal(mask, named)
    assert not np.array_equal(mask, bare)


@pytest.mark.usefixtures("packaged")
@pytest.mark.parametrize("modality", [Modality.CT, None])
def test_other_modalities_are_the_bases(scan: Path, modality: Modality | None) -> None:
    bare, _ = _answer(scan, modality, "none")
    mask, key = _answer(scan, modality, None)
    assert np.array_equal(mask, bare)
    assert key["adapter"] is None


def test_an_expert_is_found_by_its_base_and_modality(packaged: Path) -> None:
    assert shipped() == {"toy-mri": packaged / "adapters" / "toy-mri"}
    assert expert_for("toy", Modality.MRI) == "toy-mri"
    assert expert_for("toy", Modality.PET) is None
    assert expert_for("toy", None) is None
    assert expert_for("other", Modality.MRI) is None
    assert find_adapter("toy-mri") == packaged / "adapters" / "toy-mri"
    assert find_adapter(packaged) == packaged  # what it holds is for load_adapter to say
    with pytest.raises(AdapterError, match=r'toy-mry is neither [^\n]*; did you mean "toy-mri"'):
        find_adapter("toy-mry")


def test_what_ships_is_an_expert_of_a_model_that_ships() -> None:
    for name, folder in shipped().items():
        config = json.loads((folder / "adapter_config.json").read_text("utf-8"))["segevolution"]
        assert (packaged_root() / config["base"]["name"]).is_dir(), name
        assert config["card"][EXPERT_FOR] in set(Modality)
