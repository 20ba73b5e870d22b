import json

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.synthesis.cases import synthesise
from segevolution.errors import StoreError, VolumeError
from segevolution.vocabulary import Modality


@pytest.fixture
def label_map(tmp_path):
    labels = np.zeros((40, 40, 20), np.uint8)
    labels[8:20, 10:30, 5:15] = 1
    labels[26:34, 12:24, 6:14] = 2
    labels[2:4, 2:4, 2:4] = 9  # nobody named it
    path = tmp_path / "patient7.nii.gz"
    nib.save(nib.Nifti1Image(labels, np.diag([4.0, 4.0, 5.0, 1.0])), path)
    return path


def test_a_label_map_becomes_labelled_ct_and_mri_of_one_patient(label_map):
    names = {1: "liver", 2: "spleen"}
    scan = synthesise(label_map, 3, names=names).case
    other = synthesise(label_map, 3, names=names, modality=Modality.MRI, sequence="T2-SPIR").case
    assert scan.patient == other.patient == "patient7"
    assert set(scan.structures) == {"liver", "spleen"}
    assert np.array_equal(scan.labels, other.labels)
    assert 30 < scan.volume.array[scan.mask("liver")].mean() < 200
    assert scan.volume.array[scan.labels == 0].min() < -500
    again = synthesise(label_map, 3, names=names).case
    assert np.array_equal(scan.volume.array, again.volume.array)
    assert not np.array_equal(scan.labels, synthesise(label_map, 4, names=names).case.labels)


def test_names_are_read_from_the_file_beside_the_map(label_map):
    with pytest.raises(StoreError, match=r"patient7\.json"):
        synthesise(label_map, 0, names="json")
    label_map.with_name("patient7.json").write_text(json.dumps({"1": "liver", "2": "kidney_right"}))
    assert set(synthesise(label_map, 0, names="json").case.structures) >= {"liver", "right kidney"}


def test_what_cannot_be_synthesised_is_refused(label_map):
    with pytest.raises(VolumeError, match="T9"):
        synthesise(label_map, 0, names={1: "liver"}, modality=Modality.MRI, sequence="T9")
    with pytest.raises(VolumeError, match="PET"):
        synthesise(label_map, 0, names={1: "liver"}, modality=Modality.PET)
