"""The plan of a study whose images are still to be made from label maps."""

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


def recipe_of(patients):
    made = {"patients": 4, "modality": "MRI", "sequence": "random", "labels": "maps", "names": {"1": "liver"}}
    data = [{"name": "made", "simulate": made, "patients": patients, "train": 1, "test": "rest"}]
    methods = [{"name": "base"}, {"name": "lora"}]
    return Recipe.model_validate({"name": "plan", "base": "segvol-mini", "data": data, "methods": methods})


def test_images_that_are_to_be_made_belong_to_the_patients_of_their_label_maps(maps):
    planned = forecast(recipe_of(["anna", "bert"]), maps / "study", root=maps)
    assert [(one.state, one.cases, one.patients) for one in planned.datasets] == [("to be made", 4, 2)]
    assert (planned.trained_patients, planned.tested_patients) == (1, 1)


def test_a_patient_without_a_label_map_is_named(maps):
    with pytest.raises(RecipeError, match='"carl"'):
        forecast(recipe_of(["anna", "carl"]), maps / "study", root=maps)
