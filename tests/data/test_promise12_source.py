"""PROMISE12 in both layouts: test numbers that restart at 00 never meet the training cases of the same number."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from segevolution.data.sources import open_source
from segevolution.data.sources.promise12 import PROMISE12Source
from segevolution.errors import SegevolutionError, StoreError
from segevolution.vocabulary import Modality

# An oblique axial series: ITK's LPS+ millimetres.
TILT = 0.2
DIRECTION = (1, 0, 0, 0, np.cos(TILT), -np.sin(TILT), 0, np.sin(TILT), np.cos(TILT))
SPACING, ORIGIN = (0.625, 0.625, 3.6), (-31.0, 12.5, -40.0)


def write(path: Path, array: np.ndarray) -> None:
    """An (X, Y, Z) array as .mhd and .raw."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(array.T))
    image.SetSpacing(SPACING)
    image.SetOrigin(ORIGIN)
    image.SetDirection(DIRECTION)
    sitk.WriteImage(image, str(path), useCompression=False)


def case(folder: Path, number: int, *, seed: int = 0, masked: bool = True, value: int = 1) -> None:
    """CaseXX with a block of prostate that depends on the seed."""
    write(folder / f"Case{number:02d}.mhd", np.random.default_rng(seed).integers(0, 900, (12, 10, 6)).astype(np.int16))
    if masked:
        mask = np.zeros((12, 10, 6), np.int8)
        mask[2 + seed % 3 : 7, 3:6, 1:4] = value
        write(folder / f"Case{number:02d}_segmentation.mhd", mask)


def test_test_numbers_that_restart_are_other_patients(tmp_path: Path) -> None:
    for part, first in (("training_data", 0), ("test_data", 5)):
        for number in (0, 1):
            case(tmp_path / part, number, seed=first + number)
    source = open_source("auto", tmp_path)
    assert isinstance(source, PROMISE12Source)
    assert source.index() == ("promise12_test_00", "promise12_test_01", "promise12_train_00", "promise12_train_01")
    cases = [source.read(name) for name in source.index()]
    assert [found.part for found in cases] == ["test", "test", "train", "train"]
    assert len({found.patient for found in cases}) == 4
    assert {(c.dataset, c.sequence, c.volume.modality) for c in cases} == {("promise12", "T2", Modality.MRI)}
    assert not np.array_equal(cases[0].volume.array, cases[2].volume.array)


def test_signal_and_mask_lie_where_itk_puts_them(tmp_path: Path) -> None:
    case(tmp_path / "training_data", 0, seed=2)
    found = PROMISE12Source(tmp_path).read("promise12_train_00")
    assert found.structures == {"prostate": (1,)}
    assert found.volume.array.dtype == np.int16
    image = sitk.ReadImage(str(tmp_path / "training_data" / "Case00.mhd"))
    mask = sitk.ReadImage(str(tmp_path / "training_data" / "Case00_segmentation.mhd"))
    inside = np.argwhere(found.mask("prostate"))
    assert len(inside) == np.count_nonzero(sitk.GetArrayFromImage(mask)) == 27
    for index, ras in zip(inside.tolist(), found.volume.grid.to_mm(inside), strict=True):
        lps = (-ras[0], -ras[1], ras[2])
        assert mask.GetPixel(mask.TransformPhysicalPointToIndex(lps)) == 1
        assert image.GetPixel(image.TransformPhysicalPointToIndex(lps)) == found.volume.array[tuple(index)]


def test_the_challenges_own_layout_has_no_cases_without_masks(tmp_path: Path) -> None:
    for part, number in ((1, 0), (2, 20), (3, 49)):
        case(tmp_path / "PROMISE12" / f"TrainingData_Part{part}", number, seed=number)
    case(tmp_path / "PROMISE12" / "TestData", 0, masked=False)
    case(tmp_path / "PROMISE12" / "__MACOSX" / "training_data", 30)
    (tmp_path / "PROMISE12" / "TrainingData_Part1" / "._Case00.mhd").write_bytes(b"\x00\x05\x16\x07")
    source = open_source("auto", tmp_path)
    assert source.index() == ("promise12_train_00", "promise12_train_20", "promise12_train_49")
    assert source.read("promise12_train_49").part == "train"


def test_a_number_that_is_there_twice_is_told(tmp_path: Path) -> None:
    case(tmp_path / "training_data", 0)
    case(tmp_path / "TrainingData_Part1", 0)
    with pytest.raises(StoreError, match=r"promise12_train_00 is in .*Part1 and in .*training_data; keep one"):
        PROMISE12Source(tmp_path).index()


def test_two_files_of_one_number_in_a_folder_are_told(tmp_path: Path) -> None:
    case(tmp_path / "training_data", 1)
    for name in ("Case01", "Case01_segmentation"):
        for ending in (".mhd", ".raw"):
            file = tmp_path / "training_data" / f"{name}{ending}"
            file.with_name(file.name.replace("Case01", "Case1")).write_bytes(file.read_bytes())
    with pytest.raises(StoreError, match=r"Case01.mhd and .*Case1.mhd have one name, .*; keep one"):
        PROMISE12Source(tmp_path).index()


def test_faults_are_one_sentence_about_one_case(tmp_path: Path) -> None:
    folder = tmp_path / "training_data"
    for number in range(5):
        case(folder, number)
    (folder / "Case01.raw").unlink()
    (folder / "Case02_segmentation.mhd").unlink()
    (folder / "Case03.mhd").unlink()
    case(folder, 4, value=2)
    reasons = {}
    source = PROMISE12Source(tmp_path)
    for name in source.index():
        try:
            source.read(name)
        except SegevolutionError as error:
            reasons[name[-2:]] = str(error)
    assert reasons.keys() == {"01", "02", "03", "04"}
    assert "its data file Case01.raw is not beside it" in reasons["01"]
    assert "promise12_train_02 has no label" in reasons["02"]
    assert "promise12_train_03 has no image" in reasons["03"]
    assert "holds the label 2, which the dataset names as no structure" in reasons["04"]
    assert not any("\n" in reason for reason in reasons.values())


def test_other_folders_are_refused(tmp_path: Path) -> None:
    case(tmp_path / "images", 0)
    case(tmp_path / "test_data", 0, masked=False)
    assert not PROMISE12Source.recognises(tmp_path)
    with pytest.raises(StoreError, match="not in PROMISE12's layout"):
        PROMISE12Source(tmp_path)
