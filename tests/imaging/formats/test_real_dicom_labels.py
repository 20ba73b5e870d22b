"""An oblique MRI of a prostate: its zones as a segmentation and as contours, read again voxel by voxel."""

from pathlib import Path

import numpy as np
import pytest

from segevolution.data.sources.pairs import place_labels
from segevolution.imaging.formats import read, read_labels, write_mask
from segevolution.imaging.legend import legend


@pytest.mark.parametrize("name", ["zones.dcm", "zones.rtstruct.dcm"])
def test_zones_of_an_oblique_series_come_back_exactly(name: str, shared_data: Path, tmp_path: Path) -> None:
    if name == "zones.dcm":
        pytest.importorskip("highdicom")
    case = shared_data / "mr_prostate_prostatex" / "ProstateX-0000"
    image = read(case / "dicom")
    array = place_labels(image, read_labels(case / "zones.nii.gz"))
    write_mask(array, image, tmp_path / name, labels=legend(["peripheral zone", "transition zone"]))
    np.testing.assert_array_equal(read_labels(tmp_path / name, like=image).array, array)
    assert array.any()
