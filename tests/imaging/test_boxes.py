"""Which voxels a box holds, and what becomes of it at the image's border: the same on every axis, face and parity."""

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from segevolution.errors import PromptError
from segevolution.imaging.boxes import Box
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt

_AFFINE = np.array([[0, -1.5, 0, 30], [0.75, 0, 0, -9], [0, 0, -3.0, 12.5], [0, 0, 0, 1]])
_GRID = Grid((5, 6, 7), _AFFINE)
_OBLIQUE = np.eye(4)
_OBLIQUE[:2, :2] = np.array([[np.cos(0.5), -np.sin(0.5)], [np.sin(0.5), np.cos(0.5)]]) * 1.7


def _mm(grid: Grid, low: tuple[float, ...], high: tuple[float, ...]) -> list[float]:
    """The box of millimetres whose faces are these voxel positions, on a grid of parallel axes."""
    ends = grid.to_mm([low, high])
    return [*ends.min(axis=0), *ends.max(axis=0)]


@given(st.tuples(*[st.integers(-50, 50)] * 3), st.tuples(*[st.integers(0, 50)] * 3))
def test_a_box_of_whole_voxels_holds_them_from_corner_to_corner(low: tuple[int, ...], sides: tuple[int, ...]) -> None:
    high = tuple(first + side for first, side in zip(low, sides, strict=True))
    assert Box(low, high).voxels == (low, high)  # type: ignore[arg-type]


@given(st.integers(-20, 20), st.integers(1, 20), st.floats(-1e-9, 1e-9), st.floats(-1e-9, 1e-9))
def test_faces_between_voxels_belong_to_the_voxels_inside_whatever_their_parity(
    start: int, side: int, noise: float, other: float
) -> None:
    box = Box((start - 0.5 + noise,) * 3, (start + side - 0.5 + other,) * 3)
    assert box.voxels == ((start,) * 3, (start + side - 1,) * 3)


@given(st.integers(-20, 20))
def test_a_box_as_flat_as_a_boundary_holds_the_voxels_on_both_sides(boundary: int) -> None:
    assert Box((boundary + 0.5,) * 3, (boundary + 0.5,) * 3).voxels == ((boundary,) * 3, (boundary + 1,) * 3)


@given(st.tuples(*[st.floats(-20, 20)] * 2), st.integers(5, 30))
def test_mirroring_an_axis_mirrors_the_voxels(ends: tuple[float, float], side: int) -> None:
    low, high = min(ends), max(ends)
    (first, *_), (last, *_) = Box((low, 0, 0), (high, 0, 0)).voxels
    (mirrored, *_), (end, *_) = Box((side - 1 - high, 0, 0), (side - 1 - low, 0, 0)).voxels
    assert (mirrored, end) == (side - 1 - last, side - 1 - first)


@settings(deadline=None)
@given(st.data())
def test_millimetres_drawn_along_voxel_faces_give_these_voxels_everywhere(data: st.DataObject) -> None:
    low = [data.draw(st.integers(0, side - 1)) for side in _GRID.shape]
    high = [data.draw(st.integers(first, side - 1)) for first, side in zip(low, _GRID.shape, strict=True)]
    prompt = Prompt.make(_GRID, box=_mm(_GRID, tuple(np.array(low) - 0.5), tuple(np.array(high) + 0.5)), mm=True)
    assert prompt.box is not None
    assert prompt.box.voxels == (tuple(low), tuple(high))
    assert prompt.notes == ()


def test_a_box_drawn_to_the_border_of_the_image_is_the_whole_image() -> None:
    for sides in ((5, 6, 7), (4, 4, 4), (1, 2, 3)):
        grid = Grid(sides, _AFFINE)
        prompt = Prompt.make(grid, box=_mm(grid, (-0.5,) * 3, tuple(np.array(sides) - 0.5)), mm=True)
        assert prompt.box is not None
        assert prompt.box.voxels == ((0, 0, 0), tuple(np.array(sides) - 1))
        assert prompt.notes == ()


def test_what_reaches_beyond_the_image_is_cut_and_said_in_the_unit_that_was_given() -> None:
    voxels = Prompt.make(_GRID, box=(-2, 1, 1, 2, 9, 3))
    assert voxels.box == Box((0, 1, 1), (2, 5, 3))
    assert voxels.notes == (
        "the box reached up to 4 voxels beyond the image and was cut at its border, to voxels x 0..2, y 1..5, z 1..3",
    )
    in_mm = Prompt.make(_GRID, box=_mm(_GRID, (-2, 1, 1), (2, 9, 3)), mm=True)
    assert in_mm.box is not None
    assert in_mm.box.voxels == ((0, 1, 1), (2, 5, 3))
    (note,) = in_mm.notes
    assert "up to 5.25 mm beyond the image" in note


def test_a_cut_is_said_once_however_the_prompt_is_copied() -> None:
    prompt = Prompt.make(_GRID, box=(0, 0, 0, 9, 3, 3))
    assert prompt.joined(Prompt.make(_GRID, text="liver")).notes == prompt.notes
    assert Prompt.from_json(prompt.to_json()).notes == prompt.notes


@pytest.mark.parametrize("mm", [False, True])
def test_a_box_wholly_outside_is_refused_in_the_unit_that_was_given(mm: bool) -> None:
    beyond = _mm(_GRID, (6, 1, 1), (8, 3, 3)) if mm else (6, 1, 1, 8, 3, 3)
    words = r"the box x 25.5\.\.28.5, y -4.5\.\.-3, .* mm lies outside the image, which spans x 21.75\.\.30.75, y .* mm"
    with pytest.raises(PromptError, match=words if mm else r"outside the image altogether.*x 0\.\.4, y 0\.\.5"):
        Prompt.make(_GRID, box=beyond, mm=mm)


def test_a_point_outside_is_refused_in_the_unit_that_was_given() -> None:
    with pytest.raises(PromptError, match=r"the point \(100, 0, 0\) mm lies outside the image, which spans x 21.75"):
        Prompt.make(_GRID, points=[(100, 0, 0)], mm=True)
    with pytest.raises(PromptError, match=r"the point \(100, 0, 0\) lies outside the image; its voxels run over x 0"):
        Prompt.make(_GRID, points=[(100, 0, 0)])


@pytest.mark.parametrize("side", [4, 5])
def test_a_point_on_the_outer_face_is_inside_on_both_ends_and_parities(side: int) -> None:
    grid = Grid((side, side, side), np.eye(4))
    assert grid.contains([[-0.5] * 3, [side - 0.5] * 3, [-0.51, 0, 0], [0, side - 0.49, 0]]).tolist() == [
        True,
        True,
        False,
        False,
    ]


@settings(deadline=None)
@given(st.tuples(*[st.integers(-12, 20)] * 6))
@example((-1, 14, 0, -1, 14, 0))  # a point .005 voxels outside
def test_on_an_oblique_grid_a_box_of_millimetres_is_cut_or_refused_never_lost(numbers: tuple[int, ...]) -> None:
    grid = Grid((9, 8, 7), _OBLIQUE)
    low, high = np.minimum(numbers[:3], numbers[3:]), np.maximum(numbers[:3], numbers[3:])
    ends = grid.to_voxel(np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(-1, 3))
    depth = np.minimum(ends.max(axis=0) + 0.5, np.array(grid.shape) - 0.5 - ends.min(axis=0)).min()
    assume(not -0.001 < depth < 0)  # on the face, where rounding decides
    if depth < 0:
        with pytest.raises(PromptError, match="mm lies outside the image, which spans"):
            Prompt.make(grid, box=[*low, *high], mm=True)
        return
    prompt = Prompt.make(grid, box=[*low, *high], mm=True)
    assert prompt.box is not None
    first, last = prompt.box.voxels
    assert (np.array(last) >= 0).all()
    assert (np.array(first) < grid.shape).all()
    assert grid.contains([prompt.box.low, prompt.box.high]).all()
