"""An expert that ships answers its modality unless a person says otherwise, and everything else stays the base."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from segevolution.adapters import MixtureAdapter, MixtureConfig, attached, save_adapter
from segevolution.adapters.shipped import EXPERTS, ShippedExpert, expert_for, experts, find_adapter, model_of, shipped
from segevolution.errors import AdapterError
from segevolution.imaging.formats import read_labels
from segevolution.inference.load import load
from segevolution.inference.predict import predict
from segevolution.inference.request import SegmentRequest
from segevolution.models.checkpoints import save_model
from segevolution.models.hub import DEFAULT
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.server.answerers import Answerers
from segevolution.server.settings import Settings
from segevolution.vocabulary import Modality


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root of shipped weights: for MRI the model "toy" has an expert on another base, which answers otherwise."""
    root = tmp_path / "weights"
    network = TinyBackbone(TinyConfig(window=(8, 32, 32)))
    save_model(TinyBackbone(TinyConfig(window=(8, 32, 32), seed=1)), root / "toy")
    save_model(network, root / "toy-2")
    adapter = MixtureAdapter(MixtureConfig())
    adapter.attach(network)
    with torch.no_grad():
        for value in adapter.trainable_parameters():
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(3)))
    save_adapter(adapter, network, root / "adapters" / "toy-mri", {"base": "toy-2"})
    expert = {"model": "toy-2", "adapter": "toy-mri"}
    alone = {"model": "toy-2", "adapter": None}
    (root / EXPERTS).write_text(json.dumps({"toy": {"MRI": expert, "PET": alone}}), encoding="utf-8")
    for module in ("models.hub", "adapters.shipped"):
        monkeypatch.setattr(f"segevolution.{module}.packaged_root", lambda: root)
    return root


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    signal = np.random.default_rng(0).random((24, 24, 10)).astype(np.float32)
    nib.save(nib.Nifti1Image(signal, np.diag([2.0, 2.0, 5.0, 1.0])), tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


def _answer(scan: Path, modality: Modality | None, adapter: str | None, model: str = "toy") -> tuple[np.ndarray, dict]:
    output = scan.with_name("mask.nii.gz")
    box = (4, 4, 2, 18, 18, 8)
    request = SegmentRequest(scan, box=box, model=model, modality=modality, adapter=adapter, output=output, force=True)
    predict(request)
    return read_labels(output).array, json.loads(output.with_name("mask.json").read_text("utf-8"))


@pytest.mark.usefixtures("packaged")
def test_the_expert_answers_its_modality_and_says_so_in_one_line(scan: Path) -> None:
    bare, key = _answer(scan, Modality.MRI, "none")
    assert key["adapter"] is None
    assert not any("expert" in note for note in key["notes"])
    mask, key = _answer(scan, Modality.MRI, None)
    assert (key["model"], key["adapter"]) == ("toy-2", "toy-mri")
    assert [note for note in key["notes"] if "expert" in note] == [
        "MRI is answered by the expert, toy-2 with toy-mri; --adapter none leaves it out"
    ]
    named, _ = _answer(scan, Modality.MRI, "toy-mri", model="toy-2")
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
    assert expert_for("toy", Modality.MRI) == ShippedExpert("toy-2", "toy-mri")
    assert str(expert_for("toy", Modality.PET)) == "toy-2"
    assert expert_for("toy", Modality.CT) is None
    assert expert_for("toy", None) is None
    assert expert_for("other", Modality.MRI) is None
    assert find_adapter("toy-mri") == packaged / "adapters" / "toy-mri"
    assert find_adapter(packaged) == packaged  # what it holds is for load_adapter to say
    with pytest.raises(AdapterError, match=r'toy-mry is neither [^\n]*; did you mean "toy-mri"'):
        find_adapter("toy-mry")


def test_every_expert_that_ships_fits_and_speaks_of_the_same_structures() -> None:
    assert experts()
    for (model, _), expert in experts().items():
        answers, asked = load(expert.model, adapter=expert.adapter, device="cpu"), load(model, device="cpu")
        assert set(answers.spec.structures) == set(asked.spec.structures)
        assert answers.spec.accepts == asked.spec.accepts


def test_a_server_lists_a_model_that_answers_a_modality_bare(packaged: Path) -> None:
    served = Answerers(Settings(model="toy"))
    assert [(answerer.id, answerer.expert_for) for answerer in served.all] == [
        ("base", ()),
        ("toy-mri", (Modality.MRI,)),
        ("toy-2", (Modality.PET,)),
    ]
    assert served.find(None, Modality.PET).model == "toy-2"
    assert served.find(None, Modality.CT).id == "base"


def test_python_loads_what_the_command_answers_a_modality_with(packaged: Path) -> None:
    assert attached(load("toy", modality=Modality.MRI)) is not None
    assert attached(load("toy", modality=Modality.CT)) is None
    assert attached(load("toy")) is None
    with pytest.raises(AdapterError, match="not both"):
        load("toy-2", adapter="toy-mri", modality=Modality.MRI)


def test_an_adapter_brings_its_base_where_no_model_is_named(packaged: Path, tmp_path: Path) -> None:
    assert model_of("toy-mri") == "toy-2"
    assert model_of(None) == model_of("none") == DEFAULT
    shutil.rmtree(packaged / "toy-2")
    assert model_of("toy-mri") == DEFAULT
    with pytest.raises(AdapterError, match="neither an adapter folder"):
        model_of("toy-mir")
