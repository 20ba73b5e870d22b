"""What a person points at, as parts of a prompt."""

import numpy as np
import pytest

pytest.importorskip("fastapi")

from segevolution.errors import PromptError
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import PromptKind
from segevolution.imaging.regions import Region
from segevolution.server.parts import (
    FLAT_BOX,
    box_parts,
    is_positive,
    joined_parts,
    lasso_parts,
    point_parts,
    scribble_parts,
)

GRID = Grid.oriented((10, 12, 8), (2.0, 1.0, 3.0), "LPS")
POINTS = frozenset({PromptKind.POINT, PromptKind.BOX, PromptKind.TEXT})


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SAL"])
def test_millimetres_and_voxels_say_the_same(orientation: str) -> None:
    grid = Grid.oriented((10, 12, 8), (2.0, 1.0, 3.0), orientation)
    voxel = (3.0, 4.0, 5.0)
    (place,) = grid.to_mm([voxel])
    np.testing.assert_allclose(point_parts(grid, place, positive=True, mm=True)["points"], [voxel], atol=1e-6)
    ends = [(3.0, 4.0, 5.0), (6.0, 2.0, 7.0)]
    box = box_parts(grid, grid.to_mm(ends).tolist(), POINTS, mm=True)["box"]
    assert box.voxels == ((3, 2, 5), (6, 4, 7))


def test_a_box_in_one_slice_is_a_region_for_a_network_that_takes_points_and_a_box_for_one_that_does_not() -> None:
    ends = [(3, 2, 5), (6, 4, 5)]
    drawn = box_parts(GRID, ends, POINTS)
    assert drawn["notes"] == (FLAT_BOX,)
    assert len(drawn["lasso"]) == 4 * 3
    assert (drawn["lasso"].positive[:, 2] == 5).all()
    assert "box" in box_parts(GRID, ends, {PromptKind.BOX})


def test_a_box_off_the_structure_is_a_region_off_it() -> None:
    parts = box_parts(GRID, [(3, 2, 5), (6, 4, 6)], POINTS, positive=False)
    assert len(parts["lasso"].negative) == 4 * 3 * 2
    assert not is_positive(parts)


@pytest.mark.parametrize("axis", range(3))
def test_a_lasso_holds_what_its_outline_encloses_in_any_plane(axis: int) -> None:
    across, up = (other for other in range(3) if other != axis)
    outline = np.full((4, 3), 3.0)
    outline[:, across] = [2, 6, 6, 2]
    outline[:, up] = [1, 1, 5, 5]
    voxels = lasso_parts(GRID, outline.tolist(), positive=True)["lasso"].voxels
    assert len(voxels) == 5 * 5
    assert (voxels[:, axis] == 3).all()
    assert voxels[:, across].min() == 2
    assert voxels[:, up].max() == 5


def test_scribbles_go_along_their_line() -> None:
    region = scribble_parts(GRID, [(1, 1, 1), (1, 5, 1)], positive=False)["scribbles"]
    assert region.negative.tolist() == [[1, y, 1] for y in range(1, 6)]


def test_additions_add_up_and_the_last_box_and_text_count() -> None:
    first = point_parts(GRID, (1, 1, 1), positive=True) | {"text": "liver"}
    second = point_parts(GRID, (2, 2, 2), positive=False) | {"text": "spleen"}
    drawn = [scribble_parts(GRID, [(x, 1, 1)], positive=x > 1) for x in (1, 2)]
    whole = joined_parts([first, second, *drawn])
    assert whole["labels"] == (1, 0)
    assert whole["text"] == "spleen"
    assert isinstance(whole["scribbles"], Region)
    assert len(whole["scribbles"]) == 2


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: point_parts(GRID, (10, 0, 0), positive=False), id="point outside"),
        pytest.param(lambda: point_parts(GRID, (500, 0, 0), positive=True, mm=True), id="mm outside"),
        pytest.param(lambda: box_parts(GRID, [(20, 20, 20), (30, 30, 30)], POINTS), id="box outside"),
        pytest.param(lambda: box_parts(GRID, [(1, 1, 1)], POINTS), id="one corner"),
        pytest.param(lambda: scribble_parts(GRID, [(0, 0, 0), (0, 0, 9)], positive=True), id="scribble leaves"),
        pytest.param(lambda: scribble_parts(GRID, [(0, 0, 0), (1e12, 0, 0)], positive=True), id="scribble flees"),
        pytest.param(lambda: scribble_parts(GRID, np.zeros(GRID.shape, bool), positive=True), id="nothing drawn"),
        pytest.param(lambda: lasso_parts(GRID, [(1, 1, 1), (2, 3, 1)], positive=True), id="two positions"),
        pytest.param(lambda: lasso_parts(GRID, [(1, 1, 1), (2, 3, 2), (3, 1, 4)], positive=True), id="no plane"),
        pytest.param(lambda: lasso_parts(GRID, [(1, 1, 1), (2, 30, 1), (3, 1, 1)], positive=True), id="lasso leaves"),
    ],
)
def test_what_lies_outside_or_says_nothing_is_refused(make: object) -> None:
    with pytest.raises(PromptError):
        make()  # type: ignore[operator]
