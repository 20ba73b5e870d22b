"""The files of a report: figures in three forms, tables as CSV and LaTeX, and a page that asks for nothing."""

import csv
import hashlib
import math
import re

import pytest

from segevolution.evaluation.analysis import Analysis
from segevolution.evaluation.blocks import Heading, Picture, Table
from segevolution.evaluation.cells import Cell
from segevolution.evaluation.csv_table import csv_text
from segevolution.evaluation.findings import findings
from segevolution.evaluation.latex import latex_table, latex_text
from segevolution.evaluation.plots import rendering
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.evaluation.report import build, write_report
from segevolution.evaluation.report_files import named_tables


@pytest.fixture(scope="module")
def folder(written_report):
    return written_report.folder


def pictures(written_report):
    shown = findings(written_report.table, written_report.analysis)
    return [block for block in build(shown, training=written_report.curves) if isinstance(block, Picture)]


def test_every_plot_is_there_as_svg_pdf_and_png_and_in_the_markdown(folder, written_report):
    names = [picture.name for picture in pictures(written_report)]
    assert {"primary", "dice", "nsd", "hd95_mm", "kept", "reliability", "training", "structures-text"} <= set(names)
    assert len(names) == len(set(names))
    starts = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for name in names:
        for form, start in starts.items():
            assert (folder / "figures" / f"{name}.{form}").read_bytes().startswith(start)
    linked = re.findall(r"\]\(figures/([^)]+)\.png\)", (folder / "report.md").read_text("utf-8"))
    assert [name.replace("%2B", "+") for name in linked] == names


def test_text_of_a_plot_stays_text_and_fonts_are_embedded(folder):
    svg = (folder / "figures" / "forest-base.svg").read_text("utf-8")
    assert re.search(r"<text[^>]*>MRI \(chaos\)</text>", svg)
    assert "lora_1 &amp; &lt;script&gt;" in svg
    pdf = (folder / "figures" / "forest-base.pdf").read_bytes()
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf


def test_a_figure_is_the_same_bytes_each_time(written_report):
    picture = next(picture for picture in pictures(written_report) if picture.name == "dice")
    first, second = (rendering.render(picture.draw) for _ in range(2))
    assert [hashlib.sha256(part).digest() for part in (first.svg, first.pdf, first.png)] == [
        hashlib.sha256(part).digest() for part in (second.svg, second.pdf, second.png)
    ]


def test_the_numbers_of_a_csv_are_those_of_the_findings(folder, written_report):
    shown = findings(written_report.table, written_report.analysis)
    with (folder / "tables" / "differences-base.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(shown.comparisons) == 4
    for row, comparison in zip(rows, shown.comparisons, strict=True):
        estimate = comparison.change.estimate
        assert float(row["difference"]) == estimate.mean
        assert int(row["patients"]) == estimate.patients
        if estimate.shown:
            assert (float(row["difference low"]), float(row["difference high"])) == (estimate.low, estimate.high)
        else:
            assert (row["difference low"], row["difference high"], row["p"]) == ("", "", "")
    with (folder / "tables" / "dice.csv").open(encoding="utf-8", newline="") as stream:
        levels = list(csv.DictReader(stream))
    for line, level in zip(levels, shown.metric("dice").rows, strict=True):
        assert float(line["base"]) == level.levels["base"].mean


def test_an_infinite_distance_is_in_the_csv_as_such():
    row = (Cell("inf", math.inf), Cell("10.000", 10.0), Cell("–"))
    assert csv_text(Table(("a", "b", "c"), (row, row[::-1]))) == "a,b,c\ninf,10.0,\n,10.0,inf\n"


def test_latex_sets_every_name_as_it_is():
    assert latex_text("a_b & 50 % #1 {x} $y$ ~ ^ \\ <b>") == (
        r"a\_b \& 50 \% \#1 \{x\} \$y\$ \textasciitilde{} \textasciicircum{} \textbackslash{} "
        r"\textless{}b\textgreater{}"
    )


def test_a_latex_table_is_booktabs_with_n_and_the_method_of_its_intervals(folder, written_report):
    text = (folder / "tables" / "differences-base.tex").read_text("utf-8")
    for part in (
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
        r"\label{tab:differences-base}",
        r"lora\_1 \& \textless{}script",
    ):
        assert part in text
    assert "n = 4 to 7 patients." in text
    assert "studentised bootstrap" in text
    assert r"$\uparrow$ higher" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(lines) == 5
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {8}
    assert not re.search(r"(?<!\\)[%#_]", "\n".join(text.splitlines()[1:]))
    kept = (folder / "tables" / "kept.tex").read_text("utf-8")
    assert "two one-sided tests" in kept
    assert "studentised" not in kept


def test_latex_is_written_where_it_is_asked_for_only(written_report, tmp_path, monkeypatch):
    monkeypatch.setattr(rendering, "render", lambda *given, **how: Drawing(b"", b"", b""))
    write_report(written_report.table, tmp_path, written_report.analysis)
    assert {path.suffix for path in (tmp_path / "tables").iterdir()} == {".csv"}


def test_minus_signs_of_numbers_are_set_as_such_and_hyphens_of_names_stay():
    table = Table(("a-b", "c"), (("x-ray", Cell("-0.04 [-0.06, -0.01]", -0.04)),), "t")
    text = latex_table(table, "A title")
    assert r"x-ray & $-$0.04 [$-$0.06, $-$0.01] \\" in text
    assert r"\caption{A title.}" in text


def test_two_tables_below_one_heading_have_files_of_their_own():
    one = Table(("a",), (("1",),))
    names = [table.name for table, _ in named_tables([Heading("Clicks & more"), one, one, Heading("Other"), one])]
    assert names == ["clicks-more", "clicks-more-2", "other"]


def test_an_infinite_distance_stands_at_the_end_of_its_axis_and_is_not_dropped(folder, written_report):
    svg = {name: (folder / "figures" / f"{name}.svg").read_text("utf-8") for name in ("hd95_mm", "dice")}
    assert ">∞</text>" in svg["hd95_mm"]
    assert ">∞</text>" not in svg["dice"]
    (picture,) = [picture for picture in pictures(written_report) if picture.name == "hd95_mm"]
    dots = [line.get_xdata() for line in picture.draw().axes[0].lines if len(line.get_xdata()) == 7]
    assert sorted(sum(place > 10 for place in places) for places in dots) == [0, 0, 1, 1]  # the base's, of two prompts


def test_few_patients_have_dots_and_no_interval(make_table):
    rows = [
        {"patient": f"p{number}", "method": method, "dice": 0.4 + 0.01 * number + 0.1 * (method == "lora")}
        for number in range(6)
        for method in ("base", "lora")
    ]
    drawn = {}
    for people in (5, 6):
        shown = findings(make_table(rows[: 2 * people]), Analysis("t", "base"))
        blocks = {block.name: block for block in build(shown) if isinstance(block, Picture)}
        axes = blocks["dice"].draw().axes[0]
        bars = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() == "None"]
        dots = [line for line in axes.lines if len(line.get_xdata()) == people]
        drawn[people] = len(bars), len(dots)
    assert drawn == {5: (0, 2), 6: (2, 2)}
