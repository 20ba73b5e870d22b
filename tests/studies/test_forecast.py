"""The plan of a study whose images are still to be made from label maps."""

import json

import nibabel as nib
import numpy as np
import pytest

from segevolution.errors import RecipeError
from segevolution.studies.forecast import forecast
from segevolution.studies.recipe import Recipe


@pytest.fixture
def maps(tmp_path):
    """A folder with the label maps of two patients."""
    for name in ("anna", "bert"):
        labels = np.zeros((12, 12, 12), np.uint8)
        labels[3:9, 3:9, 3:9] = 1
        (tmp_path / "maps").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(labels, np.diag([3.0, 3, 3, 1])), tmp_path / "maps" / f"{name}.nii.gz")
    return tmp_path


def recipe_of(patients, **changes):
    made = {"patients": 4, "modality": "MRI", "sequence": "random", "labels": "maps", "names": {"1": "liver"}}
    data = [{"name": "made", "simulate": made, "patients": patients, "train": 1, "test": "rest"}]
    methods = [{"name": "base"}, {"name": "lora"}]
    values = {"name": "plan", "base": "segvol-mini", "data": data, "methods": methods}
    return Recipe.model_validate(values | changes)


def test_images_that_are_to_be_made_belong_to_the_patients_of_their_label_maps(maps):
    planned = forecast(recipe_of(["anna", "bert"]), maps / "study", root=maps)
    assert [(one.state, one.cases, one.patients) for one in planned.datasets] == [("to be made", 4, 2)]
    assert (planned.trained_patients, planned.tested_patients) == (1, 1)


def test_a_patient_without_a_label_map_is_named(maps):
    with pytest.raises(RecipeError, match='"carl"'):
        forecast(recipe_of(["anna", "carl"]), maps / "study", root=maps)


def test_a_structure_that_the_base_does_not_know_may_be_labelled_by_what_is_still_to_be_prepared(maps):
    planned = forecast(recipe_of(["anna", "bert"], structures=["left knee"]), maps / "study", root=maps)
    assert planned.evaluations == 4
    assert planned.measuring_hours > 0


def test_a_folder_is_read_with_the_modality_that_the_recipe_says(maps):
    for part in ("images", "labels"):
        (maps / "own" / part).mkdir(parents=True)
        (maps / "own" / part / "carl.nii.gz").write_bytes((maps / "maps" / "anna.nii.gz").read_bytes())
    (maps / "own" / "labels.json").write_text('{"1": "liver"}')
    own = {"name": "own", "source": "folder", "path": "own", "modality": "CT"}
    methods = [{"name": "base"}]
    planned = forecast(recipe_of(None, data=[own], methods=methods), maps / "study", root=maps)
    assert [(one.state, one.cases) for one in planned.datasets] == [("to be prepared", 1)]


def test_shifts_of_scans_that_nobody_has_read_are_not_called_meaningless(maps):
    for part in ("imagesTr", "labelsTr"):
        (maps / "own" / part).mkdir(parents=True)
        (maps / "own" / part / "carl.nii.gz").write_bytes((maps / "maps" / "anna.nii.gz").read_bytes())
    pair = {"image": "./imagesTr/carl.nii.gz", "label": "./labelsTr/carl.nii.gz"}
    described = {"modality": {"0": "MRI"}, "labels": {"0": "background", "1": "liver"}, "training": [pair]}
    (maps / "own" / "dataset.json").write_text(json.dumps(described))
    values = {"methods": [{"name": "base"}], "shifts": [{"name": "bias_field", "strengths": [1]}]}
    own = {"name": "own", "source": "msd", "path": "own", "test": 1}
    planned = forecast(recipe_of(None, data=[own], **values), maps / "study", root=maps)
    assert planned.not_asked == (
        "of own only the shifts for any modality are counted, until their scans are read and tell theirs.",
    )
    told = forecast(recipe_of(None, data=[{**own, "modality": "CT"}], **values), maps / "study", root=maps)
    assert told.not_asked == ("bias_field is not applied to 1 of 1 cases of own: it means nothing on CT.",)
