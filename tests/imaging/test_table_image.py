"""A large normalised image is looked up in the signal it was made from, bit for bit, or kept as it is."""

import numpy as np
import pytest

from segevolution.imaging import table_image
from segevolution.imaging.framing import Frame, frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.intensity import NORMALISERS
from segevolution.imaging.table_image import TableImage
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

AFFINE = np.array([[0, -1.5, 0, 0], [2.0, 0, 0, 0], [0, 0, -3.0, 0], [0, 0, 0, 1]])  # turned and mirrored


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is worth a table."""
    monkeypatch.setattr(table_image, "LEAST", 1)


def volume(dtype: str = "int16", *, fill: bool = False) -> Volume:
    signal = np.random.default_rng(0).normal(100, 200, (21, 18, 20)).astype(dtype)
    if fill:
        signal[:6] = -9999
    return Volume(signal, Grid(signal.shape, AFFINE), Modality.MRI)


def framed(scan: Volume, recipe: str) -> tuple[Frame, Frame]:
    before = frame(scan, recipe)
    return before, before.without_copy(scan.array)


@pytest.mark.parametrize("recipe", NORMALISERS)
def test_every_normaliser_is_a_table_bit_for_bit_whatever_the_order_of_axes(recipe: str) -> None:
    before, after = framed(volume(), recipe)
    assert isinstance(after.image, TableImage)
    assert isinstance(before.image, np.ndarray)
    assert after.image.shape == before.image.shape
    assert after.image.nbytes < before.image.nbytes
    whole = np.asarray(after.image)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole.view(np.uint32), before.image.view(np.uint32))
    np.testing.assert_array_equal(after.image[3:7, ::2, 5], before.image[3:7, ::2, 5])
    assert after.cropped == before.cropped


def test_fill_is_looked_up_too() -> None:
    before, after = framed(volume(fill=True), "foreground")
    assert isinstance(after.image, TableImage)
    np.testing.assert_array_equal(np.asarray(after.image), before.image)


def test_an_image_that_is_no_function_of_single_voxels_is_kept() -> None:
    scan = volume()
    before = frame(scan, "z_score")
    image = np.asarray(before.image).copy()
    image[4, 5, 6] += 1
    assert TableImage.of(image, before.crop(scan.array)) is None


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_signal_of_too_many_numbers_is_kept(dtype: str) -> None:
    scan = volume(dtype)
    if dtype == "int32":
        scan.array[0, 0, 0] = 1 << 20
    before, after = framed(scan, "z_score")
    assert after is before


def test_a_small_image_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_image, "LEAST", 1 << 25)
    before, after = framed(volume(), "z_score")
    assert after is before
