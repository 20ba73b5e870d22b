"""The whole suite of behaviours on each kind of network: segment, save and load, adapt with LoRA, resume, study."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from segevolution.adapters import Adapter, create
from segevolution.adapters.artifact import load_adapter, save_adapter
from segevolution.cli.app import main
from segevolution.data.store import Store
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.imaging.case import Case
from segevolution.imaging.formats import read_labels
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.inference.load import load
from segevolution.inference.session import Session
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import VARIANTS, TinyBackbone
from segevolution.studies.recipe import Recipe
from segevolution.studies.study import run_study
from segevolution.training.batch_builder import TrainingBatch
from segevolution.training.batches import StepDataset
from segevolution.training.case_groups import load_group
from segevolution.training.fit import fit
from segevolution.training.settings import FitSettings
from segevolution.vocabulary import Modality

STRUCTURES = ("liver", "spleen")
AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0, 3.0, -20], [0, -1.25, 0, 30], [0, 0, 0, 1]])
SETTINGS: dict[str, Any] = {
    "steps": 4,
    "seed": 5,
    "warmup": 1,
    "learning_rate": 1e-2,
    "checkpoint_every": 2,
    "sample": {"views": 1, "structures": 2, "prompts": 2},
    "validation": {"volumes": 1, "prompts": ["text", "box"]},
    "validate_every": 2,
}


def network(framing: str) -> TinyBackbone:
    return TinyBackbone(replace(VARIANTS[framing], structures=STRUCTURES)).eval()


def case(seed: int) -> Case:
    """A dim body with a bright liver and a brighter spleen, in a file order that is not canonical."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((40, 30, 36), np.uint8)
    x, z, y = rng.integers(0, 4, 3)
    labels[4 + x : 16 + x, 6 + z : 14 + z, 5 + y : 17 + y] = 1
    labels[24 : 32 + x, 12 : 22 + z, 20 : 30 + y] = 2
    signal = rng.normal(100, 8, labels.shape) + np.array([0, 400, 600])[labels]
    signal[:, -2:] = 0
    volume = Volume(signal.astype(np.float32), Grid(labels.shape, AFFINE), Modality.MRI, f"p{seed}")
    return Case(f"p{seed}", f"p{seed}", "toy", volume, labels, {"liver": (1,), "spleen": (2,)})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of four patients, and a model folder for each kind of network."""
    root = tmp_path_factory.mktemp("root")
    store = Store.create(root / "toy")
    for seed in range(4):
        store.add(case(seed))
    for framing in VARIANTS:
        save_model(network(framing), root / framing)
    return root


def box_of(patient: Case) -> list[float]:
    places = np.argwhere(patient.mask("liver"))
    return [*places.min(axis=0).astype(float), *places.max(axis=0).astype(float)]


def question(framing: str, patient: Case) -> dict[str, Any]:
    return {"text": "liver"} if framing == "sliding" else {"box": box_of(patient)}


@pytest.mark.parametrize("framing", VARIANTS)
def test_a_saved_network_answers_as_before(root: Path, framing: str) -> None:
    patient = case(0)
    loaded = load(root / framing, device="cpu")
    assert loaded.spec == network(framing).spec
    asked = question(framing, patient)
    before = Session(network(framing), patient.volume).segment(**asked)
    after = Session(loaded, patient.volume).segment(**asked)
    assert before.mask.any()
    np.testing.assert_array_equal(after.mask, before.mask)


@pytest.mark.parametrize("framing", VARIANTS)
def test_the_command_line_segments(root: Path, tmp_path: Path, framing: str) -> None:
    patient = case(0)
    nib.Nifti1Image(patient.volume.array, AFFINE).to_filename(tmp_path / "scan.nii.gz")
    asked = ["--text", "liver"] if framing == "sliding" else ["--box", ",".join(map(str, box_of(patient)))]
    out = tmp_path / "mask.nii.gz"
    words = ["segment", tmp_path / "scan.nii.gz", *asked, "--model", root / framing, "-o", out, "--modality", "MRI"]
    with pytest.raises(SystemExit) as leaving:
        main([*map(str, words), "--quiet", "--device", "cpu"])
    assert not leaving.value.code
    mask = read_labels(out).array > 0
    truth = patient.labels > 0 if framing == "sliding" else patient.mask("liver")
    assert mask.shape == truth.shape
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.7
    assert json.loads(out.with_name("mask.json").read_text(encoding="utf-8"))["model"] == str(root / framing)


def trained(framing: str, root: Path, folder: Path) -> tuple[TinyBackbone, Adapter]:
    """A network after its training with LoRA, or what is left of that, and the LoRA."""
    backbone = network(framing)
    torch.manual_seed(0)
    adapter = create("lora", {"rank": 2})
    adapter.attach(backbone)
    store = Store.open(root / "toy")
    groups = [load_group(store, ["p0", "p1"], backbone.spec)]
    validation = [load_group(store, ["p2"], backbone.spec)]
    settings = FitSettings(**SETTINGS)
    fit(backbone, groups, settings, folder, validation=validation, device="cpu", quiet=True)
    return backbone.eval(), adapter


class Killed(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("framing", VARIANTS)
def test_lora_trains_is_saved_and_a_killed_run_goes_on_bit_for_bit(
    root: Path, tmp_path: Path, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, adapter = trained(framing, root, tmp_path / "whole")
    whole = adapter.state()
    torch.manual_seed(0)
    fresh = create("lora", {"rank": 2})
    fresh.attach(network(framing))
    assert any(not torch.equal(value, fresh.state()[name]) for name, value in whole.items())

    def dying(self: StepDataset, index: int) -> TrainingBatch:
        if index == 3 and self.seed == SETTINGS["seed"]:
            raise Killed
        return original(self, index)

    original = StepDataset.__getitem__
    with monkeypatch.context() as patch:
        patch.setattr(StepDataset, "__getitem__", dying)
        with pytest.raises(Killed):
            trained(framing, root, tmp_path / "killed")
    _, resumed = trained(framing, root, tmp_path / "killed")
    assert all(torch.equal(value, resumed.state()[name]) for name, value in whole.items())

    patient = case(0)
    asked = question(framing, patient)
    expected = Session(backbone, patient.volume).segment(**asked, keep_logits=True)
    base = Session(network(framing), patient.volume).segment(**asked, keep_logits=True)
    assert not np.array_equal(expected.logits, base.logits)
    save_adapter(adapter, backbone, tmp_path / "adapter")
    again = network(framing)
    load_adapter(tmp_path / "adapter", again)
    answer = Session(again.eval(), patient.volume).segment(**asked, keep_logits=True)
    np.testing.assert_array_equal(answer.logits, expected.logits)


@pytest.mark.parametrize("framing", VARIANTS)
def test_a_study_measures_base_and_lora(
    root: Path, tmp_path: Path, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segevolution.evaluation.plots.rendering.render", lambda *given, **how: Drawing(b"", b"", b""))
    recipe = Recipe.model_validate(
        {
            "name": "toy",
            "base": str(root / framing),
            "data": [{"name": "toy", "path": "toy", "labels": "exact", "train": 2, "test": 2}],
            "methods": [{"name": "base"}, {"name": "lora", "settings": {"rank": 2}}],
            "fit": {"steps": 2, "warmup": 1, "sample": {"views": 1, "structures": 1}},
            "prompts": ["text"] if framing == "sliding" else ["point", "box"],
        }
    )
    done = run_study(recipe, tmp_path / "out", root=root, device="cpu", quiet=True)
    kinds = 1 if framing == "sliding" else 2
    assert len(done.table) == 2 * 2 * 2 * kinds
    assert not done.table["dice"].isna().any()
    base = done.table[done.table["method"] == "base"]
    assert base[base["prompt"] != "text"]["dice"].gt(0.3).all()
    again = run_study(recipe, tmp_path / "out", root=root, device="cpu", quiet=True)
    assert (again.trained, again.measured) == ((), 0)
