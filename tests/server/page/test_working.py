"""Working on the page: prompts, undo, saving, comparing, and what it says when something is wrong."""

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from segevolution.imaging.case import Case
from segevolution.imaging.formats import read_labels

from .test_places import deepest

pytestmark = pytest.mark.server


@pytest.fixture
def opened(page: Any, written: Any, patient: Case) -> Any:
    page.open(written(patient.volume))
    return page


def test_a_name_is_completed_and_answered(opened: Any) -> None:
    tab = opened.tab
    tab.keyboard.press("/")
    tab.keyboard.type("liv")
    assert tab.inner_text("#names li:first-child") == "liver"
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")
    opened.wait()
    structure = opened.structure()
    assert structure["name"] == structure["prompt"]["text"] == "liver"
    shown = tab.inner_text("#structures")
    assert f"{round(structure['volume_ml']):,} ml" in shown
    assert f"{round(100 * structure['confidence'])} % sure" in shown
    assert (opened.shown() == structure["id"]).sum() == structure["voxels"] > 0


def test_clicks_add_and_take_away(opened: Any, patient: Case) -> None:
    spot = deepest(patient.mask("liver"))
    opened.click(spot)
    assert opened.shown()[tuple(spot)] == 1
    off = deepest((opened.shown() > 0) & ~patient.mask("liver"))
    opened.click(off, take_away=True)
    assert opened.structure()["prompt"]["labels"] == [1, 0]
    assert "+1 · −1" in opened.tab.inner_text("#structures")


def test_undo_and_redo_are_exact(opened: Any, patient: Case) -> None:
    opened.ask("liver")
    first = opened.shown()
    opened.click(deepest(patient.mask("liver")))
    second = opened.shown()
    assert not np.array_equal(first, second)
    opened.tab.keyboard.press("Control+z")
    opened.wait()
    assert np.array_equal(opened.shown(), first)
    opened.tab.keyboard.press("Control+Shift+z")
    opened.wait()
    assert np.array_equal(opened.shown(), second)
    for _ in range(2):
        opened.tab.click("#undo")
        opened.wait()
    assert not opened.shown().any()
    assert opened.tab.is_disabled("#undo")


def test_undo_takes_back_the_last_act_of_whichever_structure(opened: Any) -> None:
    opened.ask("liver")
    opened.ask("spleen")
    opened.tab.click("#structures li:first-child .name")
    opened.tab.keyboard.press("Escape")
    opened.tab.keyboard.press("Control+z")
    opened.wait()
    assert set(np.unique(opened.shown())) == {0, 1}


def test_a_box_is_drawn_and_its_edge_is_dragged(opened: Any, patient: Case) -> None:
    liver = np.argwhere(patient.mask("liver"))
    middle = deepest(patient.mask("liver"))
    low, high = liver.min(0), liver.max(0)
    opened.tab.keyboard.press("b")
    start = opened.place([low[0], low[1], middle[2]])
    opened.drag(start, opened.place([high[0], high[1], middle[2]]))
    box = np.array(opened.structure()["prompt"]["box"]).reshape(2, 3)
    assert np.array_equal(box[:, :2], [low[:2], high[:2]])
    assert box[0, 2] < middle[2] < box[1, 2]
    assert opened.structure()["voxels"] > 0

    upper = opened.place([middle[0], middle[1], box[1, 2]], plane=1)
    target = opened.place([middle[0], middle[1], high[2]], plane=1)
    edge = (upper[0], upper[1] - 2)
    opened.drag(edge, (target[0], target[1]))
    moved = np.array(opened.structure()["prompt"]["box"]).reshape(2, 3)
    assert moved[1, 2] == high[2]
    assert np.array_equal(moved[:, :2], box[:, :2])


@pytest.mark.parametrize(("key", "kind"), [("s", "scribbles"), ("l", "lasso")])
def test_lines_and_outlines_are_drawn_in_a_slice(key: str, kind: str, opened: Any, patient: Case) -> None:
    opened.ask("liver")
    middle = deepest(patient.mask("liver"))
    opened.tab.keyboard.press(key)
    start, *others = (opened.place(middle + step) for step in ([-4, 0, 0], [0, 4, 0], [4, 0, 0], [0, -4, 0]))
    opened.drag(start, *others)
    prompt = opened.structure()["prompt"]
    assert prompt[kind] > (20 if kind == "lasso" else 8)
    assert prompt["text"] == "liver"
    assert opened.tab.evaluate("() => segevolution.stage.marks.said.strokes.length") == 1
    opened.tab.keyboard.press("Control+z")
    opened.wait()
    assert opened.tab.evaluate("() => segevolution.stage.marks.said.strokes.length") == 0


@pytest.mark.parametrize(("entry", "suffix"), [("NIfTI", "_seg.nii.gz"), ("3D Slicer", "_seg.seg.nrrd")])
def test_what_is_saved_is_what_is_shown(entry: str, suffix: str, opened: Any, patient: Case, tmp_path: Path) -> None:
    opened.ask("liver")
    opened.ask("spleen")
    path = opened.save(entry, tmp_path)
    assert path.name == f"scan{suffix}"
    labels = read_labels(path)
    assert np.array_equal(labels.array, opened.shown())
    assert labels.grid.close_to(patient.volume.grid)
    if entry == "NIfTI":
        assert nib.load(path).shape == patient.volume.grid.shape


def test_two_models_are_compared_side_by_side(opened: Any, patient: Case) -> None:
    opened.ask("liver")
    left = opened.shown()
    opened.tab.keyboard.press("c")
    opened.tab.wait_for_selector(".comparing #right-caption:has-text('Dice')")
    assert opened.tab.input_value("#other-adapter") != opened.tab.input_value("#adapter")
    right = opened.tab.evaluate("() => [...segevolution.stage.other.view.labels].join('')")
    right = np.frombuffer(right.encode(), np.uint8).reshape(left.shape, order="F") - ord("0")
    dice = 2 * ((left > 0) & (right > 0)).sum() / ((left > 0).sum() + (right > 0).sum())
    assert f"Dice with the left {dice:.2f}" in opened.tab.inner_text("#right-caption")
    beyond = "(where) => ((box) => box.scrollWidth - box.clientWidth)(document.querySelector(where))"
    for width, where in ((1000, "#right .caption"), (1280, "#right .caption"), (1280, "#right-caption")):
        opened.tab.set_viewport_size({"width": width, "height": 720})
        # Nothing lies over the panel beside it, and no figure is cut off.
        assert opened.tab.evaluate(beyond, where) <= 0
    assert np.array_equal(opened.shown(), left)
    follows = "() => segevolution.stage.other.view.crosshair.join() === segevolution.stage.view.crosshair.join()"
    opened.place(deepest(patient.mask("spleen")))
    assert opened.tab.evaluate(follows)
    opened.tab.keyboard.press("c")
    assert opened.tab.is_hidden("#right")


def test_another_model_answers_what_was_asked_and_undo_brings_the_first_back(opened: Any) -> None:
    opened.ask("liver")
    first = opened.shown()
    opened.tab.select_option("#adapter", "base")
    opened.wait()
    second = opened.shown()
    assert second.any()
    assert not np.array_equal(first, second)
    opened.tab.keyboard.press("Control+z")
    opened.wait()
    assert np.array_equal(opened.shown(), first)


def test_undo_of_another_model_lets_the_first_one_answer_again(opened: Any, patient: Case) -> None:
    opened.ask("liver")
    opened.ask("spleen")
    first, before = opened.shown(), opened.tab.input_value("#adapter")
    opened.tab.select_option("#adapter", "base")
    opened.wait()
    second, chosen = opened.shown(), opened.tab.input_value("#adapter")
    assert not np.array_equal(first, second)
    opened.tab.keyboard.press("Control+z")
    opened.wait()
    assert np.array_equal(opened.shown(), first)
    assert opened.tab.input_value("#adapter") == before != chosen
    spot = deepest(patient.mask("spleen"))
    opened.click(spot)
    clicked = opened.shown()
    for _ in range(2):  # the click and "spleen", but no model any more
        opened.tab.keyboard.press("Control+z")
        opened.wait()
    assert opened.tab.input_value("#adapter") == before
    assert set(np.unique(opened.shown())) == {0, 1}
    for _ in range(2):
        opened.tab.keyboard.press("Control+Shift+z")
        opened.wait()
    assert np.array_equal(opened.shown(), clicked)


def test_an_undone_model_is_brought_again_with_its_answers(opened: Any) -> None:
    opened.ask("liver")
    opened.tab.select_option("#adapter", "base")
    opened.wait()
    second, chosen = opened.shown(), opened.tab.input_value("#adapter")
    opened.tab.keyboard.press("Control+z")
    opened.wait()
    opened.tab.keyboard.press("Control+Shift+z")
    opened.wait()
    assert np.array_equal(opened.shown(), second)
    assert opened.tab.input_value("#adapter") == chosen


def test_structures_are_renamed_hidden_coloured_and_removed(opened: Any) -> None:
    opened.ask("liver")
    tab = opened.tab
    tab.fill("#structures .name", "my liver")
    tab.keyboard.press("Enter")
    opened.wait()
    assert opened.structure()["name"] == "my liver"
    tab.click("#structures [title=Hide]")
    opened.wait()
    assert not opened.shown().any()
    tab.click("#structures [title=Show]")
    opened.wait()
    assert opened.shown().any()
    tab.on("dialog", lambda dialog: dialog.accept())
    tab.click("#structures [title^=Remove]")
    opened.wait()
    assert not opened.shown().any()
    assert tab.locator("#structures li").count() == 0


def test_errors_are_sentences_on_the_page(page: Any, tmp_path: Path) -> None:
    bad = tmp_path / "notes.nii.gz"
    bad.write_bytes(b"no image at all")
    page.tab.set_input_files("#file", str(bad))
    page.tab.wait_for_selector("[role=alert]")
    sentence = page.tab.inner_text("[role=alert] span")
    assert "notes.nii.gz" in sentence
    assert sentence.endswith(".")
    page.tab.click("[role=alert] button")
    page.tab.route(re.compile("/api/volumes"), lambda route: route.abort())
    other = tmp_path / "scan.nii"
    other.write_bytes(b"never sent")
    page.tab.set_input_files("#file", str(other))
    page.tab.wait_for_selector("[role=alert]:has-text('The server does not answer')")


def test_an_unknown_name_is_refused_in_a_sentence_and_nothing_is_lost(opened: Any) -> None:
    opened.ask("liver")
    before = opened.shown()
    opened.ask("xylophone")
    assert "xylophone" in opened.tab.inner_text("[role=alert] span")
    assert np.array_equal(opened.shown(), before)


def test_a_session_that_is_gone_is_begun_anew(opened: Any) -> None:
    opened.tab.evaluate("() => fetch(segevolution.workspace.session.path, { method: 'DELETE' })")
    opened.ask("liver")
    opened.tab.click("[role=alert] button:has-text('Begin anew')")
    opened.wait()
    opened.ask("liver")
    assert opened.shown().any()


def test_no_request_leaves_the_machine(opened: Any, tmp_path: Path) -> None:
    opened.ask("liver")
    opened.save("NIfTI", tmp_path)
    own = (opened.url, "data:", f"blob:{opened.url}")
    assert len(opened.requests) > 20
    assert [address for address in opened.requests if not address.startswith(own)] == []
    refused = """async () => {
        const refusals = [];
        document.addEventListener("securitypolicyviolation", (event) => refusals.push(event.blockedURI));
        const outcome = await fetch("http://192.0.2.1/").then(() => "sent", () => "refused");
        await new Promise((done) => setTimeout(done, 500));
        return [outcome, refusals.length > 0];
    }"""
    assert opened.tab.evaluate(refused) == ["refused", True]


def test_all_is_on_the_screen_at_1280_by_720(opened: Any) -> None:
    opened.ask("liver")
    for selector in (
        "header button, header select",
        ".tools button",
        "footer output",
        ".display input",
        "#structures button",
    ):
        for box in (each.bounding_box() for each in opened.tab.locator(selector).all() if each.is_visible()):
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 1280
            assert box["y"] + box["height"] <= 720
    fits = "() => [document.scrollingElement.scrollWidth, document.scrollingElement.scrollHeight]"
    assert opened.tab.evaluate(fits) == [1280, 720]


@pytest.mark.parametrize("tool", ["navigate", "point", "box", "scribble", "lasso", "window"])
def test_each_tool_has_its_line_of_help(tool: str, page: Any) -> None:
    button = page.tab.locator(f"[data-tool={tool}]")
    key = button.get_attribute("title")[-2]
    page.tab.keyboard.press(key.lower())
    assert button.get_attribute("aria-pressed") == "true"
    assert len(page.tab.inner_text("#hint").split()) > 8


def test_the_wheel_and_the_arrows_move_through_slices(opened: Any) -> None:
    tab = opened.tab
    stage = tab.locator("#marks").bounding_box()
    at = "() => segevolution.stage.view.crosshair"
    before = tab.evaluate(at)
    tab.mouse.move(stage["x"] + 0.25 * stage["width"], stage["y"] + 0.25 * stage["height"])
    tab.mouse.wheel(0, -100)
    tab.wait_for_timeout(100)
    assert tab.evaluate(at) == [before[0], before[1], before[2] + 1]
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(at) == before


def test_escape_drops_what_is_being_drawn(opened: Any, patient: Case) -> None:
    opened.tab.keyboard.press("b")
    x, y = opened.place(deepest(patient.mask("liver")))
    opened.tab.mouse.move(x, y)
    opened.tab.mouse.down()
    opened.tab.mouse.move(x + 60, y + 40, steps=3)
    opened.tab.keyboard.press("Escape")
    opened.tab.mouse.up()
    opened.wait()
    assert opened.tab.locator("#structures li").count() == 0
