import numpy as np
import pytest
import torch

from segevolution.imaging.framing import foreground_box, frame, resize_nearest
from segevolution.imaging.grid import Grid
from segevolution.imaging.intensity import foreground_normalise, min_max, soft_tissue
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


@pytest.fixture(scope="module")
def published(golden):
    return np.load(golden / "tiny_outputs.npz")


def test_foreground_normalisation_equals_the_published_one(published):
    np.testing.assert_allclose(foreground_normalise(published["raw"]), published["foreground_norm"], atol=2e-5)


def test_frame_equals_the_published_test_time_preprocessing(published):
    raw = published["raw"][0]
    framed = frame(Volume(raw, Grid(raw.shape, np.eye(4))), "foreground")
    np.testing.assert_allclose(framed.image, published["test_image"].reshape(framed.image.shape), atol=1e-5)
    assert framed.start == tuple(published["test_start"].ravel())
    assert tuple(np.add(framed.start, framed.image.shape)) == tuple(published["test_end"].ravel())
    zoomed = published["test_zoom_out_image"]
    window = zoomed.shape[-3:]
    np.testing.assert_allclose(resize_nearest(framed.image, window), zoomed.reshape(window), atol=1e-5)
    label = published["test_label"]
    small = published["test_zoom_out_label"]
    assert np.array_equal(resize_nearest(label, window), small)


@pytest.mark.parametrize("length", [1, 5, 31, 32, 77, 100, 257])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_resize_picks_the_voxels_that_torch_picks(length, mode):
    line = np.arange(length, dtype=np.float32).reshape(1, 1, length)
    ours = resize_nearest(line, (1, 1, 32), exact=mode == "nearest-exact")
    theirs = torch.nn.functional.interpolate(torch.from_numpy(line)[None, None], (1, 1, 32), mode=mode)
    assert np.array_equal(ours, theirs[0, 0].numpy())


def test_masks_and_points_return_to_the_file_grid_in_every_orientation():
    rng = np.random.default_rng(0)
    array = rng.uniform(1, 2, (9, 7, 5))
    array[:2] = array[:, -1] = 0
    for axes in [(0, 1, 2), (2, 0, 1), (1, 0, 2)]:
        for signs in [(1, 1, 1), (-1, 1, 1), (-1, -1, -1), (1, -1, 1)]:
            affine = np.eye(4)
            affine[:3, :3] = np.eye(3)[:, list(axes)] * np.array(signs) * [1.0, 1.3, 2.0]
            framed = frame(Volume(array, Grid(array.shape, affine), Modality.MRI), "foreground")
            marked = np.zeros(array.shape, np.uint8)
            marked[4, 3, 2] = 1
            assert np.array_equal(framed.restore(framed.crop(marked)), marked)
            place = framed.indices([[4, 3, 2]])
            assert framed.crop(marked)[tuple(place[0].astype(int))] == 1
            np.testing.assert_allclose(framed.voxels(place), [[4, 3, 2]])


def test_soft_tissue_keeps_the_absolute_scale_of_ct():
    signal = np.array([-1000, -125, 75, 275, 3000], np.int16)
    np.testing.assert_allclose(soft_tissue(signal, Modality.CT), [0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(soft_tissue(signal, None), soft_tissue(signal, Modality.CT))
    assert soft_tissue(np.arange(1000), Modality.MRI).max() == 1


def test_soft_tissue_scales_mr_between_its_half_percent_tails():
    scaled = soft_tissue(np.arange(1001.0), Modality.MRI)  # the 0.5 and 99.5 percentiles are 5 and 995
    np.testing.assert_allclose(scaled[[5, 100, 500, 995]], [0, 95 / 990, 0.5, 1], atol=1e-6)


def test_min_max_of_a_constant_image_is_zero():
    assert np.array_equal(min_max(np.full((2, 2, 2), 7)), np.zeros((2, 2, 2)))


def test_box_of_an_image_without_foreground_is_the_whole_image():
    assert foreground_box(np.zeros((4, 5, 6))) == ((0, 0, 0), (4, 5, 6))
