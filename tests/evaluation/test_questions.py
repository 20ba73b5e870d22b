"""What is varied of a prompt leaves all else of it as it was."""

from dataclasses import replace

import numpy as np
import pytest

from segevolution.evaluation.ellipsoid import EllipsoidAnswerer, inscribed_ellipsoid
from segevolution.evaluation.evaluate import Run, evaluate
from segevolution.evaluation.questions import BoxError, Questions, asked_prompts
from segevolution.evaluation.results import SCHEMA
from segevolution.imaging.boxes import Box
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.metrics import dice
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality

RUN = Run("base", "base", 0)


@pytest.fixture
def case():
    """A liver of 9 x 10 x 7 voxels; the field of view holds no pancreas."""
    labels = np.zeros((24, 28, 12), np.uint8)
    labels[3:12, 5:15, 2:9] = 1
    signal = np.where(labels, 400, 100).astype(np.float32)
    signal += np.random.default_rng(0).normal(0, 5, signal.shape).astype(np.float32)
    volume = Volume(signal, Grid(signal.shape, np.diag([2.0, 2.0, 3.0, 1.0])), Modality.MRI, "toy")
    return Case("toy", "patient", "toys", volume, labels, {"liver": (1,), "pancreas": (3,)})


def drawn(case, questions):
    return [(kind, prompt, at) for kind, prompt, at in asked_prompts(case, "liver", questions)]


def test_boxes_with_errors_of_three_units_come_with_the_same_points(case):
    errors = (BoxError(2.0, "voxel"), BoxError(6.0, "mm"), BoxError(0.5, "share"), BoxError(-0.5, "share"))
    questions = Questions(prompts=("point", "point+box"), more_boxes=errors)
    asked = drawn(case, questions)
    boxed = [(prompt, at) for kind, prompt, at in asked if kind == "point+box"]
    assert len(asked) == 1 + 5
    assert [(at["jitter"], at["jitter_unit"]) for _, at in boxed] == [
        (0.0, ""),
        *((error.amount, error.unit) for error in errors),
    ]
    assert {prompt.points for prompt, _ in boxed} == {asked[0][1].points}
    tight, moved, moved_mm, larger, smaller = (prompt.box for prompt, _ in boxed)
    assert tight == Box((3, 5, 2), (11, 14, 8))
    assert 0 < np.abs(np.subtract(moved.low, tight.low)).max() <= 2
    assert (np.abs(np.subtract(moved_mm.high, tight.high)) * [2, 2, 3] <= 6).all()
    assert larger == Box((1, 2, 0), (13, 17, 10))  # 9, 10, 7 voxels: each face moves by a quarter, to the nearest
    assert smaller == Box((5, 7, 4), (9, 12, 6))


def test_another_number_of_points_comes_with_the_same_box(case):
    questions = Questions(prompts=("text", "box", "point", "point+box"), points=1, more_points=(3, 10), box_jitter=2.0)
    asked = drawn(case, questions)
    assert [(kind, at["points"], sum(prompt.labels)) for kind, prompt, at in asked] == [
        ("text", 0, 0),
        ("box", 0, 0),
        ("point", 1, 1),
        ("point+box", 1, 1),
        ("point", 3, 3),
        ("point+box", 3, 3),
        ("point", 10, 10),
        ("point+box", 10, 10),
    ]
    assert len({prompt.box for kind, prompt, _ in asked if "box" in kind}) == 1


def test_later_additions_leave_the_keys_of_older_questions(case):
    plain = Questions()
    assert "absent" not in plain.key_values()
    for change in ({"more_points": (1,)}, {"more_boxes": (BoxError(1, "mm"),)}, {"more_windows": ("off",)}):
        assert replace(plain, **change).key_values() != plain.key_values()


def test_several_windows_ask_all_once_more_and_tell_which(case):
    questions = Questions(prompts=("box",), windows="roi", more_windows=("off",), drawn="box")
    found = evaluate(TinyBackbone().eval(), case, RUN, questions, "exact")
    assert [row["windows"] for row in found.rows] == ["roi", "off"]
    assert found.rows[0]["decodings"] > found.rows[1]["decodings"] == 1
    alone = evaluate(TinyBackbone().eval(), case, RUN, replace(questions, more_windows=()), "exact")
    assert np.array_equal(alone.masks["liver"], found.masks["liver"])


def test_a_structure_outside_the_field_of_view_is_asked_by_text_and_measured_by_its_size_only(case):
    questions = Questions(prompts=("text", "box"), windows="off", absent=("spleen", "liver"))
    rows = evaluate(TinyBackbone().eval(), case, RUN, questions, "exact").rows
    assert [(row["structure"], row["prompt"]) for row in rows] == [
        ("liver", "text"),
        ("liver", "box"),
        ("spleen", "text"),
    ]
    last = rows[-1]
    assert set(last) == set(SCHEMA.names)
    assert (last["voxels"], np.isnan(last["dice"])) == (0, True)
    assert last["predicted_ml"] == pytest.approx(last["predicted_voxels"] * 12 / 1000)


def test_the_ellipsoid_touches_every_face_and_fills_its_share_of_the_box():
    box = Box((2.0, 3.0, 4.0), (41.0, 32.0, 23.0))
    mask = inscribed_ellipsoid(box, (50, 50, 50))
    inside = np.argwhere(mask)
    assert (inside.min(axis=0).tolist(), inside.max(axis=0).tolist()) == ([2, 3, 4], [41, 32, 23])
    assert mask.sum() / (40 * 30 * 20) == pytest.approx(np.pi / 6, rel=0.01)
    assert inscribed_ellipsoid(Box((1.0, 1.0, 1.0), (1.0, 1.0, 1.0)), (3, 3, 3)).sum() == 1
    assert inscribed_ellipsoid(Box((1.0, 1.0, 1.0), (2.0, 2.0, 2.0)), (4, 4, 4)).sum() == 8


def test_the_ellipsoid_answers_boxes_without_the_image_and_is_not_clicked(case):
    questions = Questions(prompts=("text", "point", "box", "text+box"), clicks=2)
    rows = evaluate(EllipsoidAnswerer(), case, replace(RUN, method="ellipsoid"), questions, "exact").rows
    assert [row["prompt"] for row in rows] == ["box", "text+box"]
    truth = case.mask("liver")
    expected = dice(inscribed_ellipsoid(Box((3, 5, 2), (11, 14, 8)), truth.shape), truth)
    assert [row["dice"] for row in rows] == [expected, expected]
    assert [row["encodings"] for row in rows] == [0, 0]
    dark = replace(case, volume=replace(case.volume, array=case.volume.array[::-1].copy()))
    again = evaluate(EllipsoidAnswerer(), dark, RUN, questions, "exact").rows
    assert [row["dice"] for row in again] == [expected, expected]
