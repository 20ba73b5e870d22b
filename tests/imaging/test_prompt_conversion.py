"""What a network does not accept is turned into what it does by a stated rule, and said; or refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segevolution.errors import PromptError
from segevolution.imaging.boxes import Box
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompt_conversion import CONVERSIONS, SPREAD, adapted, spread
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.regions import PackedMask, Region

_SHAPE = (12, 14, 10)
_GRID = Grid(_SHAPE, np.diag([1.0, 1.0, 3.0, 1.0]))
_BALL = np.zeros(_SHAPE, bool)
_BALL[3:8, 2:9, 4:7] = True
SEGVOL, CLICKS, BOXES, WORDS = (
    frozenset(map(PromptKind, kinds)) for kinds in (("text", "point", "box"), ("point", "mask"), ("box",), ("text",))
)


def test_what_is_accepted_stays_as_it_is_and_needs_no_note() -> None:
    prompt = Prompt.make(_GRID, text="liver", points=[(1, 1, 1)], box=(0, 0, 0, 3, 3, 3))
    assert adapted(prompt, SEGVOL) == (prompt, ())
    drawn = Prompt(_GRID, scribbles=Region.of(_BALL), lasso=Region.of(_BALL), mask=PackedMask.pack(_BALL))
    assert adapted(drawn, frozenset(PromptKind)) == (drawn, ())


def test_a_scribble_becomes_points_spread_evenly_over_it() -> None:
    line = Region.along([(1, 1, 5), (11, 1, 5)], _GRID.shape).joined(Region.of([(5, 9, 5)], positive=False))
    prompt, notes = adapted(Prompt(_GRID, "liver", scribbles=line), SEGVOL)
    assert prompt.kinds == {PromptKind.TEXT, PromptKind.POINT}
    assert prompt.labels == (1,) * SPREAD + (0,)
    assert {tuple(map(int, place)) for place in prompt.points[:SPREAD]} <= {
        tuple(row) for row in line.positive.tolist()
    }
    assert {(1.0, 1.0, 5.0), (11.0, 1.0, 5.0), (6.0, 1.0, 5.0)} <= set(prompt.points)
    assert prompt.points[-1] == (5, 9, 5)
    assert notes == ("this model takes no scribbles: each became up to 8 points, spread evenly over it",)


def test_a_lasso_becomes_its_box_and_its_deepest_point_as_far_as_the_network_takes_them() -> None:
    drawn = Prompt(_GRID, lasso=Region.of(_BALL))
    both, notes = adapted(drawn, SEGVOL)
    assert both.box == Box((3, 2, 4), (7, 8, 6))
    assert (both.points, both.labels) == (((5, 4, 4),), (1,))
    assert len(notes) == 1
    assert adapted(drawn, BOXES)[0] == Prompt(_GRID, box=both.box)
    assert adapted(drawn, CLICKS)[0] == Prompt(_GRID, points=both.points, labels=(1,))


def test_a_lasso_in_one_slice_bounds_no_network_that_takes_points() -> None:
    flat = np.zeros(_SHAPE, bool)
    flat[3:8, 2:9, 5] = True
    prompt, _ = adapted(Prompt(_GRID, lasso=Region.of(flat)), SEGVOL)
    assert prompt.kinds == {PromptKind.POINT}
    assert prompt.points[0] == (5, 4, 5)
    assert 1 < len(prompt.points) <= SPREAD
    inner = np.zeros(_SHAPE, bool)
    inner[4:7, 3:8, 5] = True
    assert all(inner[tuple(map(int, place))] for place in prompt.points)
    assert adapted(Prompt(_GRID, lasso=Region.of(flat)), BOXES)[0].box == Box((3, 2, 5), (7, 8, 5))


def test_a_mask_becomes_a_box_that_holds_what_else_is_on_the_structure() -> None:
    prompt = Prompt.make(_GRID, points=[(10, 3, 5)], negative_points=[(0, 0, 0)]).extended(mask=PackedMask.pack(_BALL))
    both, notes = adapted(prompt, SEGVOL)
    assert both.box == Box((3, 2, 4), (10, 8, 6))
    assert both.points == ((10, 3, 5), (0, 0, 0), (5, 4, 4))  # 3 mm from the outside, along x and along z
    assert both.labels == (1, 0, 1)
    assert len(notes) == 1
    assert adapted(prompt, CLICKS) == (prompt, ())


def test_a_persons_own_box_is_never_replaced() -> None:
    own = Box((0, 0, 0), (11, 13, 9))
    prompt = Prompt(_GRID, box=own, lasso=Region.of(_BALL), mask=PackedMask.pack(_BALL))
    assert adapted(prompt, SEGVOL)[0].box == own


def test_a_box_becomes_the_voxel_in_its_middle_where_a_network_takes_points_only() -> None:
    prompt, notes = adapted(Prompt.make(_GRID, box=(2, 3, 4, 6, 8, 9)), CLICKS)
    assert prompt == Prompt.make(_GRID, points=[(4, 5, 6)])
    assert notes == ("this model takes no box: it became the point in its middle",)


def test_a_negative_stroke_becomes_negative_points() -> None:
    off = Region.of([(1, 1, 1)], positive=False)
    prompt, _ = adapted(Prompt(_GRID, "liver", lasso=off, scribbles=off), SEGVOL)
    assert prompt.labels == (0, 0)
    with pytest.raises(PromptError):
        adapted(Prompt(_GRID, points=((1, 1, 1),), labels=(1,), lasso=off), BOXES)


@pytest.mark.parametrize(
    ("prompt", "accepts", "words"),
    [
        (Prompt(_GRID, "liver"), CLICKS, "takes no text prompt; it takes mask, point"),
        (Prompt.make(_GRID, points=[(1, 1, 1)]), BOXES, "takes no point prompt; it takes box"),
        (Prompt(_GRID, scribbles=Region.of(_BALL)), BOXES, "takes no scribble prompt; it takes box"),
        (Prompt(_GRID, mask=PackedMask.pack(_BALL)), WORDS, "takes no mask prompt; it takes text"),
    ],
)
def test_what_no_rule_turns_is_refused_by_name(prompt: Prompt, accepts: frozenset[PromptKind], words: str) -> None:
    with pytest.raises(PromptError, match=words):
        adapted(prompt, accepts)


@settings(deadline=None)
@given(arrays(bool, (4, 5, 3)).filter(lambda mask: bool(mask.any())), st.data())
def test_whatever_a_network_takes_it_gets_that_alone_and_is_told_of_the_structure(
    mask: np.ndarray, data: st.DataObject
) -> None:
    grid = Grid((4, 5, 3), np.diag([1.0, 2.0, 0.5, 1.0]))
    parts = {
        PromptKind.SCRIBBLE: {"scribbles": Region.of(mask)},
        PromptKind.LASSO: {"lasso": Region.of(mask)},
        PromptKind.MASK: {"mask": PackedMask.pack(mask)},
    }
    kind = data.draw(st.sampled_from(list(parts)))
    accepts = frozenset(data.draw(st.sets(st.sampled_from(list(PromptKind)), min_size=1)))
    prompt = Prompt(grid, **parts[kind])  # type: ignore[arg-type]
    fits = kind in accepts or any(each.kind == kind and each.into <= accepts for each in CONVERSIONS)
    if not fits:
        with pytest.raises(PromptError, match=f"takes no {kind}"):
            adapted(prompt, accepts)
        return
    told, notes = adapted(prompt, accepts)
    assert told.kinds <= accepts
    assert bool(notes) == (kind not in accepts)
    assert all(mask[tuple(map(int, place))] for place in told.points)
    if told.box is not None:
        low, high = told.box.voxels
        assert (np.argwhere(mask).min(axis=0) == low).all()
        assert (np.argwhere(mask).max(axis=0) == high).all()


def test_every_rule_leads_away_from_its_kind_and_says_so() -> None:
    for rule in CONVERSIONS:
        assert rule.kind not in rule.into
        assert f"takes no {rule.kind}" in rule.rule
    pairs = [(rule.kind, rule.into) for rule in CONVERSIONS]
    assert all(one != other for one, other in itertools.combinations(pairs, 2))


def test_spread_points_are_distinct_and_reach_the_ends() -> None:
    voxels = Region.along([(0, 0, 0), (9, 0, 0)], (10, 1, 1)).voxels
    places = spread(voxels, (1.0, 1.0, 1.0), 4)
    assert len(set(places)) == 4
    assert {place[0] for place in places} >= {0.0, 9.0}
    assert len(spread(voxels[:2], (1.0, 1.0, 1.0), 4)) == 2
