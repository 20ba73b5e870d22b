"""What a folder's scans are, and what in it is none."""

from pathlib import Path

import nibabel as nib
import numpy as np

from dicom_objects import binary, structure_set
from segevolution.inference.scan_inputs import find_scans


def test_dicom_files_of_labels_are_no_scans(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "ct.nii.gz")
    binary(tmp_path / "ct_seg.dcm", {"liver": np.ones((9, 7, 5), bool)})
    structure_set(tmp_path / "ct_seg.rtstruct.dcm", {"liver": [(0, [(1, 1), (3, 1), (3, 3)])]})
    scans, _ = find_scans([tmp_path])
    assert [scan.path.name for scan in scans] == ["ct.nii.gz"]
