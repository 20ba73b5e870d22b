"""Whether an answer is doubted: by its expected overlap, its place, its volume, and what the model was measured on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segevolution.errors import CheckpointError
from segevolution.imaging.boxes import Box
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import Prompt, PromptKind
from segevolution.imaging.volume import Volume
from segevolution.inference.calibration import (
    CALIBRATION,
    Calibration,
    Curve,
    Measured,
    ModalityCalibration,
    kind_of,
    read_calibration,
    write_calibration,
)
from segevolution.inference.confidence import _unstable, judge, warnings_of
from segevolution.inference.moved_prompts import agreement, moved_prompt
from segevolution.inference.segmentation import Segmentation
from segevolution.inference.session import Session
from segevolution.inference.signs import Surroundings, signs_of
from segevolution.models.tiny import TinyBackbone, TinyConfig
from segevolution.vocabulary import Modality

SHAPE = (80, 70, 40)
GRID = Grid(SHAPE, np.diag([4.0, 4.0, 5.0, 1.0]))
MEASURED = Measured(
    answers=1,
    patients=1,
    error_before={},
    error_after={},
    poor=0,
    poor_flagged=0,
    good=0,
    good_flagged=0,
    absent=0,
    absent_flagged=0,
    data="none",
)


def body(modality: Modality | None = Modality.CT) -> Volume:
    x, y, _ = np.ogrid[:80, :70, :40]
    inside = np.broadcast_to((x - 40) ** 2 + (y - 35) ** 2 <= 32**2, SHAPE)
    return Volume(np.where(inside, 40, -1000).astype(np.float32), GRID, modality)


def answer(
    low: tuple[int, int, int], high: tuple[int, int, int], name: str | None = "liver", iou: float = 0.9
) -> Segmentation:
    mask = np.zeros(SHAPE, bool)
    mask[tuple(slice(*span) for span in zip(low, high, strict=True))] = True
    return Segmentation(mask, GRID, Prompt(GRID, name or "liver"), name, iou)


DEEP = answer((25, 25, 10), (55, 45, 25))  # 720 ml
IN_FAT = answer((9, 25, 10), (11, 45, 35))
SURROUNDINGS = Surroundings.of(body())


def calibration(doubtful: float = 0.5) -> Calibration:
    curves = (
        Curve(bias=0.0, weights={"predicted_iou": 0.5, "agreement": 1.0}),
        Curve(bias=-1.0, weights={"predicted_iou": 1.0}),
    )
    return Calibration(
        {Modality.CT: ModalityCalibration(curves={"text": curves}, doubtful=doubtful, measured=MEASURED)}
    )


def test_a_large_liver_deep_in_the_body_is_not_doubted() -> None:
    assert warnings_of(DEEP, SURROUNDINGS) == ()
    assert warnings_of(DEEP, SURROUNDINGS, calibration()) == ()


def test_a_liver_in_the_fat_of_the_wall_is_doubted_without_any_calibration() -> None:
    (skin,) = (text for text in warnings_of(IN_FAT, SURROUNDINGS) if "skin" in text)
    assert skin == "half of it lies less than 15 mm under the skin, where it cannot be"
    assert not any("skin" in text for text in warnings_of(replace(IN_FAT, structure="muscle"), SURROUNDINGS))


def test_an_answer_in_the_air_is_doubted_whatever_it_is_called() -> None:
    (sentence,) = warnings_of(answer((0, 0, 5), (6, 6, 20), None), SURROUNDINGS)
    assert sentence == "100% of it lies outside the body"


def test_a_volume_that_no_adult_has_is_doubted_unless_the_scan_cuts_it_off() -> None:
    small, cut = answer((38, 33, 10), (42, 38, 14)), answer((38, 33, 0), (42, 38, 4))
    assert warnings_of(small, SURROUNDINGS) == ("6.4 ml is no usual volume of it (600 to 3500 ml in adults)",)
    assert warnings_of(cut, SURROUNDINGS) == ()
    assert any("usual volume" in text for text in warnings_of(answer((15, 15, 0), (65, 55, 40)), SURROUNDINGS))


def test_the_expected_overlap_follows_the_curve_and_a_low_one_is_said() -> None:
    doubted = judge(replace(DEEP, iou=0.3), SURROUNDINGS, calibration())
    assert doubted.expected_overlap == pytest.approx(1 / (1 + np.exp(1 - np.log(0.3 / 0.7))))
    assert doubted.warnings[0].startswith("probably wrong, as an overlap (IoU) of only 0.14 ")
    believed = judge(DEEP, SURROUNDINGS, calibration())
    assert believed.expected_overlap is not None
    assert believed.expected_overlap > 0.5
    assert believed.warnings == ()


def test_a_modality_that_was_never_measured_is_said_and_an_unknown_one_is_not() -> None:
    (sentence,) = warnings_of(DEEP, replace(SURROUNDINGS, modality=Modality.PET), calibration())
    assert sentence == "nothing is known of this model's answers on PET: it was measured on CT only"
    assert warnings_of(DEEP, replace(SURROUNDINGS, modality=None), calibration()) == ()


def test_a_brain_structure_in_a_trunk_is_doubted() -> None:
    sentences = warnings_of(replace(DEEP, structure="cerebellum"), SURROUNDINGS)
    assert any("across where it lies, which is no head" in text for text in sentences)
    x, y, _ = np.ogrid[:80, :70, :40]
    head = np.broadcast_to((x - 40) ** 2 + (y - 35) ** 2 <= 20**2, SHAPE)  # 16 cm
    small = Surroundings.of(Volume(np.where(head, 40, -1000).astype(np.float32), GRID, Modality.CT))
    inside = replace(answer((35, 30, 10), (46, 40, 22)), structure="cerebellum")  # 106 ml
    assert warnings_of(inside, small) == ()


def test_an_answer_that_jumps_is_doubted() -> None:
    signs = signs_of(DEEP, SURROUNDINGS, agreement=0.3)
    assert signs is not None
    assert signs.agreement == 0.3
    assert _unstable(signs) == "it changes when the prompt is moved a little (overlap 0.30)"
    assert _unstable(replace(signs, agreement=0.9)) is None


def test_an_empty_mask_has_no_signs() -> None:
    nothing = replace(DEEP, mask=np.zeros(SHAPE, bool))
    assert signs_of(nothing, SURROUNDINGS) is None
    assert judge(nothing, SURROUNDINGS, calibration()).expected_overlap is None


def test_pieces_are_counted_by_their_size() -> None:
    two = replace(DEEP, mask=DEEP.mask | answer((60, 35, 10), (65, 40, 16)).mask)
    signs = signs_of(two, SURROUNDINGS)
    assert signs is not None
    assert signs.largest_piece == pytest.approx(9000 / 9150)


def test_a_prompt_is_moved_by_what_it_says_and_stays_inside() -> None:
    text = moved_prompt(DEEP)
    assert text is not None
    assert text.text == "liver"
    assert text.box == Box((23.5, 24.0, 9.0), (55.5, 45.0, 25.0))
    assert moved_prompt(DEEP, frozenset({PromptKind.TEXT})) is None
    spots = Prompt(GRID, points=((79, 0, 0), (5, 69, 3)), labels=(1, 0))
    moved = moved_prompt(replace(DEEP, prompt=spots))
    assert moved is not None
    assert moved.points == ((78, 0, 0), (5, 68, 3))
    assert moved.labels == (1, 0)


def test_agreement_asks_once_more_and_leaves_the_dialogue_alone() -> None:
    array = np.where(DEEP.mask, 400, np.random.default_rng(0).uniform(20, 60, SHAPE)).astype(np.float32)
    session = Session(TinyBackbone(TinyConfig(window=(8, 32, 32))).eval(), Volume(array, GRID))
    box = (25, 25, 10, 54, 44, 24)
    session.add_box(box)
    before = session.current
    asked = session.segment(box=box, keep_logits=True)
    value = agreement(session, asked)
    assert value is not None
    assert 0 <= value <= 1
    after = session.current
    assert before is not None
    assert after is not None
    np.testing.assert_array_equal(before.mask, after.mask)
    judged = judge(asked, SURROUNDINGS, session=session)
    assert judged.signs is not None
    assert judged.signs.agreement == value
    assert judged.signs.certainty is not None
    assert 0 < judged.signs.certainty <= 1


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        (Prompt(GRID, "liver"), "text"),
        (Prompt(GRID, points=((1, 1, 1),), labels=(1,)), "point"),
        (Prompt(GRID, "liver", box=Box((1, 1, 1), (5, 5, 5))), "text+box"),
        (Prompt(GRID, points=((1, 1, 1),), labels=(1,), box=Box((1, 1, 1), (5, 5, 5))), "box"),
    ],
    ids=["text", "point", "text+box", "point+box"],
)
def test_the_curve_is_that_of_the_kind_of_prompt(prompt: Prompt, kind: str) -> None:
    assert kind_of(prompt) == kind


def test_a_calibration_counts_for_the_weights_it_was_measured_on(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    assert read_calibration(tmp_path, weights).modalities == {}
    (ct,) = calibration().modalities.values()
    write_calibration(tmp_path, weights, {Modality.CT: ct})
    write_calibration(tmp_path, weights, {Modality.MRI: ct})
    assert read_calibration(tmp_path, weights).modalities == {Modality.CT: ct, Modality.MRI: ct}
    weights.write_bytes(b"other weights")
    assert read_calibration(tmp_path, weights).modalities == {}
    (tmp_path / CALIBRATION).write_text('{"version": 1, "weights": 3}')
    with pytest.raises(CheckpointError, match=r"calibration\.json"):
        read_calibration(tmp_path, weights)
