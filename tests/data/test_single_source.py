import json

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.sources import Overrides, open_source
from segevolution.errors import StoreError
from segevolution.vocabulary import Modality


def test_one_patient_in_a_folder_is_one_case(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (6, 5, 4)).astype(np.uint8)
    nib.save(nib.Nifti1Image(rng.normal(size=labels.shape).astype(np.float32), np.eye(4)), tmp_path / "image.nii.gz")
    nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "labels.nii.gz")
    (tmp_path / "labels.json").write_text(json.dumps({"1": "kidney_right", "2": "spleen"}))
    source = open_source("auto", tmp_path, Overrides(modality=Modality.CT))
    case = source.read(source.index()[0])
    assert set(case.structures) == {"right kidney", "spleen"}
    assert np.array_equal(case.mask("spleen"), labels == 2)
    with pytest.raises(StoreError, match="modality"):
        open_source("single", tmp_path)


def test_the_real_torso_is_read(shared_data):
    source = open_source("single", shared_data / "ct_torso", Overrides(modality=Modality.CT))
    case = source.read("ct_torso")
    assert {"liver", "right kidney", "inferior vena cava", "bladder"} <= set(case.structures)
