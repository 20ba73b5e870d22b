"""S3: fill and spikes set no scale, and an image without them is handed on untouched."""

from pathlib import Path

import numpy as np
import pytest

from segevolution.errors import SegevolutionError
from segevolution.imaging.formats import read
from segevolution.imaging.intensity import NORMALISERS, normalise
from segevolution.imaging.usable_signal import usable_signal
from segevolution.vocabulary import Modality

INSIDE = (slice(2, 38), slice(2, 38), slice(2, 22))


def tissue(seed: int = 0) -> np.ndarray:
    """MR-like: air of 0 to 30 round organs of 100 to 600."""
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 30, (40, 40, 24))
    for place, signal in (((12, 14, 10), 300), ((26, 24, 12), 550), ((20, 30, 8), 150)):
        x, y, z = (np.arange(side) for side in image.shape)
        away = (x[:, None, None] - place[0]) ** 2 + (y[:, None] - place[1]) ** 2 + 4 * (z - place[2]) ** 2
        image = np.where(away < 100, signal + generator.integers(-40, 40, image.shape), image)
    return image.astype(np.int16)


@pytest.mark.parametrize("modality", [Modality.MRI, None])
def test_an_ordinary_image_is_handed_on_as_it_is(modality: Modality | None) -> None:
    image = tissue()
    assert usable_signal(image, modality).image is image
    assert usable_signal(image, modality).measured is image


def test_no_real_image_is_taken_to_hold_fill_or_spikes(shared_data: Path) -> None:
    names = [
        *("ct_head_atlas.nii.gz", "ct_torso/image.nii.gz", "mr_abdomen/image.nii.gz", "mr_head/image.nii.gz"),
        *("mr_brain_nrrd/brain1_image.nrrd", "mr_spine/t1.nii.gz", "mr_spine/t2.nii.gz", "ct_abdomen_dicom"),
    ]
    folders = ("mr_abdomen_chaos", "mr_heart_acdc", "Task04_Hippocampus", "mr_abdomen_amos")
    files = [shared_data / name for name in names]
    files += [file for name in folders for file in sorted((shared_data / name / "imagesTr").glob("[!.]*.nii.gz"))[:4]]
    looked_at = 0
    for file in files:
        try:
            volume = read(file)
        except SegevolutionError:
            continue
        modality = Modality.CT if "ct_" in str(file.relative_to(shared_data)) else Modality.MRI
        for said in (modality, None):
            assert usable_signal(volume.array, said).image is volume.array, file
        looked_at += 1
    assert looked_at > 12


@pytest.mark.parametrize("recipe", sorted(NORMALISERS))
@pytest.mark.parametrize("fill", [-1024, -32768, 30000])
@pytest.mark.parametrize("modality", [Modality.MRI, None])
def test_fill_at_the_border_changes_nothing_inside(recipe: str, fill: int, modality: Modality | None) -> None:
    image = tissue()
    padded = np.full((60, 60, 30), fill, np.int16)
    padded[10:50, 10:50, 3:27] = image
    expected = normalise(image, recipe, Modality.MRI)
    result = normalise(padded, recipe, modality)
    np.testing.assert_allclose(result[10:50, 10:50, 3:27], expected, atol=1e-6)
    assert result[0, 0, 0] == expected.min()
    assert usable_signal(padded, modality).fill == padded.size - image.size


@pytest.mark.parametrize("recipe", sorted(NORMALISERS))
@pytest.mark.parametrize("share", [1 / tissue().size, 0.003, 0.01])
@pytest.mark.parametrize("factor", [20, 50, -20])
def test_spikes_set_no_scale(recipe: str, share: float, factor: float) -> None:
    image = tissue().astype(np.float32)
    generator = np.random.default_rng(1)
    spikes = generator.permutation(image.size)[: max(1, round(share * image.size))]
    spiked = image.copy()
    spiked.reshape(-1)[spikes] = factor * image.max() * generator.uniform(0.9, 1.1, spikes.size)
    expected, result = (normalise(each, recipe, Modality.MRI) for each in (image, spiked))
    untouched = np.ones(image.size, np.bool_)
    untouched[spikes] = False
    away = np.abs(result - expected).reshape(-1)[untouched]
    assert away.max() < 0.02 * float(expected.max() - expected.min())


def test_air_of_zero_and_a_uniform_organ_are_signal() -> None:
    image = np.zeros((30, 30, 20), np.int16)
    image[10:20, 10:20, 5:15] = 300
    assert usable_signal(image, Modality.MRI).image is image
    image[10:20, 10:20, 5:15] += np.random.default_rng(0).integers(0, 90, (10, 10, 10)).astype(np.int16)
    assert usable_signal(image, Modality.MRI).image is image


def test_fill_with_a_rim_of_interpolation_is_fill() -> None:
    image = tissue().astype(np.float32)
    padded = np.full((60, 60, 24), -1024, np.float32)
    padded[10:50, 10:50] = image
    padded[9, 10:50] = padded[50, 10:50] = -500  # half-way between fill and air
    usable = usable_signal(padded, Modality.MRI)
    assert usable.measured.min() >= 0
    assert usable.measured.size == image.size


def test_bone_and_air_of_a_ct_are_signal() -> None:
    generator = np.random.default_rng(0)
    image = generator.normal(40, 15, (40, 40, 20))
    image[:4] = generator.normal(-990, 8, (4, 40, 20))
    image[20:24, 20:24, :10] = generator.normal(1500, 200, (4, 4, 10))
    assert usable_signal(image, Modality.CT).image is image
