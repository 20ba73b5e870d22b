"""At a network's own spacing and order, coordinates, boxes, labels and masks keep their place in the patient."""

import numpy as np
import pytest

from segevolution.errors import VolumeError
from segevolution.imaging.framing import frame
from segevolution.imaging.grid import Grid
from segevolution.imaging.resampling import Resampling
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SPACING = (1.5, 2.0, 1.0)  # x, y, z; each axis changes by another factor than the grid's 0.75, 1.5, 3.0


def ball(grid: Grid, centre: np.ndarray, radius: float) -> np.ndarray:
    places = grid.to_mm(np.argwhere(np.ones(grid.shape, bool)))
    return (np.linalg.norm(places - centre, axis=1) <= radius).reshape(grid.shape)


def volume_on(grid: Grid) -> Volume:
    array = np.random.default_rng(1).normal(100, 20, grid.shape)
    return Volume(array, grid, Modality.MRI)


@pytest.mark.parametrize("order", ["RAS", "LPS", "PIR"])
def test_points_keep_their_millimetres_in_every_orientation(oriented_grid: Grid, order: str) -> None:
    framed = frame(volume_on(oriented_grid), "z_score", SPACING, order)
    corners = framed.voxels([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    steps = oriented_grid.to_mm(corners[1:]) - oriented_grid.to_mm(corners[:1])
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), framed.spacing, rtol=1e-4)
    along = {code: axis for axis, code in enumerate(order[::-1])}  # (D, H, W) is (Z, Y, X) of the order
    for code, axis in along.items():
        body = "LRPAIS".index(code) // 2
        assert framed.spacing[axis] == pytest.approx(SPACING[body], rel=1e-4)
        assert np.sign(steps[axis][body]) == (1 if code in "RAS" else -1)
    spots = np.array([[2.0, 3.0, 1.0], [4, 5, 6]])
    np.testing.assert_allclose(framed.voxels(framed.indices(spots)), spots, atol=1e-9)


def test_a_structure_keeps_its_place_and_size_there_and_back() -> None:
    affine = np.diag([0.75, 1.5, 3.0, 1.0])
    grid = Grid((64, 40, 20), affine)
    centre = grid.to_mm([[33, 21, 9]])[0]
    truth = ball(grid, centre, 9)
    framed = frame(Volume(truth * 100.0 + 1, grid, Modality.MRI), "z_score", (1.5, 1.5, 1.5))
    inside = framed.labels(truth.astype(np.uint8))
    assert inside.shape == framed.image.shape
    assert inside.sum() * 1.5**3 == pytest.approx(truth.sum() * grid.voxel_volume, rel=0.05)
    np.testing.assert_allclose(grid.to_mm(framed.voxels(np.argwhere(inside))).mean(axis=0), centre, atol=0.4)
    back = framed.restore(framed.on_crop(framed.image) > (framed.image.min() + framed.image.max()) / 2)
    assert back.shape == grid.shape
    both = (back & truth).sum()
    assert 2 * both / (back.sum() + truth.sum()) > 0.9
    low, high = np.argwhere(truth).min(axis=0), np.argwhere(truth).max(axis=0)
    start, stop = framed.block(low.tolist(), high.tolist())
    seen = np.argwhere(inside)
    assert np.abs(seen.min(axis=0) - start).max() <= 2  # the ball ends in single voxels, which picking may miss
    assert np.abs(seen.max(axis=0) + 1 - stop).max() <= 2


def test_a_box_of_one_thick_slice_becomes_all_the_thin_ones_that_it_covers() -> None:
    framed = frame(volume_on(Grid((8, 8, 8), np.diag([1.0, 1.0, 5.0, 1.0]))), "z_score", (1.0, 1.0, 1.0))
    assert framed.block((2, 3, 4), (5, 6, 4)) == ((20, 3, 2), (25, 7, 6))
    thick = frame(volume_on(Grid((8, 8, 8), np.eye(4))), "z_score", (1.0, 1.0, 5.0))
    assert thick.block((0, 0, 0), (0, 0, 0)) == ((0, 0, 0), (1, 1, 1))
    assert thick.block((0, 0, 7), (0, 0, 7)) == ((1, 0, 0), (2, 1, 1))


def test_without_a_spacing_nothing_is_computed() -> None:
    grid = Grid((6, 5, 4), np.eye(4))
    framed = frame(volume_on(grid), "foreground")
    logits = np.random.default_rng(0).normal(size=framed.image.shape).astype(np.float32)
    assert framed.on_crop(logits) is logits
    assert framed.resampling is None


def test_air_is_cut_away_only_where_nothing_means_air() -> None:
    array = np.random.default_rng(0).normal(100, 20, (10, 10, 10))
    array[:3] = 0
    volume = Volume(array, Grid((10, 10, 10), np.eye(4)), Modality.MRI)
    assert frame(volume, "soft_tissue").image.shape[2] == 7
    z_score = frame(volume, "z_score")
    assert z_score.image.shape == (10, 10, 10)
    assert z_score.pad == z_score.image.min() < -1


def test_equal_voxels_are_the_identity_and_linear_signal_stays_linear() -> None:
    line = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 4, 3), np.float32)
    same = Resampling.to_spacing((10, 4, 3), (2, 2, 2), (2, 2, 2))
    np.testing.assert_array_equal(same.image(line), line)
    finer = Resampling.to_spacing((10, 4, 3), (2, 2, 2), (1, 2, 2))
    np.testing.assert_allclose(finer.image(line)[1:-1, 0, 0], np.arange(18) / 2 + 0.25)
    np.testing.assert_allclose(finer.image_back(finer.image(line))[1:-1], line[1:-1], atol=1e-6)


def test_a_spacing_that_makes_too_many_voxels_is_refused() -> None:
    with pytest.raises(VolumeError, match="voxels at the spacing"):
        frame(volume_on(Grid((100, 100, 100), np.eye(4))), "z_score", (0.01, 0.01, 0.01))
