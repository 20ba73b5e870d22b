"""The report of a study in a browser: no error, no request, tables that sort, links that lead, also at 400 pixels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from segevolution.evaluation.analysis import Analysis, PrimaryQuestion
from segevolution.evaluation.report import write_report
from segevolution.evaluation.results import SCHEMA
from segevolution.metrics import METRICS

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Base and LoRA on seven patients, by two kinds of prompt; LoRA's gain differs from kind to kind."""
    rows = []
    for number in range(7):
        for prompt, gain in (("text", 0.3), ("text+box", 0.1)):
            for method, level in (("base", 0.4), ("lora", 0.4 + gain)):
                rows.append(
                    {
                        **dict.fromkeys(SCHEMA.names, ""),
                        **dict.fromkeys(METRICS, 0.5),
                        **{"run": method, "method": method, "family": method, "seed": 0, "trained_on": 0},
                        **{"dataset": "a_dataset_with_a_rather_long_name", "modality": "MRI", "context": "known"},
                        **{"case": f"c{number}", "patient": f"p{number}", "structure": "liver", "prompt": prompt},
                        **{"prompt_seed": 0, "shift": "none", "strength": 0.0, "jitter": 0.0, "points": 0, "click": 0},
                        **{"dice": level + 0.01 * number, "nsd_tolerance_mm": 2.0, "predicted_iou": 0.4},
                        **{"voxels": 9, "predicted_voxels": 9, "predicted_ml": 0.1, "warnings": float("nan")},
                        **{"seconds": 1.0, "encodings": 1, "decodings": 1},
                    }
                )
    primary = PrimaryQuestion("lora", "base", "a_dataset_with_a_rather_long_name", "text")
    table = pd.DataFrame(rows, columns=SCHEMA.names)
    return write_report(table, tmp_path_factory.mktemp("report"), Analysis("toy", "base", primary=primary))[0]


@pytest.fixture
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Any, list[str], list[str]]]:
    """(the tab, addresses that were asked for beside the file itself, faults), at a width and in a theme."""
    width, theme = getattr(request, "param", (1300, "light"))
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    tab = context.new_page()
    requests: list[str] = []
    faults: list[str] = []
    tab.on("request", lambda asked: requests.append(asked.url))
    tab.on("pageerror", lambda error: faults.append(str(error)))
    tab.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    tab.goto(report.as_uri())
    yield tab, [url for url in requests if not url.startswith("data:") and url != report.as_uri()], faults
    context.close()


EVERYWHERE = pytest.mark.parametrize("opened", [(1300, "light"), (400, "light"), (400, "dark")], indirect=True)


@EVERYWHERE
def test_the_page_opens_without_an_error_and_asks_for_nothing(opened: Any) -> None:
    tab, requests, faults = opened
    assert tab.title() == "Study toy"
    assert (requests, faults) == ([], [])


@EVERYWHERE
def test_the_body_is_no_wider_than_the_window(opened: Any) -> None:
    tab = opened[0]
    width = tab.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert width[0] <= width[1]


def test_a_click_on_a_column_sorts_its_rows_by_their_numbers_and_a_second_one_turns_them(opened: Any) -> None:
    tab = opened[0]
    table = tab.locator("table", has=tab.locator("th", has_text="corrected p")).first
    button = table.locator("th button", has_text="difference")
    shown = table.locator("tbody tr td:nth-child(4)")
    button.click()
    assert [text.split()[0] for text in shown.all_inner_texts()] == ["+0.100", "+0.300"]
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("difference")
    button.click()
    assert [text.split()[0] for text in shown.all_inner_texts()] == ["+0.300", "+0.100"]


def test_every_link_of_the_contents_brings_its_heading_into_view(opened: Any) -> None:
    tab = opened[0]
    links = tab.locator("#contents a")
    assert links.count() > 5
    for number in range(links.count()):
        links.nth(number).click()
        target = links.nth(number).get_attribute("href")
        assert tab.locator(target).is_visible()
        height = tab.evaluate("window.innerHeight")
        assert 0 <= tab.locator(target).bounding_box()["y"] < height


@pytest.mark.parametrize("opened", [(1300, "light"), (1300, "dark")], indirect=True)
def test_the_switch_turns_the_theme_of_text_and_of_plots(opened: Any) -> None:
    tab = opened[0]
    colours = (
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.querySelector('.plot text')).fill]"
    )
    before = tab.evaluate(colours)
    tab.locator("#theme").click()
    after = tab.evaluate(colours)
    assert before[0] != after[0]
    assert before[1] != after[1]
    tab.locator("#theme").click()
    assert tab.evaluate(colours) == before


def test_what_is_printed_is_light_without_contents_and_holds_every_figure(opened: Any) -> None:
    tab = opened[0]
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not tab.locator("#contents").is_visible()
    assert all(figure.is_visible() for figure in tab.locator("figure").all())
