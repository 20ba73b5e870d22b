"""A person's own folder, and nnU-Net's, become cases."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.folder import FolderSource, NnUNetSource
from segevolution.errors import StoreError
from segevolution.vocabulary import Modality


@pytest.fixture
def nnunet(miniature: Any, tmp_path: Path) -> Path:
    for stem in ("p1", "p2_frame03"):
        for channel in (0, 1):
            miniature.image(tmp_path / "imagesTr" / f"{stem}_{channel:04d}.nii.gz", seed=channel)
        miniature.labels(tmp_path / "labelsTr" / f"{stem}.nii.gz", values=(1, 2, 3))
    header = {
        "channel_names": {"0": "T2", "1": "ADC"},
        "labels": {"background": 0, "pz": 1, "tz": 2, "prostate": [1, 2], "lesion": 3, "ignore": 4},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "name": "Dataset005_Prostate",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(header))
    return tmp_path


def test_nnunet_channels_are_cases_of_one_patient(nnunet: Path, miniature: Any, tmp_path: Path) -> None:
    source = open_source("auto", nnunet)
    assert isinstance(source, NnUNetSource)
    assert source.index() == ("p1_adc", "p1_t2", "p2_frame03_adc", "p2_frame03_t2")
    case = source.read("p2_frame03_adc")
    expected = miniature.image(tmp_path / "again.nii.gz", seed=1)
    np.testing.assert_array_equal(case.volume.array, expected)
    assert (case.patient, case.sequence, case.volume.modality) == ("p2", "ADC", Modality.MRI)
    assert case.dataset == "dataset005_prostate"
    assert case.structures == {
        "prostate peripheral zone": (1,),
        "prostate transition zone": (2,),
        "prostate": (1, 2),
        "lesion": (3,),
    }


def test_nnunet_cases_with_ignored_voxels_or_a_missing_channel_are_refused(nnunet: Path, miniature: Any) -> None:
    miniature.labels(nnunet / "labelsTr" / "p1.nii.gz", values=(1, 4))
    (nnunet / "imagesTr" / "p2_frame03_0001.nii.gz").unlink()
    source = NnUNetSource(nnunet)
    with pytest.raises(StoreError, match='marked "ignore" cannot be used'):
        source.read("p1_t2")
    with pytest.raises(StoreError, match=r"p2_frame03_0001\.nii\.gz is missing"):
        source.read("p2_frame03_adc")
    assert source.read("p2_frame03_t2").patient == "p2"


@pytest.mark.parametrize("folders", [("images", "labels"), ("imagesTr", "labelsTr")])
@pytest.mark.parametrize("labels", [{"1": "Liver", "2": "kidney_right"}, {"liver": 1, "right kidney": 2}])
def test_plain_folder_with_a_labels_file(
    miniature: Any, tmp_path: Path, folders: tuple[str, str], labels: dict[str, Any]
) -> None:
    miniature.image(tmp_path / folders[0] / "scan_7.nii")
    miniature.labels(tmp_path / folders[1] / "scan_7.nii.gz")
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    source = open_source("auto", tmp_path, Overrides("clinic", Modality.MRI))
    assert isinstance(source, FolderSource)
    case = source.read("scan_7")
    assert case.structures == {"liver": (1,), "right kidney": (2,)}
    assert (case.dataset, case.volume.modality) == ("clinic", Modality.MRI)


def test_plain_folder_asks_for_what_it_cannot_know(miniature: Any, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="neither imagesTr and labelsTr nor images and labels"):
        FolderSource(tmp_path)
    miniature.image(tmp_path / "images" / "a.nii.gz")
    miniature.labels(tmp_path / "labels" / "a.nii.gz")
    with pytest.raises(StoreError, match=r"labels\.json cannot be read"):
        FolderSource(tmp_path)
    (tmp_path / "labels.json").write_text('{"liver": "one"}')
    with pytest.raises(StoreError, match="give --modality"):
        FolderSource(tmp_path)
    with pytest.raises(StoreError, match="neither value to name nor name to value"):
        FolderSource(tmp_path, Overrides(modality=Modality.CT))
