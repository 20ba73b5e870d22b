"""S1 and S5: a place that contradicts itself, or that no person can have, is said."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.imaging.formats import read

ARRAY = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16)


def saved(folder: Path, sform: list[float], qform: list[float], codes: tuple[int, int], unit: str = "mm") -> Path:
    image = nib.Nifti1Image(ARRAY, np.diag([*sform, 1]) if any(codes) else None)
    image.header.set_sform(np.diag([*sform, 1]), codes[0])
    image.header.set_qform(np.diag([*qform, 1]), codes[1])
    image.header.set_xyzt_units(unit)
    nib.save(image, folder / "scan.nii.gz")
    return folder / "scan.nii.gz"


@pytest.mark.parametrize(
    ("sform", "qform", "codes", "said"),
    [
        ([2, 2, 3], [-2, 2, 3], (1, 1), "by its sform the axes point RAS, by its qform LAS"),
        ([2, 2, 3], [2, -2, 3], (2, 1), "by its qform RPS"),
        ([2, 2, 3], [2, 2, 3], (1, 1), None),
        ([2, 2, 3], [-2, 2, 3], (1, 0), None),
    ],
)
def test_an_sform_and_a_qform_that_turn_the_axes_differently_are_said(
    sform: list[float], qform: list[float], codes: tuple[int, int], said: str | None, tmp_path: Path
) -> None:
    volume = read(saved(tmp_path, sform, qform, codes))
    assert volume.grid.orientation == "RAS"
    assert len(volume.remarks) == (said is not None)
    assert said is None or said in volume.remarks[0]


@pytest.mark.parametrize(
    ("spacing", "shift", "codes", "said"),
    [
        ([4, 4, 6], 100, (1, 1), "by its sform a voxel is 2 x 2 x 3 mm, by its qform 4 x 4 x 6 mm"),
        ([4, 4, 6], 0, (4, 1), "by its qform 4 x 4 x 6 mm"),
        ([2, 2, 3], 100, (1, 1), "its corners lie up to 100.0 mm apart"),
        ([2, 2, 3], 100, (2, 1), None),
        ([2, 2, 3], 100, (4, 1), None),
        ([2, 2, 3], 0.5, (1, 1), None),
        ([2.001, 2, 3], 0, (1, 1), None),
    ],
)
def test_an_sform_and_a_qform_of_other_spacing_or_place_are_said(
    spacing: list[float], shift: float, codes: tuple[int, int], said: str | None, tmp_path: Path
) -> None:
    path = saved(tmp_path, [2, 2, 3], spacing, codes)
    image = nib.load(path)
    qform = np.diag([*spacing, 1.0])
    qform[:3, 3] = shift
    image.set_qform(qform, codes[1])
    nib.save(image, path)
    remarks = read(path).remarks
    assert len(remarks) == (said is not None)
    assert said is None or said in remarks[0]


@pytest.mark.parametrize(("step", "unit"), [(0.5, "meter"), (0.5, "micron"), (150.0, "mm"), (0.001, "mm")])
def test_voxels_that_no_scan_of_a_person_has_are_said(step: float, unit: str, tmp_path: Path) -> None:
    path = saved(tmp_path, [step] * 3, [step] * 3, (1, 1), unit)
    assert "which no scan of a person has" in read(path).remarks[0]


@pytest.mark.parametrize("name", ["left kidney", "Kidney_R", "lh-cortex", "hippocampus left"])
def test_a_side_is_refused_however_it_is_written_where_the_orientation_is_not_stated(name: str, tmp_path: Path) -> None:
    volume = read(saved(tmp_path, [2, 2, 3], [2, 2, 3], (0, 0)))
    with pytest.raises(VolumeError, match="cannot be told from the other side"):
        volume.require_sides(name)
    for other in ("vertebra L1", "liver", "large bowel"):
        volume.require_sides(other)
