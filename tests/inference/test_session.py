"""A session answers on the input's grid, encodes once, and gives the same answer in whatever way it is asked."""

import itertools
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from segevolution.errors import CheckpointError, PromptError, VocabularyError, VolumeError
from segevolution.imaging import table_image
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.table_image import TableImage
from segevolution.imaging.volume import Volume
from segevolution.inference import stretched_logits
from segevolution.inference.segmentation import Segmentation
from segevolution.inference.session import Session
from segevolution.models.spec import Windows
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

SPACING = np.array([1.5, 1.25, 3.0])
ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


def patient(shape: tuple[int, int, int] = (40, 36, 18)) -> Volume:
    """A dim body with two bright organs, in RAS order."""
    rng = np.random.default_rng(0)
    array = rng.uniform(0.05, 0.15, shape)
    x, y, z = np.ogrid[: shape[0], : shape[1], : shape[2]]
    array[((x - 10) / 6) ** 2 + ((y - 12) / 5) ** 2 + ((z - 6) / 3) ** 2 <= 1] = 0.9
    array[((x - 28) / 5) ** 2 + ((y - 22) / 6) ** 2 + ((z - 12) / 3) ** 2 <= 1] = 0.8
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-30, -20, 15)
    return Volume(array.astype(np.float32), Grid(shape, affine), Modality.CT, "patient")


def stored_as(volume: Volume, axes: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same patient with file axes permuted and flipped."""
    array = np.transpose(volume.array, axes)
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, old in enumerate(axes):
        change[old, new] = signs[new]
        if signs[new] < 0:
            array = np.flip(array, new)
            change[old, 3] = volume.array.shape[old] - 1
    shape = (array.shape[0], array.shape[1], array.shape[2])
    return Volume(np.ascontiguousarray(array), Grid(shape, volume.grid.affine @ change), volume.modality, "turned")


def in_mm(answer: Segmentation) -> npt.NDArray[np.float64]:
    """Places of the mask's voxels, sorted."""
    places = np.round(answer.grid.to_mm(np.argwhere(answer.mask)), 6)
    return places[np.lexsort(places.T)]


@pytest.fixture(scope="module")
def network() -> TinyBackbone:
    return TinyBackbone(TinyConfig(window=(8, 32, 32))).eval()


FIRST_MM = tuple(np.array([10, 12, 6]) * SPACING + (-30, -20, 15))
SECOND_MM = tuple(np.array([28, 22, 12]) * SPACING + (-30, -20, 15))


@pytest.mark.parametrize("windows", ["roi", "lattice", "central", "focus", "off"])
def test_a_large_volume_is_answered_by_parts_and_bit_for_bit_as_in_one_piece(
    network: TinyBackbone, windows: Windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = patient()
    counted = np.rint(whole.array * 1000).astype(np.int16)
    scan = stored_as(Volume(counted, whole.grid, Modality.MRI), (2, 0, 1), (-1, 1, 1))
    answers = []
    for large in (False, True):
        if large:
            monkeypatch.setattr(stretched_logits, "WHOLE", 0)
            monkeypatch.setattr(table_image, "LEAST", 0)
        session = Session(network, scan, windows=windows)
        assert isinstance(session.frame.image, TableImage) is large
        answers.append(session.segment(points=[FIRST_MM], negative_points=[SECOND_MM], mm=True, keep_logits=True))
    small, large_answer = answers
    assert small.mask.any()
    np.testing.assert_array_equal(small.mask, large_answer.mask)
    assert small.logits is not None
    assert large_answer.logits is not None
    np.testing.assert_array_equal(small.logits.view(np.uint16), large_answer.logits.view(np.uint16))
    assert small.iou == large_answer.iou
    assert small.mask.flags.c_contiguous
    assert large_answer.mask.flags.c_contiguous


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_one_patient_gets_one_mask_in_patient_space_however_the_file_is_stored(
    network: TinyBackbone, axes: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    expected = Session(network, patient()).segment(points=[FIRST_MM], negative_points=[SECOND_MM], mm=True)
    turned = stored_as(patient(), axes, signs)
    answer = Session(network, turned).segment(points=[FIRST_MM], negative_points=[SECOND_MM], mm=True)
    assert answer.mask.shape == turned.array.shape
    assert answer.mask.dtype == np.bool_
    assert answer.grid is turned.grid
    assert answer.mask[tuple(np.rint(turned.grid.to_voxel([FIRST_MM])[0]).astype(int))]
    np.testing.assert_array_equal(in_mm(answer), in_mm(expected))
    assert answer.volume_ml == pytest.approx(expected.volume_ml)


@pytest.mark.parametrize("shape", [(35, 50, 35), (20, 17, 3), (90, 70, 20), (32, 32, 8), (33, 31, 9)])
@pytest.mark.parametrize("windows", ["roi", "lattice", "central", "off"])
def test_volumes_of_any_size_are_answered_on_their_own_grid(
    network: TinyBackbone, shape: tuple[int, int, int], windows: str
) -> None:
    array = np.random.default_rng(1).uniform(0, 0.3, shape)
    low = [side // 5 for side in shape]
    high = [start + max(1, 2 * side // 5) for start, side in zip(low, shape, strict=True)]
    array[tuple(slice(*ends) for ends in zip(low, high, strict=True))] = 1.0
    volume = Volume(array, Grid(shape, np.diag([1.0, 1, 2, 1])))
    answer = Session(network, volume, windows=windows).segment(box=(*low, *(end - 1 for end in high)))  # type: ignore[arg-type]
    assert answer.mask.shape == shape
    assert answer.mask[tuple((start + end) // 2 for start, end in zip(low, high, strict=True))]
    assert not answer.mask[high[0] + 6 :].any()


def test_many_prompts_share_one_encoding_of_the_whole(network: TinyBackbone) -> None:
    session = Session(network, patient(), windows="off")
    assert session.counts.encodings == 0
    session.segment(text="liver")
    session.segment([Prompt(session.volume.grid, name) for name in ("spleen", "right kidney", "aorta")])
    session.candidates(Prompt(session.volume.grid, "liver"))
    assert session.counts.encodings == 1
    assert session.counts.decodings == 5


def test_a_lattice_encodes_each_window_once_for_all_prompts(network: TinyBackbone) -> None:
    session = Session(network, patient(), windows="lattice")
    prompts = [Prompt.make(session.volume.grid, points=[(10, 12, 6)], text=name) for name in ("liver", "spleen")]
    session.segment(prompts[0])
    first = session.counts.encodings
    assert first > 1
    session.segment(prompts)
    session.segment(prompts[::-1])
    regions = Session(network, patient(), windows="roi")
    regions.segment(prompts)
    assert session.counts.encodings <= first + 4  # the second structure may touch a few more
    before = session.counts.encodings
    session.segment(prompts)
    assert session.counts.encodings == before


def test_a_small_memory_encodes_again_and_changes_nothing(network: TinyBackbone) -> None:
    roomy = Session(network, patient(), windows="lattice")
    tight = Session(network, patient(), windows="lattice", memory=1)
    for _ in range(2):
        answers = [session.segment(points=[(10, 12, 6)], keep_logits=True) for session in (roomy, tight)]
        np.testing.assert_array_equal(answers[0].mask, answers[1].mask)
    assert tight.counts.encodings > roomy.counts.encodings


def test_windows_agree_where_the_volume_is_no_larger_than_one(network: TinyBackbone) -> None:
    volume = patient((32, 30, 8))
    box = {"box": (4, 7, 3, 16, 17, 7)}
    roi, lattice = (
        Session(network, volume, windows=windows).segment(**box, keep_logits=True)  # type: ignore[arg-type, call-overload]
        for windows in ("roi", "lattice")
    )
    assert roi.mask.any()
    np.testing.assert_array_equal(roi.logits, lattice.logits)


def test_several_prompts_together_are_answered_as_each_alone(network: TinyBackbone) -> None:
    grid = patient().grid
    prompts = [
        Prompt.make(grid, text="liver"),
        Prompt.make(grid, points=[(10, 12, 6)], negative_points=[(28, 22, 12)]),
        Prompt.make(grid, box=(22, 15, 8, 34, 29, 16)),
        Prompt.make(grid, text="spleen", points=[(28, 22, 12)], box=(22, 15, 8, 34, 29, 16)),
    ]
    together = Session(network, patient(), batch=3).segment(prompts, keep_logits=True)
    for prompt, found in zip(prompts, together, strict=True):
        alone = Session(network, patient(), batch=1).segment(prompt, keep_logits=True)
        np.testing.assert_array_equal(found.mask, alone.mask)
        assert found.logits is not None
        assert alone.logits is not None
        np.testing.assert_allclose(found.logits.astype(float), alone.logits.astype(float), atol=0.02)
        assert found.iou == pytest.approx(alone.iou, abs=1e-5)


def test_answers_do_not_depend_on_chance(network: TinyBackbone) -> None:
    torch.manual_seed(1)
    first = Session(network, patient()).segment(text="liver", points=[(10, 12, 6), (12, 12, 6)], keep_logits=True)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = Session(network, patient()).segment(text="liver", points=[(10, 12, 6), (12, 12, 6)], keep_logits=True)
    np.testing.assert_array_equal(first.logits, second.logits)
    assert torch.equal(torch.get_rng_state(), state)


def test_undo_gives_the_earlier_mask_bit_for_bit(network: TinyBackbone) -> None:
    session = Session(network, patient())
    masks = [session.add_box((3, 5, 2, 18, 18, 10)).mask.copy()]
    masks.append(session.add_point((10, 12, 6)).mask.copy())
    masks.append(session.add_point((17, 12, 6), positive=False).mask.copy())
    last = session.add_text("liver")
    assert last.prompt.text == "liver"
    assert last.prompt.labels == (1, 0)
    assert last.prompt.box is not None
    encoded = session.counts.encodings
    for expected in reversed(masks):
        answer = session.undo()
        assert answer is not None
        np.testing.assert_array_equal(answer.mask, expected)
    assert session.undo() is None
    assert session.counts.encodings == encoded
    with pytest.raises(PromptError, match="nothing to undo"):
        session.undo()


def test_interactive_points_equal_the_same_prompt_given_at_once(network: TinyBackbone) -> None:
    session = Session(network, patient())
    session.add_point(FIRST_MM, mm=True)
    built = session.add_point(SECOND_MM, positive=False, mm=True)
    whole = session.segment(points=[(10, 12, 6)], negative_points=[(28, 22, 12)])
    np.testing.assert_array_equal(built.mask, whole.mask)
    session.reset()
    assert session.current is None


def test_a_negative_point_takes_away(network: TinyBackbone) -> None:
    session = Session(network, patient())
    both = session.segment(box=(2, 3, 2, 36, 32, 16))
    assert both.mask[10, 12, 6]
    assert both.mask[28, 22, 12]
    less = session.segment(box=(2, 3, 2, 36, 32, 16), points=[(10, 12, 6)], negative_points=[(28, 22, 12)])
    assert less.mask[10, 12, 6]
    assert not less.mask[28, 22, 12]


def test_candidates_are_three_and_the_best_predicted_comes_first(network: TinyBackbone) -> None:
    session = Session(network, patient())
    found = session.candidates(Prompt.make(session.volume.grid, box=(3, 5, 2, 18, 18, 10)))
    assert len(found) == 3
    assert [answer.iou for answer in found] == sorted((answer.iou for answer in found), reverse=True)
    assert len({answer.iou for answer in found}) == 3


def test_synonyms_and_case_of_a_text_do_not_matter(network: TinyBackbone) -> None:
    session = Session(network, patient(), windows="off")
    first, second = session.segment(text="Arota"), session.segment(text="aorta")
    assert first.structure == "aorta"
    np.testing.assert_array_equal(first.mask, second.mask)


@pytest.mark.parametrize(("word", "error"), [("rkid", VolumeError), ("LAD", VocabularyError)])
def test_a_side_is_known_by_what_a_word_means_and_refused_where_the_file_does_not_say_it(
    network: TinyBackbone, word: str, error: type[Exception]
) -> None:
    session = Session(network, replace(patient(), orientation_stated=False))
    with pytest.raises(error, match=r"right kidney|left adrenal gland"):
        session.segment(text=word)


def test_a_prompt_that_cannot_be_answered_is_refused(network: TinyBackbone) -> None:
    session = Session(network, patient())
    with pytest.raises(VocabularyError, match='did you mean "liver"'):
        session.segment(text="livr")
    with pytest.raises(PromptError, match="no prompt was given"):
        session.segment()
    with pytest.raises(PromptError, match="outside"):
        session.segment(points=[(40, 3, 3)])
    with pytest.raises(PromptError, match="another grid"):
        session.segment(Prompt(Grid((40, 36, 18), np.eye(4)), "liver"))
    with pytest.raises(PromptError, match="give either"):
        session.segment(Prompt(session.volume.grid, "liver"), text="spleen")  # type: ignore[call-overload]
    with pytest.raises(VolumeError, match="constant"):
        Session(network, Volume(np.ones((4, 4, 4)), Grid((4, 4, 4), np.eye(4))))
    assert session.segment([]) == []


def test_prompts_may_come_one_by_one(network: TinyBackbone) -> None:
    session = Session(network, patient())
    prompts = [Prompt(session.volume.grid, name) for name in ("liver", "spleen")]
    answers = session.segment(prompt for prompt in prompts)
    assert [answer.prompt for answer in answers] == prompts
    point = session.segment(points=(place for place in [(10, 12, 6)]))
    assert point.prompt == Prompt.make(session.volume.grid, points=[(10, 12, 6)])
    stray = Prompt(Grid((40, 36, 18), np.eye(4)), "liver")
    with pytest.raises(PromptError, match="another grid"):
        session.check(prompt for prompt in [*prompts, stray])
    with pytest.raises(PromptError, match="give either"):
        session.segment(prompts[0], points=[(10, 12, 6)])  # type: ignore[call-overload]
    for bad in ({"text": "liver"}, 3):
        with pytest.raises(PromptError, match="is no Prompt"):
            session.segment(bad)  # type: ignore[call-overload]


def test_options_and_arguments_of_another_kind_are_refused_in_a_sentence(network: TinyBackbone) -> None:
    for option in ({"windows": "rio"}, {"precision": "fp64"}, {"context": "zz"}, {"batch": 0}, {"batch": True}):
        with pytest.raises(PromptError, match=f"^{next(iter(option))} is "):
            Session(network, patient(), **option)
    with pytest.raises(VolumeError, match="not a str"):
        Session(network, "ct.nii.gz")  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="not with a str"):
        Session("segvol-mini", patient())  # type: ignore[arg-type]
    session = Session(network, patient())
    for asked in (session.segment, session.candidates):
        with pytest.raises(PromptError, match=r'segment\(text="liver"\)'):
            asked("liver")  # type: ignore[call-overload]
    with pytest.raises(PromptError, match="not on a Volume"):
        Prompt.make(session.volume, text="liver")  # type: ignore[arg-type]


def test_a_kind_that_the_model_does_not_take_is_refused_by_name() -> None:
    deaf = TinyBackbone()
    deaf.spec = type(deaf.spec)(window=deaf.spec.window, accepts=frozenset({PromptKind.POINT}), intensity="foreground")
    with pytest.raises(PromptError, match="takes no text prompt; it takes point"):
        Session(deaf, patient()).segment(text="liver")


def test_withheld_context_keeps_the_answer_of_a_network_without_adapter(network: TinyBackbone) -> None:
    known = Session(network, patient()).segment(text="liver")
    seen: list[object] = []
    network.hooks.fuse = lambda tokens, contexts: (seen.extend(contexts) or tokens, None)
    try:
        withheld = Session(network, patient(), context="withheld").segment(text="liver")
        assert {(context.modality, context.structure) for context in seen} == {(None, None)}  # type: ignore[attr-defined]
        seen.clear()
        Session(network, patient()).segment(points=[(10, 12, 6)], structure="Arota")
        assert {(context.modality, context.structure) for context in seen} == {(Modality.CT, "aorta")}  # type: ignore[attr-defined]
    finally:
        network.hooks.fuse = None
    np.testing.assert_array_equal(known.mask, withheld.mask)


def test_a_mask_moves_to_another_grid_of_the_patient(network: TinyBackbone) -> None:
    answer = Session(network, patient()).segment(box=(3, 5, 2, 18, 18, 10))
    turned = stored_as(patient(), (2, 0, 1), (-1, 1, -1))
    moved = answer.on(turned.grid)
    assert moved.shape == turned.array.shape
    assert moved.sum() == answer.mask.sum()
    x, y, z = turned.grid.to_voxel([FIRST_MM])[0].round().astype(int)
    assert moved[x, y, z]


def test_half_precision_is_close(network: TinyBackbone) -> None:
    full, half = (
        Session(network, patient(), precision=precision).segment(box=(3, 5, 2, 18, 18, 10))  # type: ignore[arg-type]
        for precision in ("fp32", "bf16")
    )
    overlap = 2 * (full.mask & half.mask).sum() / (full.mask.sum() + half.mask.sum())
    assert overlap > 0.95
