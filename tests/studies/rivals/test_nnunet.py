"""nnU-Net as a rival, with stand-ins for its commands: what they are given, and what is made of their answers."""

import json
import stat
import sys

import nibabel
import numpy as np
import pytest

from segevolution.data.nnunet_export import ExportedCase, export_nnunet
from segevolution.data.store import Store
from segevolution.errors import RecipeError, StoreError
from segevolution.processors import usable_processors
from segevolution.studies.recipe import Recipe
from segevolution.studies.rivals import nnunet_program
from segevolution.studies.study import run_study

# Plans: makes the folder that a split is written into. Trains: needs the split, leaves a checkpoint. Predicts: calls
# liver what is brighter than the mean, and spleen nothing.
STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
import nibabel, numpy as np
command, arguments = Path(sys.argv[0]).name, sys.argv[1:]
given = lambda flag: arguments[arguments.index(flag) + 1]
folders = {{name: Path(os.environ[name]) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}}
dataset = "Dataset500_study"
with (folders["nnUNet_raw"].parent / "calls.jsonl").open("a") as stream:
    told = {{name: value for name, value in os.environ.items() if "NNUNET" in name.upper()}}
    stream.write(json.dumps([command, arguments, told]) + "\\n")
if command == "nnUNetv2_plan_and_preprocess":
    (folders["nnUNet_preprocessed"] / dataset).mkdir(parents=True)
elif command == "nnUNetv2_train":
    if (folders["nnUNet_raw"].parent / "fails").exists():
        sys.exit("CUDA out of memory")
    split = json.loads((folders["nnUNet_preprocessed"] / dataset / "splits_final.json").read_text())
    assert len(split) == 1
    left = folders["nnUNet_results"] / dataset / "SegevolutionTrainer__nnUNetPlans__3d_fullres" / "fold_0"
    left.mkdir(parents=True)
    (left / "checkpoint_final.pth").write_bytes(b"weights")
else:
    out = Path(given("-o"))
    out.mkdir()
    for path in Path(given("-i")).iterdir():
        image = nibabel.load(path)
        values = np.asanyarray(image.dataobj)
        labels = (values > values.mean()).astype(np.uint8)
        nibabel.save(nibabel.Nifti1Image(labels, image.affine), out / path.name.replace("_0000", ""))
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Commands of nnU-Net on the path, and nowhere else."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for command in nnunet_program.COMMANDS:
        path = folder / command
        path.write_text(STAND_IN.format(python=sys.executable))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(nnunet_program.sys, "executable", str(tmp_path / "nowhere" / "python"))


@pytest.fixture
def study(toy_values, toy_root, tmp_path, plain_pictures):
    def study(**settings):
        method = {"name": "nnunet", "settings": {"epochs": 2, "iterations": 3, **settings}}
        changes = {
            "methods": [{"name": "base"}, method],
            "prompts": ["text", "text+box"],
            "data": toy_values["data"][1:],
        }
        recipe = Recipe.model_validate({**toy_values, **changes})
        folder = tmp_path / "study"
        return folder, run_study(recipe, folder, root=toy_root, device="cpu", quiet=True)

    return study


def calls(folder):
    lines = (folder / "models" / "nnunet-s0" / "nnunet" / "calls.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_run_exports_its_own_patients_trains_and_answers_in_the_table(stand_in, study):
    folder, done = study(tta=False, workers=0)
    made = calls(folder)
    assert [call[2]["nnUNet_n_proc_DA"] for call in made[:2]] == ["1", "0"]  # nnU-Net's planner refuses 0
    assert [command for command, *_ in made] == [
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_train",
        *["nnUNetv2_predict"] * 2,
    ]
    assert made[1][1][:3] == ["500", "3d_fullres", "0"]
    assert made[1][2]["SEGEVOLUTION_NNUNET_EPOCHS"] == "2"
    assert made[1][2]["SEGEVOLUTION_NNUNET_THREADS"] == str(usable_processors())
    assert "--disable_tta" in made[2][1]
    root = folder / "models" / "nnunet-s0" / "nnunet"
    exported = json.loads((root / "nnUNet_raw" / "Dataset500_study" / "dataset.json").read_text())
    assert exported["labels"] == {"background": 0, "liver": 1, "spleen": 2}
    assert exported["numTraining"] == 2
    split = json.loads((root / "nnUNet_preprocessed" / "Dataset500_study" / "splits_final.json").read_text())
    learned = {name.removeprefix("mri.") for name in split[0]["train"]}
    rows = done.table[done.table["method"] == "nnunet"]
    assert set(rows["prompt"]) == {"text", "text+box"}
    assert not learned & set(rows["case"])
    assert (rows[rows["structure"] == "spleen"]["predicted_voxels"] == 0).all()
    assert (rows[rows["structure"] == "liver"]["dice"] > 0.3).all()
    facts = json.loads((folder / "models" / "nnunet-s0" / "trained.json").read_text())
    assert facts["steps"] == 6
    assert facts["seconds"] > 0


def test_a_failed_training_is_one_sentence_and_goes_on_where_it_was(stand_in, study, tmp_path):
    root = tmp_path / "study" / "models" / "nnunet-s0" / "nnunet"
    root.mkdir(parents=True)
    (root / "fails").touch()
    with pytest.raises(RecipeError, match=r"nnUNetv2_train failed with status 1 \(CUDA out of memory\); see .*log"):
        study()
    (root / "fails").unlink()
    folder, _ = study()
    assert [command for command, *_ in calls(folder)][:3] == [
        "nnUNetv2_plan_and_preprocess",
        "nnUNetv2_train",
        "nnUNetv2_train",
    ]


def test_without_nnunet_a_sentence_says_what_to_install(study, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nnunet_program.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(RecipeError, match=r"segevolution\[nnunet\]"):
        study()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"epoch": 1}, 'did you mean "epochs"'), ({"epochs": 0}, "epochs"), ({"configuration": "4d"}, "configuration")],
)
def test_settings_that_cannot_be_are_refused(toy_values, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Recipe.model_validate({**toy_values, "methods": [{"name": "base"}, {"name": "nnunet", "settings": settings}]})


def test_an_export_holds_signal_and_labels_on_the_grid_of_the_case(toy_root, tmp_path):
    store = Store.open(toy_root / "mri")
    export_nnunet([ExportedCase(store, "mri0", "a")], ["spleen", "liver"], tmp_path / "raw")
    image = nibabel.load(tmp_path / "raw" / "imagesTr" / "a_0000.nii.gz")
    labels = nibabel.load(tmp_path / "raw" / "labelsTr" / "a.nii.gz")
    case = store.read("mri0")
    assert np.array_equal(np.asanyarray(image.dataobj), case.volume.array)
    assert np.array_equal(np.asanyarray(labels.dataobj) == 1, case.mask("spleen"))
    assert np.allclose(image.affine, case.volume.grid.affine)
    assert np.allclose(labels.affine, image.affine)
    assert json.loads((tmp_path / "raw" / "dataset.json").read_text())["channel_names"] == {"0": "MRI"}


def test_what_nnunet_could_not_learn_right_is_not_exported(toy_root, tmp_path):
    ct, mri = Store.open(toy_root / "ct"), Store.open(toy_root / "mri")
    both = [ExportedCase(ct, "ct0", "a"), ExportedCase(mri, "mri0", "b")]
    with pytest.raises(StoreError, match="CT and MRI"):
        export_nnunet(both, ["liver"], tmp_path / "raw")
    with pytest.raises(StoreError, match="does not label pancreas"):
        export_nnunet(both[:1], ["pancreas"], tmp_path / "raw")
    with pytest.raises(StoreError, match="no case"):
        export_nnunet([], ["liver"], tmp_path / "raw")
    assert not (tmp_path / "raw").exists()
