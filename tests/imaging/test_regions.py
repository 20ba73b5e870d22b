"""Scribbles, lassos and masks keep their voxels and signs, wherever they travel."""

import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segevolution.errors import PromptError, VolumeError
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.regions import PackedMask, Region

_SHAPE = (5, 6, 7)
_GRID = Grid(_SHAPE, np.diag([0.75, 1.5, 3.0, 1.0]))
_signs = arrays(np.int8, _SHAPE, elements=st.integers(-1, 1)).filter(lambda signs: bool(signs.any()))


def _region(signs: np.ndarray) -> Region:
    voxels = np.argwhere(signs)
    return Region(voxels[::-1], (signs[tuple(voxels.T)] > 0)[::-1])


def _painted(region: Region, shape: tuple[int, int, int]) -> np.ndarray:
    return region.mask(shape, 1).astype(np.int8) - region.mask(shape, 0)


@settings(deadline=None)
@given(_signs)
def test_voxels_are_sorted_unique_and_equal_regions_are_equal_however_they_were_given(signs: np.ndarray) -> None:
    region = _region(signs)
    np.testing.assert_array_equal(_painted(region, _SHAPE), signs)
    np.testing.assert_array_equal(region.voxels, np.argwhere(signs))
    doubled = Region(np.tile(region.voxels, (2, 1)), np.tile(region.labels, 2))
    assert doubled == region
    np.testing.assert_array_equal(doubled.voxels, np.argwhere(signs))
    assert region == Region(np.argwhere(signs), region.labels)
    assert hash(region) == hash(Region(region.voxels, region.labels))
    assert region != Region(region.voxels, 1 - region.labels)


def test_a_scribble_turns_with_its_grid_in_every_orientation(oriented_grid: Grid) -> None:
    signs = np.random.default_rng(0).integers(-1, 2, oriented_grid.shape)
    canonical, turn = oriented_grid.canonical()
    mask = PackedMask.pack(signs > 0)
    prompt = Prompt(oriented_grid, scribbles=_region(signs), lasso=_region(-signs), mask=mask)
    for moved in (prompt.turned(canonical, turn), prompt.moved_to(canonical)):
        assert moved.scribbles is not None
        assert moved.lasso is not None
        assert moved.mask is not None
        np.testing.assert_array_equal(_painted(moved.scribbles, canonical.shape), turn.apply(signs))
        np.testing.assert_array_equal(_painted(moved.lasso, canonical.shape), -turn.apply(signs))
        np.testing.assert_array_equal(moved.mask.unpack(), turn.apply(signs) > 0)
    assert prompt.turned(canonical, turn) == prompt.moved_to(canonical).turned(canonical, _identity(canonical))


def _identity(grid: Grid):
    _, turn = Grid(grid.shape, np.eye(4)).canonical()
    return turn


@settings(deadline=None)
@given(_signs, st.sampled_from([2, 3]))
def test_on_a_finer_grid_a_region_covers_the_same_place(signs: np.ndarray, factor: int) -> None:
    affine = _GRID.affine @ np.diag([1 / factor] * 3 + [1])
    affine[:3, 3] = _GRID.to_mm([[(1 / factor - 1) / 2] * 3])[0]
    fine = Grid(tuple(factor * side for side in _SHAPE), affine)
    moved = _region(signs).moved(_GRID, fine)
    assert moved is not None
    np.testing.assert_array_equal(_painted(moved, fine.shape), np.kron(signs, np.ones((factor,) * 3)))
    back = moved.moved(fine, _GRID)
    assert back is not None
    np.testing.assert_array_equal(_painted(back, _SHAPE), signs)


@settings(deadline=None)
@given(_signs)
def test_on_a_coarser_grid_nothing_that_was_drawn_vanishes(signs: np.ndarray) -> None:
    coarse = Grid((2, 3, 3), _GRID.affine @ np.diag([3, 3, 3, 1]))
    moved = _region(signs).moved(_GRID, coarse)
    assert moved is not None
    places = np.floor(coarse.to_voxel(_GRID.to_mm(np.argwhere(signs))) + 0.5).astype(int)
    assert {tuple(row) for row in places} == {tuple(row) for row in moved.voxels}


def test_what_lies_elsewhere_is_refused() -> None:
    affine = np.eye(4)
    affine[0, 3] = 900
    far = Grid(_SHAPE, affine)
    for part in ({"scribbles": Region.of([(1, 1, 1)])}, {"mask": PackedMask.pack(np.ones(_SHAPE, bool))}):
        with pytest.raises(PromptError, match="outside the image altogether"):
            Prompt(_GRID, **part).moved_to(far)  # type: ignore[arg-type]
    with pytest.raises(PromptError, match=r"the lasso leaves the image, whose voxels run over x 0\.\.4"):
        Prompt(_GRID, lasso=Region.of([(5, 1, 1)]))


@settings(deadline=None)
@given(_signs)
def test_json_carries_regions_and_masks_through_a_file(signs: np.ndarray) -> None:
    mask = PackedMask.pack(signs != 0)
    prompt = Prompt(_GRID, "liver", scribbles=_region(signs), lasso=_region(-signs), mask=mask)
    assert Prompt.from_json(json.loads(json.dumps(prompt.to_json()))) == prompt
    by_reference = json.loads(json.dumps(prompt.to_json(masks_by_reference=True)))
    assert by_reference["mask"] == {"reference": mask.reference}
    assert Prompt.from_json(by_reference, {mask.reference: mask}) == prompt
    with pytest.raises(PromptError, match="refers to a mask"):
        Prompt.from_json(by_reference)


@pytest.mark.parametrize(
    "damage",
    [
        {"scribbles": {"voxels": [[1, 1]], "labels": [1]}},
        {"scribbles": {"voxels": [[1, 1, 1.5]], "labels": [1]}},
        {"scribbles": {"voxels": [[1, 1, "x"]], "labels": [1]}},
        {"scribbles": {"voxels": [], "labels": []}},
        {"scribbles": {"voxels": [[1, 1, -1]], "labels": [1]}},
        {"scribbles": {"voxels": [[1, 1, 1]], "labels": [2]}},
        {"scribbles": {"voxels": [[1, 1, 1], [1, 1, 1]], "labels": [1, 0]}},
        {"lasso": {"voxels": [[1, 1, 99]], "labels": [1]}},
        {"lasso": 5},
        {"mask": {"shape": [5, 6, 7], "bits": "AAAA"}},
        {"mask": {"shape": [5, 6], "bits": "AAAA"}},
        {"mask": {"shape": [5, 6, 7], "bits": "no base 64!"}},
        {"mask": {"shape": [-5, 6, -7], "bits": ""}},
        {"mask": {"shape": [10**9, 10**9, 10**9], "bits": ""}},
        {"mask": PackedMask.pack(np.ones((2, 2, 2), bool)).to_json()},
        {"mask": PackedMask.pack(np.zeros(_SHAPE, bool)).to_json()},
        {"text": 5},
        {"labels": [7], "points": [[1, 1, 1]]},
    ],
)
def test_damaged_json_is_refused_in_a_sentence(damage: dict[str, object]) -> None:
    with pytest.raises(PromptError):
        Prompt.from_json(Prompt(_GRID, "liver").to_json() | damage)


@settings(deadline=None)
@given(arrays(bool, st.tuples(*[st.integers(1, 9)] * 3)))
def test_a_packed_mask_is_the_mask_at_a_bit_a_voxel(mask: np.ndarray) -> None:
    packed = PackedMask.pack(mask)
    np.testing.assert_array_equal(packed.unpack(), mask)
    assert packed.unpack().dtype == np.bool_
    assert len(packed.bits) == -(-mask.size // 8)
    assert bool(packed) == mask.any()
    assert packed == PackedMask.pack(mask.copy())
    assert packed.reference == PackedMask.pack(mask.copy()).reference
    if mask.any():
        assert packed != PackedMask.pack(mask & False)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.3])
def test_a_mask_of_what_is_neither_inside_nor_outside_is_not_packed(value: float) -> None:
    with pytest.raises(VolumeError, match="the mask holds"):
        PackedMask.pack(np.full(_SHAPE, value))
    assert PackedMask.pack(np.ones(_SHAPE, np.float32)) == PackedMask.pack(np.ones(_SHAPE, bool))


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, side - 1) for side in _SHAPE]), min_size=1, max_size=4))
def test_a_line_has_its_stops_and_no_gaps(stops: list[tuple[int, int, int]]) -> None:
    line = {tuple(voxel) for voxel in Region.along(stops, _SHAPE).voxels.tolist()}
    assert set(stops) <= line
    reached, ahead = set(), [stops[0]]
    while ahead:
        voxel = ahead.pop()
        reached.add(voxel)
        ahead += [other for other in line - reached if max(abs(a - b) for a, b in zip(voxel, other, strict=True)) <= 1]
    assert reached == line


@pytest.mark.parametrize("far", [_SHAPE[0], -1, 2e7, 1e9, 1e300])
def test_a_line_that_leaves_the_image_is_refused_before_it_is_drawn(far: float) -> None:
    tracemalloc.start()
    with pytest.raises(PromptError, match="leaves the image of 5 x 6 x 7 voxels"):
        Region.along([(0, 0, 0), (far, 0, 0)], _SHAPE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_a_line_to_and_fro_takes_each_voxel_once_and_is_no_longer_than_a_person_draws() -> None:
    there_and_back = np.zeros((900, 3))
    there_and_back[1::2, 0] = 511
    assert len(Region.along(there_and_back, (512, 1, 1))) == 512
    with pytest.raises(PromptError, match="too long; draw it in parts"):
        Region.along(np.tile(there_and_back, (2, 1)), (512, 1, 1))


def test_the_later_stroke_counts_where_two_contradict() -> None:
    first, later = Region.of([(1, 1, 1), (2, 2, 2)]), Region.of([(2, 2, 2), (3, 3, 3)], positive=False)
    assert first.joined(later) == Region(np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]]), np.array([1, 0, 0]))
    assert later.joined(first) == Region(np.array([[1, 1, 1], [2, 2, 2], [3, 3, 3]]), np.array([1, 1, 0]))


def test_a_prompt_knows_its_kinds_and_can_be_taken_apart_and_joined() -> None:
    mask = PackedMask.pack(np.ones(_SHAPE, bool))
    whole = Prompt.make(_GRID, text="liver", points=[(1, 1, 1)], negative_points=[(2, 2, 2)], box=(0, 0, 0, 3, 3, 3))
    whole = whole.joined(Prompt(_GRID, scribbles=Region.of([(1, 2, 3)]), lasso=Region.of([(3, 2, 1)]), mask=mask))
    assert whole.kinds == set(PromptKind)
    joined = None
    for kind in PromptKind:
        part = whole.only({kind})
        assert part.kinds == {kind}
        joined = part if joined is None else joined.joined(part)
    assert joined == whole
    assert hash(joined) == hash(whole)
    assert whole != whole.only(set(PromptKind) - {PromptKind.MASK})


def test_only_what_is_off_the_structure_says_nothing() -> None:
    off = Region.of([(1, 1, 1)], positive=False)
    for parts in ({"scribbles": off}, {"lasso": off}, {"scribbles": off, "points": ((0.0, 0.0, 0.0),), "labels": (0,)}):
        with pytest.raises(PromptError, match="only what is off the structure was given"):
            Prompt(_GRID, **parts)  # type: ignore[arg-type]
    on = Prompt(_GRID, scribbles=off, mask=PackedMask.pack(np.ones(_SHAPE, bool)))
    assert on.kinds == {PromptKind.SCRIBBLE, PromptKind.MASK}
