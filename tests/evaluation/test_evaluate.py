import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from segevolution.appearance import find
from segevolution.errors import PromptError, VolumeError
from segevolution.evaluation.evaluate import Run, evaluate
from segevolution.evaluation.questions import Questions, simulated_prompts
from segevolution.evaluation.results import SCHEMA
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import COMBINATIONS
from segevolution.imaging.simulated_prompts import next_click
from segevolution.imaging.volume import WITHOUT_PLACE, Origin, Volume
from segevolution.inference.session import Session
from segevolution.metrics import dice
from segevolution.models.tiny import VARIANTS, TinyBackbone, TinyConfig
from segevolution.vocabulary import Context, Modality

RUN = Run("base", "base", 0)


@pytest.fixture
def case():
    """A bright liver and a less bright spleen in a dark body, 2 mm voxels, slices of 3 mm."""
    rng = np.random.default_rng(0)
    signal = rng.normal(100, 5, (24, 28, 12)).astype(np.float32)
    labels = np.zeros(signal.shape, np.uint8)
    labels[3:12, 5:15, 2:9], labels[16:21, 14:20, 4:9] = 1, 2
    signal[labels == 1] += 300
    signal[labels == 2] += 200
    volume = Volume(signal, Grid(signal.shape, np.diag([2.0, 2.0, 3.0, 1.0])), Modality.MRI, "toy")
    structures = {"liver": (1,), "spleen": (2,), "pancreas": (3,)}
    return Case("toy", "patient", "toys", volume, labels, structures, sequence="T2")


@pytest.fixture
def backbone():
    return TinyBackbone().eval()


def test_a_case_gives_one_row_a_structure_and_kind_with_all_columns(backbone, case):
    rows = evaluate(backbone, case, RUN, Questions(windows="off"), "exact").rows
    assert [(row["structure"], row["prompt"]) for row in rows] == [
        (s, k) for s in ("liver", "spleen") for k in COMBINATIONS
    ]
    assert all(set(row) == set(SCHEMA.names) for row in rows)
    assert {row["labels"] for row in rows} == {"exact"}
    assert {row["sequence"] for row in rows} == {"T2"}


def test_a_row_holds_what_the_session_answers(backbone, case):
    questions = Questions(prompts=("box",), structures=("liver",), windows="off", drawn="box")
    found = evaluate(backbone, case, RUN, questions, "exact")
    prompt = simulated_prompts(case, "liver", questions)["box"]
    answer = Session(backbone, case.volume, windows="off").segment(prompt, structure="liver")
    row = found.rows[0]
    assert row["dice"] == dice(answer.mask, case.mask("liver")) > 0.5
    assert row["predicted_iou"] == pytest.approx(answer.iou)
    assert (row["voxels"], row["predicted_voxels"]) == (9 * 10 * 7, int(answer.mask.sum()))
    assert np.array_equal(found.masks["liver"], answer.mask)


def test_a_case_is_encoded_once_for_all_its_prompts(backbone, case):
    rows = evaluate(backbone, case, RUN, Questions(windows="off"), "exact").rows
    assert [row["encodings"] for row in rows] == [1] + [0] * (len(rows) - 1)
    assert all(row["decodings"] == 1 for row in rows)


def test_every_model_is_asked_exactly_the_same(case, monkeypatch):
    asked = []
    segment = Session.segment
    monkeypatch.setattr(
        Session, "segment", lambda self, prompts, **rest: asked.append(prompts[0]) or segment(self, prompts, **rest)
    )
    questions = Questions(windows="off", box_jitter=2, points=4)
    for seed in (0, 1):
        np.random.seed(seed)
        evaluate(TinyBackbone(TinyConfig(seed=seed)).eval(), case, Run(f"r{seed}", "lora", seed), questions, "exact")
    half = len(asked) // 2
    said = [(prompt.text, prompt.points, prompt.labels, prompt.box) for prompt in asked]
    assert half == 12
    assert said[:half] == said[half:]


def test_kinds_share_their_points_and_boxes(case):
    said = simulated_prompts(case, "liver", Questions(box_jitter=3))
    assert said["point"].points == said["text+point"].points == said["point+box"].points
    assert said["box"].box == said["text+box"].box == said["point+box"].box
    assert len(said["point"].points) == 5
    assert (said["text"].box, said["text"].points, said["box"].text) == (None, (), None)


def test_prompts_differ_between_cases_and_seeds_but_not_with_the_kinds_asked_for(case):
    first = simulated_prompts(case, "liver", Questions())["point"].points
    assert simulated_prompts(case, "liver", Questions(seed=1))["point"].points != first
    assert simulated_prompts(case, "liver", Questions(prompts=("point",)))["point"].points == first


def test_points_lie_on_the_structure_and_a_tight_box_holds_it(case):
    said = simulated_prompts(case, "spleen", Questions())["point+box"]
    mask = case.mask("spleen")
    assert all(mask[tuple(int(value) for value in point)] for point in said.points)
    assert (said.box.low, said.box.high) == ((16, 14, 4), (20, 19, 8))


def test_a_withheld_context_reaches_the_network_as_unknown(backbone, case):
    heard = []
    backbone.hooks.fuse = lambda tokens, contexts: (heard.extend(contexts) or tokens, None)
    questions = Questions(prompts=("text",), structures=("liver",), windows="off", contexts=("known", "withheld"))
    rows = evaluate(backbone, case, RUN, questions, "exact").rows
    assert [row["context"] for row in rows] == ["known", "withheld"]
    assert heard == [Context(Modality.MRI, "liver"), Context()]
    assert {row["modality"] for row in rows} == {"MRI"}


def test_no_text_is_asked_for_a_structure_that_the_network_was_not_trained_on(case):
    backbone = TinyBackbone(TinyConfig(structures=("liver",))).eval()
    rows = evaluate(backbone, case, RUN, Questions(prompts=("text", "box"), windows="off"), "exact").rows
    assert [(row["structure"], row["prompt"]) for row in rows] == [
        ("liver", "text"),
        ("liver", "box"),
        ("spleen", "box"),
    ]


def test_voxels_without_a_place_get_no_millimetres(backbone, case):
    nowhere = replace(case, volume=replace(case.volume, origin=Origin(Path("image.npy"), WITHOUT_PLACE)))
    rows = [
        evaluate(backbone, asked, RUN, Questions(prompts=("box",), windows="off"), "exact").rows[0]
        for asked in (case, nowhere)
    ]
    assert [math.isnan(row["hd95_mm"]) for row in rows] == [False, True]
    assert rows[0]["dice"] == rows[1]["dice"]


def test_surface_distances_are_missing_where_they_were_not_measured(backbone, case):
    row = evaluate(backbone, case, RUN, Questions(prompts=("box",), windows="off", surface=False), "exact").rows[0]
    assert np.isnan([row["nsd"], row["hd95_mm"], row["nsd_tolerance_mm"]]).all()
    assert row["dice"] > 0


def test_an_unknown_kind_is_refused(case):
    with pytest.raises(PromptError, match='"squiggle" is no kind of prompt'):
        simulated_prompts(case, "liver", Questions(prompts=("squiggle",)))
    with pytest.raises(PromptError, match='"mask" cannot be simulated from a label'):
        simulated_prompts(case, "liver", Questions(prompts=("mask",)))


def test_scribbles_and_lassos_are_asked_as_the_network_takes_them_and_change_no_other_question(backbone, case):
    drawn = Questions(prompts=("point", "scribble", "text+lasso", "scribble+box"), windows="off")
    said = simulated_prompts(case, "liver", drawn)
    assert said["point"] == simulated_prompts(case, "liver", Questions(prompts=("point",)))["point"]
    assert said["scribble"].scribbles == said["scribble+box"].scribbles
    only = simulated_prompts(case, "liver", Questions(prompts=("scribble",)))["scribble"]
    assert only == said["scribble"]
    assert simulated_prompts(case, "liver", replace(drawn, seed=1))["scribble"] != only
    rows = evaluate(backbone, case, RUN, replace(drawn, structures=("liver",)), "exact").rows
    assert [row["prompt"] for row in rows] == list(drawn.prompts)
    assert min(row["dice"] for row in rows) > 0.1


def only(rows, *names):
    return [{name: row[name] for name in names} for row in rows]


ANSWER = ("structure", "prompt", "dice", "predicted_iou", "predicted_voxels")


def test_a_shift_of_strength_zero_is_the_identity(backbone, case):
    questions = Questions(prompts=("text", "box"), windows="off")
    plain = evaluate(backbone, case, RUN, questions, "exact").rows
    same = evaluate(backbone, case, RUN, questions, "exact", "noise", 0.0).rows
    assert only(plain, *ANSWER, "nsd", "hd95_mm") == only(same, *ANSWER, "nsd", "hd95_mm")
    assert {(row["shift"], row["strength"], row["unit"]) for row in plain} == {("none", 0.0, "")}
    assert {(row["shift"], row["strength"], row["unit"]) for row in same} == {("noise", 0.0, find("noise").unit)}


def test_a_shift_changes_the_scan_alike_for_every_model_and_not_the_questions(case, monkeypatch):
    seen, asked = [], []
    segment = Session.segment

    def watch(self, prompts, **rest):
        seen.append(self.volume.array)
        asked.append((prompts[0].text, prompts[0].points, prompts[0].box))
        return segment(self, prompts, **rest)

    monkeypatch.setattr(Session, "segment", watch)
    questions = Questions(prompts=("point", "box"), structures=("liver",), windows="off", box_jitter=2)
    for seed in (0, 1):
        np.random.seed(seed)
        model = TinyBackbone(TinyConfig(seed=seed)).eval()
        rows = evaluate(model, case, Run(f"r{seed}", "lora", seed, "tiny"), questions, "exact", "noise", 0.3).rows
        assert {(row["shift"], row["strength"], row["base"]) for row in rows} == {("noise", 0.3, "tiny")}
    evaluate(model, case, RUN, questions, "exact")
    assert np.array_equal(seen[0], seen[2])
    assert not np.array_equal(seen[0], case.volume.array)
    assert asked[:2] == asked[2:4] == asked[4:]
    evaluate(model, replace(case, name="other"), RUN, questions, "exact", "noise", 0.3)
    assert not np.array_equal(seen[0], seen[-1])


def test_a_shift_that_means_nothing_on_a_modality_is_refused(backbone, case):
    ct = replace(case, volume=replace(case.volume, modality=Modality.CT))
    with pytest.raises(VolumeError, match="bias_field means nothing"):
        evaluate(backbone, ct, RUN, Questions(windows="off"), "exact", "bias_field", 0.5)


def test_boxes_of_several_jitters_come_with_the_same_points_and_tell_their_jitter(backbone, case, monkeypatch):
    asked = []
    segment = Session.segment
    monkeypatch.setattr(
        Session, "segment", lambda self, prompts, **rest: asked.append(prompts[0]) or segment(self, prompts, **rest)
    )
    kinds = ("text", "box", "point+box")
    questions = Questions(
        prompts=kinds, structures=("liver",), windows="off", more_jitters=(4.0,), box_jitter_unit="mm"
    )
    rows = evaluate(backbone, case, RUN, questions, "exact").rows
    assert [(row["prompt"], row["jitter"], row["jitter_unit"]) for row in rows] == [
        *((kind, 0.0, "") for kind in kinds),
        *((kind, 4.0, "mm") for kind in kinds[1:]),
    ]
    assert asked[2].points == asked[4].points
    assert asked[1].box != asked[3].box
    moved = np.abs(np.subtract((*asked[1].box.low, *asked[1].box.high), (*asked[3].box.low, *asked[3].box.high)))
    assert (moved * np.tile(case.volume.grid.spacing, 2)).max() <= 4
    alone = evaluate(backbone, case, RUN, replace(questions, more_jitters=()), "exact").rows
    assert only(alone, *ANSWER) == only(rows[:3], *ANSWER)


def test_a_study_of_inexact_boxes_asks_with_them_and_every_row_with_a_box_says_how_inexact(backbone, case, monkeypatch):
    boxes = []
    answer = Session.segment

    def watch(self, prompts, **rest):
        boxes.extend(prompt.box for prompt in prompts)
        return answer(self, prompts, **rest)

    monkeypatch.setattr(Session, "segment", watch)
    questions = Questions(prompts=("point", "box"), structures=("liver",), windows="off")
    evaluate(backbone, case, RUN, questions, "exact")
    rows = evaluate(backbone, case, RUN, replace(questions, box_jitter=3.0), "exact").rows
    assert [(row["prompt"], row["jitter"], row["jitter_unit"]) for row in rows] == [
        ("point", 0.0, ""),
        ("box", 3.0, "voxel"),
    ]
    assert boxes[3] not in (None, boxes[1])


def test_each_prompt_seed_asks_all_once_more(backbone, case):
    questions = Questions(prompts=("point",), structures=("liver",), windows="off", seed=3, more_seeds=(0,))
    rows = evaluate(backbone, case, RUN, questions, "exact").rows
    assert [row["prompt_seed"] for row in rows] == [3, 0]
    alone = evaluate(backbone, case, RUN, Questions(prompts=("point",), structures=("liver",), windows="off"), "exact")
    assert only(rows[1:], *ANSWER) == only(alone.rows, *ANSWER)


def test_clicks_follow_the_largest_error_and_leave_the_first_answers_as_they_were(backbone, case, monkeypatch):
    asked = []
    segment = Session.segment

    def watch(self, prompts, **rest):
        answers = segment(self, prompts, **rest)
        asked.append((prompts[0], answers[0].mask))
        return answers

    monkeypatch.setattr(Session, "segment", watch)
    add_point = Session.add_point

    def watch_click(self, *place, **rest):
        answer = add_point(self, *place, **rest)
        asked.append((answer.prompt, answer.mask))
        return answer

    monkeypatch.setattr(Session, "add_point", watch_click)
    dim = case.volume.array.copy()
    dim[3:6], dim[14:20, :5] = 100, 400
    case = replace(case, volume=replace(case.volume, array=dim))
    questions = Questions(prompts=("text", "box"), structures=("liver",), windows="off", clicks=2, drawn="box")
    found = evaluate(backbone, case, RUN, questions, "exact")
    assert [(row["prompt"], row["click"]) for row in found.rows] == [(k, n) for k in ("text", "box") for n in (0, 1, 2)]
    truth, spacing = case.mask("liver"), case.volume.grid.spacing
    for (before, answer), (after, _) in pairwise(asked[:3]):
        click = next_click(answer, truth, spacing)
        assert after.points == (*before.points, click.point)
        assert after.labels == (*before.labels, int(click.positive))
        assert after.text == "liver"
    first = evaluate(backbone, case, RUN, replace(questions, clicks=0), "exact")
    assert only(first.rows, *ANSWER) == only(found.rows[::3], *ANSWER)
    assert np.array_equal(first.masks["liver"], found.masks["liver"])


def test_where_nothing_is_wrong_a_click_leaves_the_answer(backbone, case, monkeypatch):
    monkeypatch.setattr("segevolution.evaluation.evaluate.next_click", lambda *given: None)
    questions = Questions(prompts=("box",), structures=("liver",), windows="off", clicks=1)
    first, after = evaluate(backbone, case, RUN, questions, "exact").rows
    assert (after["click"], after["encodings"], after["decodings"], after["seconds"]) == (1, 0, 0, 0.0)
    assert only([first], *ANSWER) == only([after], *ANSWER)


def test_keys_of_questions_that_were_there_before_have_not_changed():
    """As of the first version, so that its results are found again."""
    assert sorted(Questions().key_values()) == [
        *("box_jitter", "contexts", "drawn", "points", "prompts", "seed", "structures", "surface", "tolerance_mm"),
        "windows",
    ]
    assert Questions(clicks=3).key_values()["clicks"] == 3
    assert Questions(more_seeds=(1,)).key_values()["more_seeds"] == (1,)


@pytest.mark.parametrize("variant", ["click", "slices"])
def test_a_network_that_reads_its_last_answer_is_told_it_with_each_click(case, variant):
    network, told = TinyBackbone(VARIANTS[variant]).eval(), []
    decode = network._decode
    network._decode = lambda features, prompts, *rest, **more: (
        told.append(prompts.masks is not None),
        decode(features, prompts, *rest, **more),
    )[1]
    questions = Questions(prompts=("point",), structures=("liver",), points=1)
    evaluate(network, case, RUN, questions, "exact")
    first = len(told)
    told.clear()
    rows = evaluate(network, case, RUN, replace(questions, clicks=1), "exact").rows
    assert len(rows) == 2
    assert not told[0]
    assert any(told[first:])
