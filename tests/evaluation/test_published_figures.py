import pandas as pd
import pytest

from segevolution.evaluation.blocks import Table, markdown
from segevolution.evaluation.published_figures import all_figures, figures_on, first_study_cells, first_study_on
from segevolution.evaluation.sections.published import published_section
from segevolution.evaluation.sections.results import StudyResults


def results(*datasets):
    return StudyResults(pd.DataFrame({"dataset": datasets, "dice": 0.5}), "base", published=True)


def test_every_figure_names_its_source_patients_and_data():
    assert len(all_figures()) == 10
    for figure in all_figures():
        assert 0 < figure.dice < 1
        assert figure.n is None or figure.n > 0
        assert figure.source
        assert figure.datasets
    on_chaos = {figure.what: figure.dice for figure in figures_on(["chaos"])}
    assert on_chaos["nnU-Net"] == 0.919
    assert on_chaos["SLAug"] == 0.886


def test_the_first_study_has_all_its_cells_and_means_over_structures():
    cells = first_study_cells()
    assert len(cells) == 878
    rows = {(row.model, row.prompt): row for row in first_study_on(["chaos"])}
    part = cells[(cells["experiment"] == "400") & (cells["dataset"] == "chaos_mrct_42") & (cells["prompts"] == "bbox")]
    wanted = part[part["model"] == "SegVol"]["dice"]
    assert rows["SegVol", "bbox"].dice == pytest.approx(wanted.mean())
    assert rows["SegVol", "bbox"].structures == 4
    assert rows["SegVol", "bbox"].scans == (3, 3)


def test_the_section_stands_apart_and_says_what_it_is():
    blocks = published_section(results("chaos", "chaos"))
    tables = [block for block in blocks if isinstance(block, Table)]
    assert {row[0] for row in tables[0].rows} >= {"nnU-Net", "CSDG"}
    assert all(len(row) == len(table.columns) for table in tables for row in table.rows)
    assert "none of them enters a mean" in markdown(blocks)


def test_a_study_on_other_data_has_no_such_section():
    assert published_section(results("mine")) == []
