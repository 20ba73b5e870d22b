import io

import numpy as np
import pandas as pd
import pytest
from matplotlib import image as images

from segevolution.evaluation.figures import ADAPTED, REFERENCE, choose_cases, draw_chart, draw_slice
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def scored(make_table, scores, **more):
    rows = []
    for case, (base, lora) in scores.items():
        rows.append({"case": case, "patient": case, "dice": base, **more})
        rows.append({"case": case, "patient": case, "method": "lora", "run": "lora-s0", "dice": lora, **more})
    return make_table(rows)


def test_best_median_and_worst_case_follow_the_rule(make_table):
    table = scored(make_table, {"a": (0.5, 0.9), "b": (0.4, 0.1), "c": (0.3, 0.6), "d": (0.2, 0.5)})
    found = {choice.rank: choice for choice in choose_cases(table, "lora", "base", "text")}
    assert {rank: choice.case for rank, choice in found.items()} == {"best": "a", "median": "d", "worst": "b"}
    assert (found["median"].dice, found["median"].reference_dice) == pytest.approx((0.5, 0.2))
    assert found["best"].run == "lora-s0"


def test_two_cases_have_no_median_and_one_is_the_only_one(make_table):
    two = choose_cases(scored(make_table, {"a": (0.5, 0.9), "b": (0.5, 0.8)}), "lora", "base", "text")
    assert [(choice.rank, choice.case) for choice in two] == [("best", "a"), ("worst", "b")]
    assert [choice.rank for choice in choose_cases(scored(make_table, {"a": (0.5, 0.9)}), "lora", "base", "text")] == [
        "only"
    ]


def test_each_dataset_has_its_own_choice_and_other_prompts_do_not_count(make_table):
    tables = [
        scored(make_table, {"a": (0.5, 0.9), "b": (0.5, 0.8), "c": (0.5, 0.7)}, dataset=name) for name in ("x", "y")
    ]
    tables.append(scored(make_table, {"b": (0.5, 1.0)}, dataset="x", prompt="box"))
    found = choose_cases(pd.concat(tables, ignore_index=True), "lora", "base", "text")
    assert [(choice.dataset, choice.rank, choice.case) for choice in found] == [
        (name, rank, case) for name in "xy" for rank, case in (("best", "a"), ("median", "b"), ("worst", "c"))
    ]


def pixels(png):
    return np.asarray(images.imread(io.BytesIO(png)))[..., :3]


def near(picture, colour, tolerance=0.25):
    wanted = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.abs(picture - wanted).max(axis=-1) < tolerance


def toy_case(affine):
    signal = np.zeros((40, 30, 8), np.float32)
    signal[23:31, 16:22, 3:6] = 1000  # large x and y of the array
    labels = np.zeros(signal.shape, np.uint8)
    labels[23:31, 16:22, 3:6] = 1
    volume = Volume(signal, Grid(signal.shape, affine), Modality.MRI, "toy")
    return Case("toy", "p", "toys", volume, labels, {"liver": (1,)})


def bright_spot(png):
    """Centre of the brightest spot in the first panel, as fractions from the left and from the top."""
    picture = pixels(png)
    panel = picture[:, : picture.shape[1] // 3]
    rows, columns = np.nonzero(panel[40:-60].min(axis=-1) > 0.95)
    return columns.mean() / panel.shape[1], rows.mean() / (panel.shape[0] - 100)


@pytest.mark.parametrize("flip", [1, -1])
def test_a_slice_shows_the_patients_right_on_the_left_whatever_the_files_order(flip):
    case = toy_case(np.diag([flip, flip, 2.0, 1.0]))
    masks = {"base": {"liver": case.mask("liver")}, "lora": {"liver": case.mask("liver")}}
    across, down = bright_spot(draw_slice(case, masks, ["liver"], "toy"))
    # In an RAS array large x is the patient's Right and large y Anterior: left and up on the picture.
    assert (across < 0.5) == (flip == 1)
    assert (down < 0.5) == (flip == 1)


def test_a_slice_outlines_the_label_and_each_answer_in_its_own_panel():
    case = toy_case(np.eye(4))
    moved = np.roll(case.mask("liver"), -12, axis=0)
    picture = pixels(draw_slice(case, {"base": {"liver": moved}, "lora": {"liver": moved}}, ["liver"], "toy"))
    third = picture.shape[1] // 3
    body = slice(60, -60)
    assert not near(picture[body, :third], REFERENCE).any()
    assert near(picture[body, third : 2 * third], REFERENCE).any()
    assert not near(picture[body, third : 2 * third], ADAPTED).any()
    assert near(picture[body, 2 * third :], ADAPTED).any()


def test_the_chart_has_a_panel_a_dataset(make_table):
    one = scored(make_table, {"a": (0.5, 0.9), "b": (0.4, 0.7)})
    two = scored(make_table, {"a": (0.5, 0.9)}, dataset="btcv", modality="CT")
    single = pixels(draw_chart(one, ["base", "lora"], ["text"]))
    double = pixels(draw_chart(pd.concat([one, two], ignore_index=True), ["base", "lora"], ["text"]))
    assert double.shape[0] == 2 * single.shape[0]
