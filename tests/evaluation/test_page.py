"""The page of a report: well-formed, alone, with anchors that lead somewhere, readable in both themes."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import segevolution
from segevolution.evaluation.blocks import Heading, Picture, Table, VerdictBlock, markdown
from segevolution.evaluation.cells import Cell, Judgement
from segevolution.evaluation.page.document import page
from segevolution.evaluation.page.svg import inline_svg
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.evaluation.plots.style import COLOUR_NAMES, SERIES

CSS = (Path(segevolution.__file__).parent / "evaluation" / "page" / "page.css").read_text(encoding="utf-8")
_VOID = {"meta", "img", "br", "link"}


class Elements(HTMLParser):
    """What stands in a page; `faults` are tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.faults, self.ids, self.links, self.texts = [], [], [], [], []
        self.sources = []
        self.feed(text)
        self.close()
        self.faults += [f"{tag} is not closed" for tag in self.open]

    def handle_starttag(self, tag, attrs):
        if tag not in _VOID:
            self.open.append(tag)
        self._note(tag, dict(attrs))

    def handle_startendtag(self, tag, attrs):
        self._note(tag, dict(attrs))

    def _note(self, tag, attrs):
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.sources += [attrs[name] for name in ("src", "srcset", "data", "action") if name in attrs]
        if tag in ("script", "link", "iframe", "object") and len(attrs):
            self.faults.append(f"{tag} with {attrs}")

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}>")

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def text(written_report):
    return (written_report.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def elements(text):
    return Elements(text)


def test_the_page_is_well_formed(elements):
    assert elements.faults == []


def test_anchors_are_unique_and_every_link_leads_to_one(elements):
    assert len(elements.ids) == len(set(elements.ids))
    inside = [link for link in elements.links if link.startswith("#")]
    assert len(inside) > 8
    assert {link[1:] for link in inside} <= set(elements.ids)


def test_nothing_is_asked_of_any_other_file_or_host(text, elements):
    assert all(link.startswith("#") for link in elements.links)
    assert all(source.startswith("data:") for source in elements.sources)
    assert "http" not in text
    assert not re.search(r"url\((?!#)|@import", text)


def test_names_of_a_user_are_text_wherever_they_stand(text, elements):
    assert text.count("<script>") == 1  # the page's own
    shown = "".join(elements.texts)
    assert "lora_1 & <script>alert(1)</script>" in shown
    assert "<script>alert(2)</script>" in shown


def test_the_verdict_and_its_figure_come_first(text):
    verdict, first_plot, first_table = (text.index(part) for part in ('class="verdict', "<svg", "<table>"))
    assert verdict < first_plot < first_table
    assert text.index('aria-label="lora_1 &amp; &lt;script&gt;alert(1)&lt;/script&gt; against base') == first_plot + 29


def test_gains_and_losses_have_a_sign_and_a_word_beside_their_colour():
    rows = (
        (Cell("higher", turn=Judgement.GAIN),),
        (Cell("lower", turn=Judgement.LOSS),),
        (Cell("undecided", turn=Judgement.OPEN),),
    )
    text = page([Heading("t", 1), Table(("verdict",), rows)], "t", {})
    for turn, sign, word in (("gain", "▲", "gain"), ("loss", "▼", "loss"), ("open", "·", "not shown")):
        assert re.search(
            rf'<td class="{turn}"><span class="sign" title="{word}" aria-label="{word}">{sign}</span>', text
        )


def test_a_number_is_sorted_by_its_full_value():
    text = page([Table(("a",), ((Cell("0.812 [0.7, 0.9]", 0.81234567),), (Cell("inf", float("inf")),)))], "t", {})
    assert 'data-value="0.81234567"' in text
    assert 'data-value="inf"' in text


def test_a_verdict_is_the_same_words_in_markdown():
    block = VerdictBlock("Is it?", "yes", "It is: 1 < 2.", Judgement.GAIN)
    assert markdown([block]) == "Is it? Answer: yes. It is: 1 &lt; 2.\n"
    assert "It is: 1 &lt; 2." in page([block], "t", {})
    assert markdown([VerdictBlock("", "Use it.", "Learned: a*b.", Judgement.GAIN)]) == "**Use it.** Learned: a\\*b.\n"


def test_colours_of_a_plot_follow_the_theme_and_ids_of_two_plots_never_meet():
    svg = (
        b'<?xml version="1.0"?><svg width="10pt" viewBox="0 0 10 10" id="x"><defs><path id="m1"/></defs>'
        b'<g id="unused"><use xlink:href="#m1" style="fill: #0072b2; stroke: #1b1f24"/></g>'
        b"<text style=\"font: 8px 'DejaVu Sans', sans-serif; text-anchor: middle\">a &lt; b</text></svg>"
    )
    one, two = (inline_svg(svg, name, "t") for name in ("a+b", "c"))
    assert 'href="#a-b-m1"' in one
    assert 'id="a-b-m1"' in one
    assert 'id="c-m1"' in two
    assert "unused" not in one
    assert "fill: var(--plot-series-1); stroke: var(--plot-ink)" in one
    assert "font-size: 8px; text-anchor: middle" in one
    assert "a &lt; b" in one


def test_every_colour_of_the_plots_has_a_value_in_each_theme():
    for name in COLOUR_NAMES.values():
        assert len(re.findall(rf"--plot-{name}: #[0-9a-f]{{6}};", CSS)) == 4  # light, dark twice, print


def test_colours_of_methods_can_be_told_from_their_ground_in_both_themes():
    light, dark = (re.search(rf"{start}(.*?)\}}", CSS, re.DOTALL)[1] for start in (r":root \{", r'dark"\] \{'))
    for block, ground in ((light, "#ffffff"), (dark, "#14181d")):
        colours = re.findall(r"--plot-series-\d: (#[0-9a-f]{6})", block)
        assert len(colours) == len(SERIES)
        assert all(contrast(colour, ground) >= 3 for colour in colours)  # WCAG 2.2, graphics


def test_text_can_be_read_on_its_ground_in_both_themes():
    light, dark = (re.search(rf"{start}(.*?)\}}", CSS, re.DOTALL)[1] for start in (r":root \{", r'dark"\] \{'))
    for block in (light, dark):
        values = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", block))
        for ground in ("ground", "raised"):
            for ink in ("text", "quiet", "accent", "gain", "loss", "care"):
                assert contrast(values[ink], values[ground]) >= 4.5  # WCAG 2.2, level AA


def test_a_scan_is_an_image_in_the_page_and_a_plot_is_not():
    drawing = Drawing(b'<svg width="1pt" viewBox="0 0 1 1"></svg>', b"", b"", b"webp")
    blocks = [Picture("a", "A", lambda: None, is_scan=True), Picture("b", "B", lambda: None)]
    text = page(blocks, "t", {"a": drawing, "b": drawing})
    assert text.count("data:image/webp;base64,d2VicA==") == 1
    assert text.count("<svg") == 1


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)
