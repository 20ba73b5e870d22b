"""Pictures of cases: which way round they are, and that truth, answer and errors stand where they belong."""

import io

import numpy as np
import pytest
from matplotlib import image as images

from segevolution.evaluation.plots import rendering
from segevolution.evaluation.plots.cases import EXTRA, MISSED, draw_case
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


def toy_case(affine):
    """A bright block at large x and y of the array, in slices 3 to 5 of 8; a small one in slice 6."""
    signal = np.zeros((40, 30, 8), np.float32)
    labels = np.zeros(signal.shape, np.uint8)
    labels[23:31, 16:22, 3:6] = 1
    labels[5:8, 4:7, 6] = 2
    signal[labels == 1] = 1000
    volume = Volume(signal, Grid(signal.shape, affine), Modality.MRI, "toy")
    return Case("toy", "p", "toys", volume, labels, {"liver": (1,), "spleen": (2,)})


def panels(figure):
    """The axes, row by row."""
    rows = {}
    for axes in figure.axes:
        rows.setdefault(round(axes.get_position().y0, 3), []).append(axes)
    return [rows[place] for place in sorted(rows, reverse=True)]


def pixels(figure):
    return np.asarray(images.imread(io.BytesIO(rendering.render(lambda: figure).png)))[..., :3]


@pytest.mark.parametrize("flip", [1, -1])
def test_a_slice_shows_the_patients_right_on_the_left_whatever_the_files_order(flip):
    case = toy_case(np.diag([flip, flip, 2.0, 1.0]))
    masks = {"base": {"liver": case.mask("liver")}}
    picture = pixels(draw_case(case, masks, ["liver"]))
    panel = picture[60 : picture.shape[0] // 3, : picture.shape[1] // 3]
    rows, columns = np.nonzero(panel.min(axis=-1) > 0.95)
    # In an RAS array large x is the patient's Right and large y Anterior: left and up on the picture.
    assert (columns.mean() < panel.shape[1] / 2) == (flip == 1)
    assert (rows.mean() < panel.shape[0] / 2) == (flip == 1)


def test_there_are_several_slices_with_truth_answers_and_errors_letters_and_a_scale():
    case = toy_case(np.eye(4))
    masks = {name: {"liver": case.mask("liver")} for name in ("base", "lora")}
    figure = draw_case(case, masks, ["liver", "spleen"])
    grid = panels(figure)
    assert [len(row) for row in grid] == [5, 5, 5]
    assert [axes.get_title() for axes in grid[0]] == ["truth", "base", "base: errors", "lora", "lora: errors"]
    for axes in figure.axes:
        written = {text.get_text() for text in axes.texts}
        assert {"R", "L", "A", "P"} <= written
        assert any(text.endswith((" cm", " mm")) for text in written)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["liver", "spleen", "missed", "too much"]


def test_each_structure_has_one_colour_in_all_panels_and_no_two_share_it():
    case = toy_case(np.eye(4))
    figure = draw_case(case, {"base": {name: case.mask(name) for name in ("liver", "spleen")}}, ["liver", "spleen"])
    colours = {
        tuple(np.round(line.get_edgecolor()[0][:3], 3))
        for row in panels(figure)
        for axes in row[:2]
        for line in axes.collections
    }
    handles = figure.legends[0].legend_handles[:2]
    assert colours == {tuple(np.round(handle.get_color(), 3)) for handle in handles}
    assert len(colours) == 2


def test_what_was_missed_and_what_is_too_much_have_colours_of_their_own():
    case = toy_case(np.eye(4))
    moved = np.roll(case.mask("liver"), -12, axis=0)
    wrong = pixels(draw_case(case, {"base": {"liver": moved}}, ["liver"]))
    right = pixels(draw_case(case, {"base": {"liver": case.mask("liver")}}, ["liver"]))
    third, body = wrong.shape[1] // 3, slice(60, -90)
    assert near(wrong[body, 2 * third :], EXTRA).any()
    assert not near(wrong[body, : 2 * third], EXTRA).any()
    assert not near(right[body], EXTRA).any()
    assert abs(wrong[body, 2 * third :] - right[body, 2 * third :]).max() > 0.3
    assert MISSED != EXTRA


def near(picture, colour, tolerance=0.12):
    wanted = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.abs(picture - wanted).max(axis=-1) < tolerance
