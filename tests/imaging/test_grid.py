import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segevolution.errors import VolumeError
from segevolution.imaging.grid import Grid
from segevolution.imaging.regions import Region

_angle = st.floats(-3.1, 3.1)
_spacing = st.floats(0.2, 8.0)


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any rotation, any spacing, left-handed or right-handed, any small shape."""
    a, b, c = draw(_angle), draw(_angle), draw(_angle)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    affine = np.eye(4)
    mirror = np.diag([draw(st.sampled_from([1, -1])), 1, 1])
    affine[:3, :3] = about_z @ about_y @ about_x @ mirror @ np.diag([draw(_spacing) for _ in range(3)])
    affine[:3, 3] = [draw(st.floats(-300, 300)) for _ in range(3)]
    return Grid(tuple(draw(st.integers(1, 9)) for _ in range(3)), affine)


def _voxels(grid: Grid) -> np.ndarray:
    return np.stack(np.indices(grid.shape), axis=-1).reshape(-1, 3)


@settings(deadline=None)
@given(grids())
def test_turning_there_and_back_restores_every_voxel_of_an_oblique_grid(grid: Grid) -> None:
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    canonical, turn = grid.canonical()
    assert turn.apply(array).shape == canonical.shape
    np.testing.assert_array_equal(turn.undo(turn.apply(array)), array)


@settings(deadline=None)
@given(grids())
def test_indices_follow_their_voxels_and_keep_their_place_in_the_patient(grid: Grid) -> None:
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    canonical, turn = grid.canonical()
    voxels = _voxels(grid)
    turned = turn.apply_indices(voxels)
    np.testing.assert_array_equal(turn.apply(array)[tuple(turned.astype(int).T)], array[tuple(voxels.T)])
    np.testing.assert_array_equal(turn.undo_indices(turned), voxels)
    np.testing.assert_allclose(canonical.to_mm(turned), grid.to_mm(voxels), atol=1e-9)


@settings(deadline=None)
@given(grids())
def test_millimetres_lead_back_to_the_voxel(grid: Grid) -> None:
    np.testing.assert_allclose(grid.to_voxel(grid.to_mm(_voxels(grid))), _voxels(grid), atol=1e-6)


@settings(deadline=None)
@given(grids())
def test_canonical_keeps_spacings_and_voxel_volume_and_is_at_rest(grid: Grid) -> None:
    canonical, _ = grid.canonical()
    assert sorted(canonical.spacing) == pytest.approx(sorted(grid.spacing))
    assert canonical.voxel_volume == pytest.approx(grid.voxel_volume)
    again, turn = canonical.canonical()
    assert turn.axes == (0, 1, 2)
    assert not any(turn.flips)
    assert again.close_to(canonical)


def test_every_orientation_becomes_ras(oriented_grid: Grid, request: pytest.FixtureRequest) -> None:
    assert f"[{oriented_grid.orientation}]" in request.node.name
    canonical, turn = oriented_grid.canonical()
    assert canonical.orientation == "RAS"
    array = np.random.default_rng(0).normal(size=oriented_grid.shape)
    np.testing.assert_array_equal(turn.undo(turn.apply(array)), array)
    mm = oriented_grid.to_mm(_voxels(oriented_grid))
    np.testing.assert_allclose(canonical.to_mm(turn.apply_indices(_voxels(oriented_grid))), mm, atol=1e-9)


def test_contains_rounds_to_the_nearest_voxel() -> None:
    grid = Grid((4, 5, 6), np.eye(4))
    inside = grid.contains([[-0.4, 0, 0], [3.4, 4.4, 5.4], [-0.6, 0, 0], [3.6, 0, 0], [np.nan, 0, 0]])
    assert inside.tolist() == [True, True, False, False, False]


def test_close_to_notices_a_shift_a_shape_and_a_small_turn() -> None:
    grid = Grid((100, 5, 6), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 0.01
    turned = np.eye(4)
    turned[1, 0] = 1e-4  # a tenth of a millimetre at the far corner would be 1e-3
    assert grid.close_to(Grid((100, 5, 6), np.eye(4)))
    assert not grid.close_to(Grid((100, 5, 6), moved))
    assert not grid.close_to(Grid((100, 5, 6), turned))
    assert not grid.close_to(Grid((100, 5, 7), np.eye(4)))


@pytest.mark.parametrize(
    ("affine", "words"),
    [
        (np.eye(3), "4 x 4"),
        (np.diag([1.0, 0.0, 1.0, 1.0]), "spacing is zero"),
        (np.diag([1.0, np.nan, 1.0, 1.0]), "NaN"),
        (np.diag([1.0, np.inf, 1.0, 1.0]), "infinity"),
    ],
)
def test_an_impossible_affine_is_refused(affine: np.ndarray, words: str) -> None:
    with pytest.raises(VolumeError, match=words):
        Grid((4, 4, 4), affine)


def test_a_grid_cannot_be_changed_from_outside() -> None:
    affine = np.eye(4)
    grid = Grid((4, 4, 4), affine)
    affine[0, 0] = 7
    assert grid.affine[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 0] = 2


def test_a_copy_cannot_be_written_to_either() -> None:
    grid, region = Grid((2, 3, 4), np.eye(4)), Region.of([(1, 1, 1)])
    for copied in (pickle.loads(pickle.dumps((grid, region))), copy.deepcopy((grid, region))):
        assert not copied[0].affine.flags.writeable
        assert not copied[1].voxels.flags.writeable
        assert copied[0].close_to(grid)
        assert copied[1] == region
