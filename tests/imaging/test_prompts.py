import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segevolution.errors import PromptError
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Box, Prompt

_GRID = Grid((5, 6, 7), np.diag([0.75, 1.5, 3.0, 1.0]))


def _full(grid: Grid) -> Prompt:
    return Prompt.make(
        grid, text="liver", points=[(1, 2, 3), (0, 5, 6)], negative_points=[(4, 0, 0)], box=(1, 1, 2, 3, 4, 6)
    )


def test_points_may_come_one_by_one_and_what_is_no_list_of_them_is_refused() -> None:
    places, off = [(1, 2, 3), (0, 5, 6)], [(4, 0, 0)]
    prompt = Prompt.make(_GRID, points=(place for place in places), negative_points=iter(off))
    assert prompt == Prompt.make(_GRID, points=places, negative_points=off)
    for bad in (None, 3):
        with pytest.raises(PromptError, match="a list of positions"):
            Prompt.make(_GRID, text="liver", points=bad)  # type: ignore[arg-type]


def _covered(box: Box, shape: tuple[int, int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    (x0, y0, z0), (x1, y1, z1) = (np.rint(corner).astype(int) for corner in (box.low, box.high))
    mask[x0 : x1 + 1, y0 : y1 + 1, z0 : z1 + 1] = True
    return mask


def test_a_turned_prompt_means_the_same_voxels_for_every_orientation(oriented_grid: Grid) -> None:
    prompt = _full(oriented_grid)
    canonical, turn = oriented_grid.canonical()
    turned = prompt.turned(canonical, turn)
    np.testing.assert_allclose(canonical.to_mm(turned.points), oriented_grid.to_mm(prompt.points), atol=1e-9)
    assert (turned.labels, turned.text) == (prompt.labels, "liver")
    assert prompt.box is not None
    assert turned.box is not None
    covered = _covered(prompt.box, oriented_grid.shape)
    np.testing.assert_array_equal(_covered(turned.box, canonical.shape), turn.apply(covered))


def test_moving_to_the_canonical_grid_is_turning(oriented_grid: Grid) -> None:
    prompt = _full(oriented_grid)
    canonical, turn = oriented_grid.canonical()
    turned, moved = prompt.turned(canonical, turn), prompt.moved_to(canonical)
    np.testing.assert_allclose(moved.points, turned.points, atol=1e-6)
    assert moved.box is not None
    assert turned.box is not None
    np.testing.assert_allclose([moved.box.low, moved.box.high], [turned.box.low, turned.box.high], atol=1e-6)
    np.testing.assert_allclose(moved.moved_to(oriented_grid).points, prompt.points, atol=1e-6)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 6)), min_size=1, max_size=5))
def test_millimetres_and_voxels_name_the_same_points(voxels: list[tuple[int, int, int]]) -> None:
    affine = np.array([[0, -1.5, 0, 30], [0.75, 0, 0, -9], [0, 0, -3.0, 12.5], [0, 0, 0, 1]])
    grid = Grid((5, 6, 7), affine)
    in_mm = Prompt.make(grid, points=grid.to_mm(voxels).tolist(), mm=True)
    np.testing.assert_allclose(in_mm.points, voxels, atol=1e-9)


def test_a_box_in_millimetres_is_the_same_box_on_parallel_axes() -> None:
    grid = Grid((5, 6, 7), np.array([[0, -1.5, 0, 30], [0.75, 0, 0, -9], [0, 0, -3.0, 12.5], [0, 0, 0, 1]]))
    corners = grid.to_mm([[1, 1, 2], [3, 4, 6]])
    box = Prompt.make(grid, box=[*corners.min(axis=0), *corners.max(axis=0)], mm=True).box
    assert box is not None
    np.testing.assert_allclose([box.low, box.high], [(1, 1, 2), (3, 4, 6)], atol=1e-9)


def test_a_box_on_an_oblique_grid_becomes_the_tight_box_round_its_corners_cut_to_the_image() -> None:
    angle = np.deg2rad(30)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    box = Prompt.make(Grid((20, 20, 20), np.eye(4)), box=(4, 4, 4, 10, 10, 10)).moved_to(Grid((20, 5, 20), affine)).box
    assert box is not None
    low = 4 * np.cos(angle) + 4 * np.sin(angle)
    assert box.low[0] == pytest.approx(low)
    assert box.low[1] == pytest.approx(-0.5, abs=1e-4)  # 4 cos 30 - 10 sin 30 < -0.5, so it is cut
    assert box.high[1] == pytest.approx(4.5, abs=1e-4)
    assert (box.low[2], box.high[2]) == pytest.approx((4, 10))


def test_a_prompt_of_another_place_is_refused() -> None:
    affine = np.eye(4)
    affine[0, 3] = 500
    elsewhere = Grid((5, 6, 7), affine)
    with pytest.raises(PromptError, match="outside the image"):
        Prompt.make(_GRID, box=(1, 1, 1, 2, 2, 2)).moved_to(elsewhere)
    with pytest.raises(PromptError, match="outside the image"):
        Prompt.make(_GRID, points=[(1, 1, 1)]).moved_to(elsewhere)


def test_json_carries_everything_through_a_file(oriented_grid: Grid) -> None:
    prompt = _full(oriented_grid)
    again = Prompt.from_json(json.loads(json.dumps(prompt.to_json())))
    assert (again.text, again.points, again.labels, again.box) == (
        prompt.text,
        prompt.points,
        prompt.labels,
        prompt.box,
    )
    assert again.grid.shape == oriented_grid.shape
    np.testing.assert_array_equal(again.grid.affine, oriented_grid.affine)
    only_text = Prompt.from_json(json.loads(json.dumps(Prompt.make(_GRID, text="spleen").to_json())))
    assert (only_text.text, only_text.points, only_text.box) == ("spleen", (), None)


@pytest.mark.parametrize("damage", ["grid", "points", "box"])
def test_damaged_json_is_refused_in_a_sentence(damage: str) -> None:
    value = _full(_GRID).to_json()
    value[damage] = "nonsense"
    with pytest.raises(PromptError):
        Prompt.from_json(value)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "no prompt was given"),
        ({"negative_points": [(1, 1, 1)]}, "only negative points"),
        ({"points": [(5, 1, 1)]}, "x 0..4, y 0..5, z 0..6"),
        ({"points": [(-1, 1, 1)]}, "outside the image"),
        ({"text": "liver", "negative_points": [(1, 1, 7)]}, "outside the image"),
        ({"box": (0, 6, 0, 1, 9, 1)}, "box lies outside the image altogether.*y 0..5"),
        ({"text": ["liver", "spleen"]}, "the name of one structure, not .*several prompts"),
        ({"box": (3, 0, 0, 1, 4, 1)}, "inverted"),
        ({"box": (0, 0, 0, 1, 4)}, "six numbers"),
        ({"points": [(1, 1)]}, "three finite numbers"),
        ({"points": [(1, 1, float("nan"))]}, "three finite numbers"),
    ],
)
def test_an_impossible_prompt_is_refused_with_what_is_possible(said: dict[str, object], words: str) -> None:
    with pytest.raises(PromptError, match=words):
        Prompt.make(_GRID, **said)


def test_each_point_needs_a_label() -> None:
    with pytest.raises(PromptError, match="2 points came with 1 labels"):
        Prompt(_GRID, points=((1, 1, 1), (2, 2, 2)), labels=(1,))
