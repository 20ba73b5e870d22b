import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segevolution.errors import PromptError
from segevolution.evaluation.evaluate import Questions, Run, evaluate, simulated_prompts
from segevolution.evaluation.results import SCHEMA
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.prompts import COMBINATIONS
from segevolution.imaging.volume import WITHOUT_PLACE, Origin, Volume
from segevolution.inference.session import Session
from segevolution.metrics import dice
from segevolution.models.tiny import TinyBackbone, TinyConfig
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
    with pytest.raises(PromptError, match='"scribble" is no kind of prompt'):
        simulated_prompts(case, "liver", Questions(prompts=("scribble",)))
