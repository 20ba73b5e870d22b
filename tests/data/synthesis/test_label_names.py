"""What names the labels of a map that a case is made of."""

from pathlib import Path

import numpy as np
import pytest

from dicom_objects import code, segment, segmentation
from segevolution.data.synthesis.label_names import table_beside
from segevolution.errors import StoreError


def test_a_dicom_segmentation_names_its_segments_itself_unless_a_table_does(tmp_path: Path) -> None:
    named = [segment(1, "Segment_1", code("10200004")), segment(2, "my lesion")]
    path = segmentation(tmp_path / "seg.dcm", named, [(1, 0, np.ones((9, 7), bool))])
    assert table_beside(path) == {1: "liver", 2: "my lesion"}
    (tmp_path / "labels.json").write_text('{"1": "liver parenchyma"}')
    assert table_beside(path) == {1: "liver parenchyma"}
    (tmp_path / "labels.json").write_text('{"1": "spleen"}')
    with pytest.raises(StoreError, match="itself calls its label 1 liver"):
        table_beside(path)


def test_a_map_without_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="beside it that names its labels"):
        table_beside(tmp_path / "map.nii.gz")
