"""Labels of one's own folder that are DICOM segmentations, named by labels.json."""

import json
from pathlib import Path

import numpy as np

from dicom_objects import Stack, binary, series
from segevolution.data.sources import open_source
from segevolution.data.sources.base import Overrides
from segevolution.vocabulary import Modality


def test_labels_may_be_sparse_segmentations_beside_folders_of_slices(tmp_path: Path) -> None:
    mask = np.zeros(Stack().shape, bool)
    mask[2:5, 1:3, 1:3] = True
    series(tmp_path / "images" / "a")
    (tmp_path / "labels").mkdir()
    binary(tmp_path / "labels" / "a.dcm", {"anything": mask})
    (tmp_path / "labels.json").write_text(json.dumps({"1": "liver"}))
    case = open_source("folder", tmp_path, Overrides(modality=Modality.CT)).read("a")
    np.testing.assert_array_equal(case.mask("liver"), mask.transpose(1, 0, 2))
