"""BraTS 2021: four cases of one patient with one label map, named as the truth is and not as it was once swapped."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segevolution.data.prepare import prepare
from segevolution.data.sources import Overrides, open_source
from segevolution.data.sources.brats import BraTSSource
from segevolution.data.store import Store
from segevolution.errors import SegevolutionError, StoreError
from segevolution.vocabulary import Modality

# As the real files: 1 mm, axes to the left and the back, the corner far from the middle.
AFFINE = np.array([[-1, 0, 0, 0], [0, -1, 0, 239], [0, 0, 1, 0], [0, 0, 0, 1.0]])
FILES = ("flair", "t1", "t1ce", "t2")


def patient(miniature: Any, folder: Path, number: int, *, labelled: bool = True) -> Path:
    """A patient's folder with four sequences and, where wanted, labels 1, 2 and 4."""
    name = f"BraTS2021_{number:05d}"
    for seed, ending in enumerate(FILES):
        miniature.image(folder / name / f"{name}_{ending}.nii.gz", 10 * number + seed, affine=AFFINE)
    if labelled:
        miniature.labels(folder / name / f"{name}_seg.nii.gz", (1, 2, 4), affine=AFFINE)
    return folder / name


def test_sequences_are_four_cases_of_one_patient(miniature: Any, tmp_path: Path) -> None:
    folder = patient(miniature, tmp_path, 3)
    source = open_source("auto", tmp_path)
    assert isinstance(source, BraTSSource)
    assert source.dataset == "brats2021"
    assert source.index() == tuple(f"BraTS2021_00003_{ending}" for ending in FILES)
    cases = [source.read(name) for name in source.index()]
    assert {case.patient for case in cases} == {"BraTS2021_00003"}
    assert [case.sequence for case in cases] == ["FLAIR", "T1", "T1-CE", "T2"]
    assert {case.volume.modality for case in cases} == {Modality.MRI}
    for case in cases:
        written = nib.load(folder / f"{case.name}.nii.gz")
        np.testing.assert_array_equal(case.volume.array, np.asanyarray(written.dataobj))


def test_each_tumour_part_has_its_true_name_at_its_place(miniature: Any, tmp_path: Path) -> None:
    folder = patient(miniature, tmp_path, 0)
    case = BraTSSource(tmp_path).read("BraTS2021_00000_t1ce")
    assert case.structures == {
        "brain tumour necrotic core": (1,),
        "brain tumour oedema": (2,),
        "brain tumour enhancing": (4,),
        "brain tumour": (1, 2, 4),
    }
    seg = nib.load(folder / "BraTS2021_00000_seg.nii.gz")
    for structure, value in (("necrotic core", 1), ("oedema", 2), ("enhancing", 4)):
        expected = nib.affines.apply_affine(AFFINE, np.argwhere(np.asanyarray(seg.dataobj) == value))
        found = case.volume.grid.to_mm(np.argwhere(case.mask(f"brain tumour {structure}")))
        np.testing.assert_array_equal(found, expected)
        assert len(found) == 12


def test_layout_one_level_down_and_leftovers_of_archives(miniature: Any, tmp_path: Path) -> None:
    folder = patient(miniature, tmp_path / "RSNA_ASNR_MICCAI_BraTS2021_TrainingData", 7)
    (folder / "._BraTS2021_00007_seg.nii.gz").write_bytes(b"\x00\x05\x16\x07")
    patient(miniature, tmp_path / "__MACOSX", 8)
    source = open_source("auto", tmp_path, Overrides(dataset="mine"))
    assert {name[:15] for name in source.index()} == {"BraTS2021_00007"}
    assert len(source.index()) == 4
    assert source.read("BraTS2021_00007_t2").dataset == "mine"


def test_patients_without_labels_are_no_cases(miniature: Any, tmp_path: Path) -> None:
    patient(miniature, tmp_path, 1)
    patient(miniature, tmp_path, 2, labelled=False)
    assert {name[:15] for name in BraTSSource(tmp_path).index()} == {"BraTS2021_00001"}


def test_a_part_that_a_patient_lacks_is_absent(miniature: Any, tmp_path: Path) -> None:
    folder = patient(miniature, tmp_path, 1)
    miniature.labels(folder / "BraTS2021_00001_seg.nii.gz", (2,), affine=AFFINE)
    case = BraTSSource(tmp_path).read("BraTS2021_00001_t1")
    assert case.structures.keys() == {"brain tumour oedema", "brain tumour"}


@pytest.mark.parametrize("value", [3, 5])
def test_a_label_that_the_challenge_does_not_have_is_refused(miniature: Any, tmp_path: Path, value: int) -> None:
    folder = patient(miniature, tmp_path, 1)
    miniature.labels(folder / "BraTS2021_00001_seg.nii.gz", (1, 2, value), affine=AFFINE)
    with pytest.raises(StoreError, match=f"BraTS2021_00001_t1: .*_seg.nii.gz holds the label {value}, which"):
        BraTSSource(tmp_path).read("BraTS2021_00001_t1")


def test_a_missing_sequence_spoils_one_case_and_the_others_are_prepared(miniature: Any, tmp_path: Path) -> None:
    folder = patient(miniature, tmp_path / "data", 1)
    patient(miniature, tmp_path / "data", 2)
    (folder / "BraTS2021_00001_t1ce.nii.gz").unlink()
    store = Store.create(tmp_path / "store")
    report = prepare(open_source("auto", tmp_path / "data"), store)
    assert report.failed.keys() == {"BraTS2021_00001_t1ce"}
    assert "has no image" in report.failed["BraTS2021_00001_t1ce"]
    assert len(report.added) == 7
    assert {store.record(name).person for name in store.names} == {
        ("brats2021", "BraTS2021_00001"),
        ("brats2021", "BraTS2021_00002"),
    }
    assert store.labelled("brats2021") == {
        "brain tumour",
        "brain tumour necrotic core",
        "brain tumour oedema",
        "brain tumour enhancing",
    }


def test_other_folders_are_refused(miniature: Any, tmp_path: Path) -> None:
    (tmp_path / "BraTS20_Training_001").mkdir()
    assert not BraTSSource.recognises(tmp_path)
    assert not BraTSSource.recognises(tmp_path / "nowhere")
    with pytest.raises(SegevolutionError, match=r"not in BraTS 2021's layout: it holds no folder such as BraTS2021_0"):
        BraTSSource(tmp_path)


def test_a_patient_that_is_there_twice_is_told(miniature: Any, tmp_path: Path) -> None:
    patient(miniature, tmp_path / "a", 0)
    patient(miniature, tmp_path / "b", 0)
    with pytest.raises(
        StoreError, match=r"BraTS2021_00000_flair is in .*a.BraTS2021_00000 and in .*b.BraTS2021_00000; ke"
    ):
        BraTSSource(tmp_path).index()


def test_another_file_of_one_name_is_said_not_to_be_read(miniature: Any, tmp_path: Path) -> None:
    folder = patient(miniature, tmp_path, 0)
    miniature.image(folder / "BraTS2021_00000_t1.nii", 99, affine=AFFINE)
    texts = [decision.text for decision in BraTSSource(tmp_path).decisions if decision.kind == "not read"]
    assert texts == ["BraTS2021_00000/BraTS2021_00000_t1.nii (another file of that name is)"]
