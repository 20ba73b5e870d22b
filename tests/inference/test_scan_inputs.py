"""What a folder's scans are, and what in it is none."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from dicom_objects import binary, series, structure_set
from segevolution.errors import FormatError
from segevolution.imaging.formats import read
from segevolution.inference.scan_inputs import find_scans


def test_dicom_files_of_labels_are_no_scans(tmp_path: Path) -> None:
    nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)).to_filename(tmp_path / "ct.nii.gz")
    binary(tmp_path / "ct_seg.dcm", {"liver": np.ones((9, 7, 5), bool)})
    structure_set(tmp_path / "ct_seg.rtstruct.dcm", {"liver": [(0, [(1, 1), (3, 1), (3, 3)])]})
    scans, _ = find_scans([tmp_path])
    assert [scan.path.name for scan in scans] == ["ct.nii.gz"]


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.Nifti1Image(np.zeros((3, 3, 3), np.uint8), np.eye(4)).to_filename(path)
    return path


def junk(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"junk")
    return path


def test_a_damaged_dicom_file_makes_no_other_file_stand_for_the_folder(tmp_path: Path) -> None:
    series(tmp_path / "s1")
    junk(tmp_path / "s2" / "x.dcm")
    image(tmp_path / "s1" / "labels.nii.gz")
    scans, notes = find_scans([tmp_path])
    assert [(scan.path, scan.series, len(scan.slices)) for scan in scans] == [
        (tmp_path, "1.2.3", 5),
        (tmp_path / "s2", None, 0),
    ]
    assert read(tmp_path, series="1.2.3").array.shape == (7, 9, 5)
    with pytest.raises(FormatError, match=r"x\.dcm is not a DICOM file"):
        read(tmp_path / "s2")
    assert notes == (f"{tmp_path} holds DICOM, so 1 other image file below it was left out, labels.nii.gz the first",)


def test_a_damaged_file_beside_slices_may_be_one_of_them_and_is_refused(tmp_path: Path) -> None:
    series(tmp_path)
    junk(tmp_path / "x.dcm")
    for uid in (None, "1.2.3"):
        with pytest.raises(FormatError, match=r"x\.dcm is not a DICOM file"):
            read(tmp_path, series=uid)
    image(tmp_path / "ct.nii.gz")
    assert [scan.path for scan in find_scans([tmp_path])[0]] == [tmp_path]
    for file in tmp_path.glob("[!x]*.dcm"):
        file.unlink()
    assert [scan.path for scan in find_scans([tmp_path])[0]] == [tmp_path]  # and reading it says what is wrong


def test_images_in_subfolders_that_are_not_taken_are_counted(tmp_path: Path) -> None:
    image(tmp_path / "c1.nii.gz")
    image(tmp_path / "sub" / "c2.nii.gz")
    image(tmp_path / ".git" / "c3.nii.gz")
    scans, notes = find_scans([tmp_path])
    assert [scan.name for scan in scans] == ["c1"]
    assert notes == (
        f"{tmp_path} holds images itself, so 1 other image file below it was left out, c2.nii.gz the first",
    )


def test_linked_folders_are_followed_once_and_never_upwards(tmp_path: Path) -> None:
    image(tmp_path / "store" / "a" / "t1.nii.gz")
    links = tmp_path / "links"
    links.mkdir()
    for name in ("p1", "p2"):
        (links / name).symlink_to(tmp_path / "store" / "a")
    (links / "up").symlink_to(tmp_path)
    (links / "self").symlink_to("self")
    scans, _ = find_scans([links])
    assert [scan.path for scan in scans] == [links / "p1" / "t1.nii.gz"]


def test_masks_that_a_key_names_are_no_scans(tmp_path: Path) -> None:
    image(tmp_path / "ct.nii.gz")
    row = {"name": "liver", "label": 1, "file": "liver.nii.gz", "voxels": 1, "volume_ml": 1.0}
    row |= {"mean_intensity": None, "predicted_iou": None}
    key = {"structures": [row], "made_by": "segevolution 1", "probabilities": ["liver_probability.nii.gz"]}
    for name in ("liver", "liver_probability"):
        image(tmp_path / f"{name}.nii.gz")
    (tmp_path / "segmentation.json").write_text(json.dumps(key), encoding="utf-8")
    (tmp_path / "ct.json").write_text("{}", encoding="utf-8")  # a sidecar, such as BIDS has
    assert [scan.name for scan in find_scans([tmp_path])[0]] == ["ct"]


def test_files_of_one_stem_and_folder_are_numbered_wherever_the_folder_lies(tmp_path: Path) -> None:
    for name in ("a.nii", "a.nii.gz", "b.nii.gz"):
        image(tmp_path / "same" / name)
    assert [scan.name for scan in find_scans([tmp_path / "same"])[0]] == ["a", "a_2", "b"]
    image(tmp_path / "other" / "a.nii.gz")
    names = [scan.name for scan in find_scans([tmp_path / "same", tmp_path / "other"])[0]]
    assert names == ["same_a", "same_a_2", "b", "other_a"]


def test_masks_among_several_paths_are_no_scans_and_one_alone_is(tmp_path: Path) -> None:
    paths = [image(tmp_path / f"{name}.nii.gz") for name in ("a", "a_seg", "b")]
    (tmp_path / "a_seg.json").write_text("{}", encoding="utf-8")
    scans, notes = find_scans(paths)
    assert [scan.name for scan in scans] == ["a", "b"]
    assert notes == ("1 masks of an earlier call were left out, a_seg.nii.gz the first",)
    assert [scan.name for scan in find_scans(paths[1:2])[0]] == ["a_seg"]
    with pytest.raises(FormatError, match=r"a_seg\.nii\.gz and the others are masks"):
        find_scans([paths[1], paths[1]])
