"""S2: signal against the stated modality, by rules that fire on no real volume."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segevolution.errors import SegevolutionError
from segevolution.imaging.formats import read
from segevolution.imaging.grid import Grid
from segevolution.imaging.signal_checks import signal_doubts, signal_warnings
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def volume(array: np.ndarray, modality: Modality | None) -> Volume:
    return Volume(array, Grid(array.shape, np.eye(4)), modality)


def ct() -> np.ndarray:
    """Air, fat, muscle and bone in HU."""
    generator = np.random.default_rng(0)
    array = generator.normal(-1000, 10, (40, 40, 20))
    array[6:34, 6:34] = generator.normal(-90, 15, (28, 28, 20))
    array[9:31, 9:31] = generator.normal(45, 15, (22, 22, 20))
    array[18:22, 24:28] = generator.normal(700, 90, (4, 4, 20))
    return np.rint(array).astype(np.int16)


@pytest.mark.parametrize("modality", [Modality.CT, None])
def test_a_ct_in_hu_is_silent(modality: Modality | None) -> None:
    assert signal_warnings(volume(ct(), modality)) == ()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (ct() + 1024, "as if 1024 or 1000 had been added"),
        (np.maximum(ct() + 1000, 0), "as if 1024 or 1000 had been added"),
        ((ct() - ct().min()) / np.ptp(ct()), "as if normalised"),
        ((ct() - ct().mean()) / ct().std(), "as if normalised"),
        ((255 * ((ct() - ct().min()) / np.ptp(ct()))).astype(np.uint8), "8 bits"),
        (np.maximum(ct().astype(np.int32) + 1000, 0) * 30, "far above bone"),
        (ct() - 1024, "almost no voxel lies between"),
        (np.clip(ct().astype(np.int32), -125, 275) * 255 // 400 - 48, "8 bits"),
        (ct().astype(np.int32) * 10, "far below air"),
        (-ct(), "inverted"),
    ],
)
def test_a_ct_that_is_not_in_hu_is_said(array: np.ndarray, words: str) -> None:
    sentences = signal_warnings(volume(array, Modality.CT))
    assert "this CT is not in HU" in sentences[0]
    assert words in sentences[0]


CHANGES = {
    "halved": lambda array: array / 2,
    "doubled": lambda array: array * 2,
    "a tenth": lambda array: array / 10,
    "raised": lambda array: array + 100,
    "lowered": lambda array: array - 100,
    "raised by 200": lambda array: array + 200,
    "tripled": lambda array: array * 3,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("clipped", [False, True], ids=["whole", "clipped"])
def test_a_ct_that_was_scaled_or_shifted_is_doubted(change: str, clipped: bool) -> None:
    array = np.clip(ct(), -125, 275) if clipped else ct()
    assert signal_warnings(volume(array, Modality.CT)) == ()
    sentence = signal_warnings(volume(CHANGES[change](array.astype(np.float32)), Modality.CT))[0]
    assert "not in HU" in sentence or "not be in HU" in sentence


def test_a_clipped_ct_that_is_called_an_mri_is_said() -> None:
    assert "cut off at -125" in signal_warnings(volume(np.clip(ct(), -125, 275), Modality.MRI))[0]


@pytest.mark.parametrize("change", list(CHANGES)[:5])
def test_a_real_clipped_ct_that_was_scaled_or_shifted_is_doubted(change: str, shared_data: Path) -> None:
    files = sorted((shared_data / "ct_abdomen_btcv" / "imagesTr").glob("*.nii.gz"))[::9]
    assert len(files) == 3
    doubted = 0
    for file in files:
        image = read(file, modality="CT")
        assert signal_warnings(image) == ()
        sentences = signal_warnings(replace(image, array=CHANGES[change](image.array.astype(np.float32))))
        doubted += any("be in HU" in sentence or "not in HU" in sentence for sentence in sentences)
    assert doubted >= 2  # of noisy ones, fat and soft tissue are one peak


@pytest.mark.parametrize("highest", [100, 230, 1000, 4095])
def test_a_ct_without_anything_below_zero_is_doubted(highest: int) -> None:
    array = np.rint((ct() - ct().min()) / np.ptp(ct()) * highest)
    assert any("not be in HU" in text or "not in HU" in text for text in signal_warnings(volume(array, Modality.CT)))


def test_doubts_leave_out_what_is_mended() -> None:
    padded = ct()
    padded[:4] = -3024
    assert any("fill" in text for text in signal_warnings(volume(padded, Modality.CT)))
    assert signal_doubts(volume(padded, Modality.CT)) == ()
    assert "1024" in signal_doubts(volume(ct() + 1024, Modality.CT))[0]


def test_an_mri_with_the_air_of_a_ct_is_said() -> None:
    assert "looks like a CT" in signal_warnings(volume(ct(), Modality.MRI))[0]


def test_saturated_and_empty_images_are_said() -> None:
    image = np.random.default_rng(0).integers(0, 500, (20, 20, 20))
    assert signal_warnings(volume(image, Modality.MRI)) == ()
    assert "cut off there" in signal_warnings(volume(np.minimum(image, 400), Modality.MRI))[0]
    nearly = np.zeros_like(image)
    nearly[5:9, 5:9, 5:9] = image[5:9, 5:9, 5:9]
    assert "hardly anything of this image is signal" in signal_warnings(volume(nearly, Modality.MRI))[0]


def test_fill_is_said() -> None:
    image = np.random.default_rng(0).integers(0, 500, (20, 20, 20))
    padded = np.pad(image, 5, constant_values=-1024)
    assert signal_warnings(volume(padded, Modality.MRI))[0].startswith("70 % of the voxels are fill")


def test_no_real_volume_raises_an_alarm(shared_data: Path) -> None:
    looked_at = 0
    for name in ("ct_head_atlas.nii.gz", "ct_torso/image.nii.gz", "ct_abdomen_dicom", "ct_liver_chaos/CT/1/DICOM_anon"):
        assert signal_warnings(read(shared_data / name, modality="CT")) == (), name
    files = sorted((shared_data / "ct_abdomen_btcv" / "imagesTr").glob("[!.]*.nii.gz"))[::12]
    for folder in ("mr_abdomen_chaos", "mr_heart_acdc", "mr_abdomen_amos", "Task04_Hippocampus"):
        files += sorted((shared_data / folder / "imagesTr").glob("[!.]*.nii.gz"))[::12]
    for name in ("mr_head", "mr_head2", "mr_abdomen", "mr_brain_tumour/*", "mr_heart_la2018/*"):
        files += [*shared_data.glob(f"{name}/image.nii.gz"), *shared_data.glob(f"{name}/[ft]*.nii.gz")]
    for file in files:
        try:
            image = read(file)
        except SegevolutionError:
            continue
        modality = Modality.CT if "btcv" in file.name else Modality.MRI
        assert signal_warnings(replace(image, modality=modality)) == (), file
        looked_at += 1
    assert looked_at > 20
