"""A person and a session in turn: what is added, taken back, brought again and corrected, and what each answer says."""

import math

import numpy as np
import pytest

from segevolution.errors import PromptError
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.regions import PackedMask, Region
from segevolution.imaging.simulated_prompts import next_click
from segevolution.imaging.volume import Volume
from segevolution.inference.segmentation import Segmentation
from segevolution.inference.session import Session
from segevolution.inference.windows import VoxelBlock
from segevolution.models.tiny import VARIANTS, TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

SHAPE = (40, 36, 18)
LIVER, SPLEEN = (10, 12, 6), (28, 22, 12)


def patient() -> Volume:
    """A dim body with two bright organs, 2 mm voxels."""
    array = np.random.default_rng(0).uniform(0.05, 0.15, SHAPE)
    x, y, z = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    array[((x - 10) / 6) ** 2 + ((y - 12) / 5) ** 2 + ((z - 6) / 3) ** 2 <= 1] = 0.9
    array[((x - 28) / 5) ** 2 + ((y - 22) / 6) ** 2 + ((z - 12) / 3) ** 2 <= 1] = 0.8
    return Volume(array.astype(np.float32), Grid(SHAPE, np.diag([2.0, 2, 2, 1])), Modality.CT, "patient")


def organ() -> np.ndarray:
    """The first of its organs."""
    x, y, z = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return ((x - 10) / 6) ** 2 + ((y - 12) / 5) ** 2 + ((z - 6) / 3) ** 2 <= 1


@pytest.fixture(scope="module")
def zooming() -> TinyBackbone:
    return TinyBackbone(TinyConfig(window=(8, 32, 32))).eval()


@pytest.fixture(scope="module")
def clicking() -> TinyBackbone:
    """It accepts its own last answer with the next click."""
    network = TinyBackbone(VARIANTS["click"]).eval()
    assert PromptKind.MASK in network.spec.accepts
    return network


def steps(session: Session) -> list[Segmentation]:
    """Four additions of different kinds."""
    return [
        session.add_box((3, 5, 2, 18, 18, 10)),
        session.add_point(LIVER),
        session.add_scribble([(17, 12, 6), (17, 16, 6)], positive=False),
        session.add_text("liver"),
    ]


def test_what_was_taken_back_is_brought_again_bit_for_bit(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    answers = steps(session)
    for expected in (*answers[-2::-1], None):
        answer = session.undo()
        assert (answer is None) == (expected is None)
        if answer is not None and expected is not None:
            np.testing.assert_array_equal(answer.mask, expected.mask)
            assert answer.prompt == expected.prompt
    for expected in answers:
        answer = session.redo()
        assert answer is not None
        np.testing.assert_array_equal(answer.mask, expected.mask)
        assert (answer.prompt, answer.iou, answer.notes) == (expected.prompt, expected.iou, expected.notes)
    assert session.counts.encodings <= 2 * len(answers)
    with pytest.raises(PromptError, match="nothing to redo"):
        session.redo()


def test_a_new_addition_ends_what_could_be_brought_again(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    session.add_point(LIVER)
    session.add_point(SPLEEN)
    session.undo()
    session.add_text("liver")
    with pytest.raises(PromptError, match="nothing to redo"):
        session.redo()
    assert session.current is not None
    assert session.current.prompt == Prompt.make(patient().grid, text="liver", points=[LIVER])


def test_each_answer_says_the_block_in_which_it_differs_from_the_one_before(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    shown = np.zeros(SHAPE, bool)
    for move in (
        lambda: session.add_box((3, 5, 2, 18, 18, 10)),
        lambda: session.add_point(LIVER),
        lambda: session.add_point((17, 12, 6), positive=False),
        session.undo,
        session.undo,
        session.redo,
        lambda: session.add_mask(organ()),
        lambda: session.add_mask(organ()),
    ):
        answer = move()
        assert answer is not None
        different = np.argwhere(answer.mask != shown)
        if len(different):
            low, high = different.min(axis=0), different.max(axis=0) + 1
            assert answer.changed == VoxelBlock(tuple(low.tolist()), tuple(high.tolist()))
        else:
            assert answer.changed is None
        shown = answer.mask
    assert answer.changed is None, "the same mask twice changes nothing"
    whole = session.segment(text="liver")
    assert whole.changed is None or whole.mask[whole.changed.slices].sum() == whole.mask.sum()


def test_history_keeps_within_its_memory_and_says_what_was_forgotten(zooming: TinyBackbone) -> None:
    one = len(PackedMask.pack(np.zeros(SHAPE, bool)).bits)
    session = Session(zooming, patient(), history=2 * one)
    answers = [session.add_point((10, 12, number)) for number in (5, 6, 7)]
    answer = session.undo()
    assert answer is not None
    np.testing.assert_array_equal(answer.mask, answers[1].mask)
    with pytest.raises(PromptError, match=f"forgotten, to stay within {2 * one} bytes"):
        session.undo()
    np.testing.assert_array_equal(session.current.mask, answers[1].mask)  # type: ignore[union-attr]
    session.reset()
    with pytest.raises(PromptError, match="nothing to undo"):
        session.undo()
    tight = Session(zooming, patient(), history=0)
    np.testing.assert_array_equal(tight.add_point(LIVER).mask, tight.current.mask)  # type: ignore[union-attr]


def test_a_lone_negative_point_corrects_an_answer_and_is_refused_where_there_is_none(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    for attempt in (
        lambda: session.add_point(SPLEEN, positive=False),
        lambda: session.add_scribble([SPLEEN], positive=False),
        lambda: session.add_lasso([SPLEEN], positive=False),
    ):
        with pytest.raises(PromptError, match="takes away from an answer, and there is none yet"):
            attempt()
    both = session.segment(box=(2, 3, 2, 36, 32, 16))
    session.take_up(both)
    less = session.add_point(SPLEEN, positive=False)
    assert both.mask[SPLEEN]
    assert not less.mask[SPLEEN]
    assert less.prompt.labels == (0,)
    session.reset()
    session.add_mask(organ())
    assert session.add_point(SPLEEN, positive=False).mask[LIVER]


def test_a_mask_to_begin_with_is_the_current_answer_and_is_corrected(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    begun = session.add_mask(organ())
    assert session.counts.decodings == 0
    np.testing.assert_array_equal(begun.mask, organ())
    assert math.isnan(begun.iou)
    assert "this is the segmentation to begin with, not an answer of the network" in begun.notes
    after = session.add_point(SPLEEN, positive=False)
    assert "this model takes no mask: it became the box round it and the point deepest inside it" in after.notes
    assert after.mask[LIVER]
    assert not after.mask[SPLEEN]
    with pytest.raises(PromptError, match="empty"):
        session.add_mask(np.zeros(SHAPE, bool))
    with pytest.raises(PromptError, match="they must agree"):
        session.add_mask(np.ones((3, 3, 3), bool))


def test_strokes_reach_a_network_as_what_it_takes_and_the_answer_says_so(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    line = session.add_scribble([(8, 12, 6), (12, 12, 6)])
    assert line.notes == ("this model takes no scribbles: each became up to 8 points, spread evenly over it",)
    points = session.segment(points=[(10, 12, 6), (8, 12, 6), (12, 12, 6), (9, 12, 6), (11, 12, 6)])
    np.testing.assert_array_equal(line.mask, points.mask)
    session.reset()
    as_array = session.add_lasso(organ())
    session.reset()
    as_places = session.add_lasso(patient().grid.to_mm(np.argwhere(organ())).tolist(), mm=True)
    np.testing.assert_array_equal(as_array.mask, as_places.mask)
    assert as_places.prompt.lasso == Region.of(organ())
    boxed = session.segment(box=(4, 7, 3, 16, 17, 9), points=[LIVER])
    np.testing.assert_array_equal(as_array.mask, boxed.mask)


def test_a_box_cut_at_the_border_is_said_in_the_answer(zooming: TinyBackbone) -> None:
    answer = Session(zooming, patient()).segment(box=(3, 5, 2, 18, 40, 10))
    assert answer.notes[0].startswith("the box reached up to 5 voxels beyond the image and was cut at its border")


def test_a_point_that_is_on_and_off_the_structure_is_said_in_the_answer(zooming: TinyBackbone) -> None:
    session = Session(zooming, patient())
    session.add_point(LIVER)
    answer = session.add_point(tuple(index + 0.3 for index in LIVER), positive=False)
    assert [note for note in answer.notes if "the point 10,12,6 was said to be on the structure and off it" in note]
    assert not session.undo().notes
    assert not session.add_point(SPLEEN, positive=False).notes


def test_a_network_that_accepts_its_answer_is_told_it_with_the_next_click(clicking: TinyBackbone) -> None:
    heard = []
    decode = clicking._decode
    clicking._decode = lambda *args, **rest: heard.append(args[1].masks) or decode(*args, **rest)  # type: ignore[method-assign]
    try:
        session = Session(clicking, patient())
        session.add_point(LIVER)
        first = len(heard)
        assert heard[0] is None
        second = session.add_point((12, 12, 6))
        assert heard[first] is not None
        told = heard[first].clone()
        session.undo()
        again = session.add_point((12, 12, 6))
        np.testing.assert_array_equal(again.mask, second.mask)
        at_once = Session(clicking, patient()).segment(points=[LIVER, (12, 12, 6)])
        assert not np.array_equal(at_once.mask, second.mask) or bool((told > 0).any())
    finally:
        del clicking._decode


def test_a_mask_to_begin_with_reaches_a_network_that_accepts_it(clicking: TinyBackbone) -> None:
    session = Session(clicking, patient())
    session.add_mask(organ())
    answer = session.add_point((10, 12, 9))
    assert answer.notes == ()
    given = Prompt.make(patient().grid, points=[(10, 12, 9)]).extended(mask=PackedMask.pack(organ()))
    told = Session(clicking, patient()).segment(given, keep_logits=True)
    np.testing.assert_array_equal(told.mask, answer.mask)
    alone = Session(clicking, patient()).segment(points=[(10, 12, 9)], keep_logits=True)
    assert told.logits is not None
    assert alone.logits is not None
    more = told.logits.astype(float) - alone.logits.astype(float)
    inside = session.frame.labels(organ())
    assert more[inside].mean() > 1
    assert more[~inside].mean() < 0


@pytest.mark.parametrize("variant", ["zoom", "click", "slices"])
def test_simulated_clicks_in_turn_lead_a_session_to_the_organ(variant: str) -> None:
    config = TinyConfig(window=(8, 32, 32)) if variant == "zoom" else VARIANTS[variant]
    session, truth = Session(TinyBackbone(config).eval(), patient()), organ()
    answer, dice = np.zeros(SHAPE, bool), []
    for _ in range(6):
        click = next_click(answer, truth, patient().grid.spacing)
        if click is None:
            break
        answer = session.add_point(click.point, positive=click.positive).mask
        dice.append(2 * (answer & truth).sum() / (answer.sum() + truth.sum()))
    assert max(dice) > 0.6
    assert session.current is not None
    assert len(session.current.prompt.points) == len(dice)


def test_an_answer_lies_on_the_volumes_own_grid_even_if_the_prompts_is_a_copy(zooming: TinyBackbone) -> None:
    volume = patient()
    session = Session(zooming, volume)
    copy = Grid(SHAPE, volume.grid.affine.copy())
    assert session.add(Prompt.make(copy, points=[LIVER])).grid is volume.grid
    assert session.add(Prompt.make(copy, text="liver")).grid is volume.grid
