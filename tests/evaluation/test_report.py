import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from segevolution.evaluation.analysis import Analysis
from segevolution.evaluation.blocks import Heading, Line, Picture, Table, Text, markdown
from segevolution.evaluation.findings import findings
from segevolution.evaluation.intervals import FEWEST
from segevolution.evaluation.levels import level_table
from segevolution.evaluation.page.document import page
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.evaluation.report import build
from segevolution.evaluation.results import SCHEMA
from segevolution.evaluation.statistics import difference, estimate
from segevolution.evaluation.tables import level_rows
from segevolution.metrics import METRICS


@pytest.fixture(scope="module")
def table(make_table):
    rng = np.random.default_rng(3)
    rows = []
    for dataset, modality, count in (("chaos", "MRI", 7), ("btcv", "CT", 4)):
        for patient in range(count):
            for structure in ("liver", "spleen"):
                for prompt in ("text", "text+box"):
                    where = {"dataset": dataset, "modality": modality, "patient": f"{dataset}{patient}"}
                    what = {**where, "structure": structure, "prompt": prompt}
                    level = float(rng.uniform(0.3, 0.6))
                    rows.append({**what, "dice": level})
                    for seed in (0, 1):
                        gain = float(rng.uniform(0.1, 0.3)) if modality == "MRI" else float(rng.normal(0, 0.01))
                        run = {"method": "lora", "run": f"lora-s{seed}", "seed": seed}
                        rows.append({**what, **run, "dice": level + gain, "nsd": level})
    return make_table(rows)


def blocks_of(table, title="toy", **decided):
    return build(findings(table, Analysis(title, "base", **decided)))


def text_of(table, **decided):
    return markdown(blocks_of(table, **decided))


@pytest.fixture(scope="module")
def text(table):
    return text_of(table)


def tables(text):
    """Markdown tables as lists of rows of cells."""
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        for block in re.findall(r"(?:^\|.*\n?)+", text, flags=re.MULTILINE)
    ]


def test_every_metric_that_was_measured_has_a_table_that_says_which_way_is_better(text):
    assert "## Mean normalised surface Dice at 2 mm\n" in text
    assert "## Median HD95 in millimetres, lower is better\n" in text
    assert "## Mean relative volume error, lower is better\n" in text
    assert "## Predicted overlap\n" in text
    assert "Mean Dice, lower" not in text


def test_a_mean_stands_with_its_interval_and_its_patients(table):
    found = level_rows(level_table(table, ["base", "lora"]), ["base", "lora"])
    row = dict(zip(found.columns, found.rows[0], strict=True))
    part = table[(table["dataset"] == "chaos") & (table["prompt"] == "text") & (table["method"] == "lora")]
    wanted = estimate(part)
    assert (row["data"], row["prompt"], row["patients"]) == ("MRI (chaos)", "text", "7")
    assert row["lora"] == f"{wanted.mean:.3f} [{wanted.low:.3f}, {wanted.high:.3f}]"


def test_every_number_of_the_tables_follows_from_the_table_of_results(table, text):
    derived = set()
    for metric in METRICS:
        for by in (["dataset", "prompt"], ["dataset", "prompt", "structure"]):
            for _, rows in table.groupby(by):
                for method in ("base", "lora"):
                    found = estimate(rows[rows["method"] == method], metric)
                    derived |= {f"{value:.3f}" for value in (found.mean, found.low, found.high)}
    few = 0
    for _, rows in table.groupby(["dataset", "prompt"]):
        found = difference(rows, "lora", "base")
        change = found.estimate
        few += change.patients < FEWEST
        derived |= {f"{value:+.3f}" for value in (change.mean, change.low, change.high)}
        derived |= {f"{min(1, times * found.p):.3f}" for times in (1, 2)}  # two questions with patients enough
    assert few == 2
    written = {
        number
        for rows in tables(text)
        if "rank correlation" not in rows[0]
        for cells in rows
        for cell in cells
        for number in re.findall(r"[+-]?\d+\.\d{3}", cell)
    }
    assert len(written) > 40
    assert written <= derived


def test_the_report_can_be_made_again_from_the_parquet_alone(table, text, tmp_path):
    table.to_parquet(tmp_path / "results.parquet")
    again = pd.read_parquet(tmp_path / "results.parquet")
    assert text_of(again) == text


def test_a_changed_result_changes_the_report(table, text):
    other = table.copy()
    other.loc[0, "dice"] += 0.2
    assert text_of(other) != text


def test_differences_say_their_pairs_p_and_verdict(text):
    rows = next(rows for rows in tables(text) if "verdict" in rows[0])
    found = {tuple(row[1:3]): dict(zip(rows[0], row, strict=True)) for row in rows[2:]}
    mri = found["MRI (chaos)", "text"]
    assert mri["verdict"] == "higher"
    assert (mri["patients"], mri["pairs"]) == ("7", "14")
    assert mri["p"] == "0.016"  # seven positive differences: 2 / 2^7
    assert mri["corrected p"] == "0.031"  # two questions have six patients or more
    ct = found["CT (btcv)", "text"]
    assert (ct["verdict"], ct["p"], ct["corrected p"]) == ("too few patients", "–", "–")
    assert "[" not in ct["difference"]
    assert float(mri["difference"].split(" ")[0]) > 0.1


def test_the_report_says_what_it_rests_on(text):
    assert "Prompts are simulated from the labels" in text
    assert "95 % interval over patients" in text
    assert "No primary question was named before: all 2 questions are corrected together." in text
    assert "not a medical device" in text
    rows = tables(text)
    assert ["MRI (chaos)", "7", "7", "2", "manual"] in rows[0]
    assert ["lora", "2", "0, 1", "88", "0"] in rows[1]


def test_few_patients_are_warned_of_by_name_and_many_are_not(table, text):
    assert "With fewer than 6 patients, as in btcv," in text
    many = table[table["dataset"] == "chaos"]
    assert "With fewer than" not in text_of(many)


def test_a_single_patient_gets_no_interval_and_no_verdict(make_table):
    text = text_of(make_table([{"dice": 0.5}, {"method": "lora", "dice": 0.75}]))
    rows = next(rows for rows in tables(text) if "verdict" in rows[0])
    assert rows[2][3] == "+0.250"
    assert rows[2][6] == "too few patients"


def test_rivals_are_compared_too(make_table):
    rows = [{"dice": 0.5}, {"method": "lora", "dice": 0.75}, {"method": "scratch", "dice": 0.25}]
    text = text_of(make_table(rows), rivals={"scratch": ["lora"]})
    assert "## Differences against scratch" in text
    assert tables(text)[4][2][:4] == ["lora", "MRI (chaos)", "text", "+0.500"]


def test_a_method_that_was_not_asked_shows_a_dash(make_table):
    rows = [{}, {"method": "lora", "dataset": "btcv", "modality": "CT"}]
    found = level_rows(level_table(make_table(rows), ["base", "lora"]), ["base", "lora"])
    assert found.rows[0][3] == "–"
    assert found.rows[1][2] == "–"


def test_contexts_are_told_apart_where_there_are_two(make_table):
    table = make_table([{}, {"context": "withheld", "dice": 0.1}])
    found = level_rows(level_table(table, ["base"]), ["base"])
    assert [row[1] for row in found.rows] == ["text, context known", "text, context withheld"]


def test_tables_of_the_report_are_rectangular(table):
    found = [block for block in blocks_of(table) if isinstance(block, Table)]
    assert len(found) == 8 + len(METRICS) - 1
    assert all(len(row) == len(block.columns) for block in found for row in block.rows)
    assert set(SCHEMA.names) == set(table.columns)


def test_names_of_a_user_stand_as_text_in_both_forms():
    evil = "<script>alert(1)</script> | [x](javascript:y)"
    blocks = [
        Heading(evil),
        Text((evil, Line(evil, evil))),
        Text((evil,), listed=True),
        Table((evil, "b"), ((evil, evil),)),
        Picture(evil, evil, Figure),
    ]
    for text in (markdown(blocks), page(blocks, evil, {evil: Drawing(b"", b"", b"")})):
        assert "<script>alert" not in text
    written = markdown(blocks)
    assert "](javascript:" not in written
    assert "javascript:" not in written
    rows = [line for line in written.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 3 for row in rows)
    assert "figures/%3Cscript%3E" in written


def test_what_is_bold_on_purpose_stays_bold():
    assert markdown([Text((Line("Use it.", "Learned: a*b."),))]) == "**Use it.** Learned: a\\*b.\n"
    assert markdown([Text(("one",), listed=True)]) == "- one\n"
    assert "<strong>Use it.</strong> Learned" in page([Text((Line("Use it.", "Learned"),))], "t", {})
