import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from segevolution.cli.app import main
from segevolution.cli.console import shipped_names
from segevolution.data.store import Store
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe file over three toy MRI patients under `data`, run from an empty folder; drawing is skipped."""
    store = Store.create(tmp_path / "data" / "toys")
    for number in range(3):
        signal = np.random.default_rng(number).normal(100, 5, (24, 24, 8)).astype(np.float32)
        labels = np.zeros(signal.shape, np.uint8)
        labels[4:14, 5:15, 2:6] = 1
        signal[labels == 1] += 100 + 30 * number
        volume = Volume(signal, Grid(signal.shape, np.diag([2.0, 2.0, 4.0, 1.0])), Modality.MRI, f"toy{number}")
        store.add(Case(f"toy{number}", f"toy{number}", "toys", volume, labels, {"liver": (1,)}))
    save_model(TinyBackbone(), tmp_path / "tiny")
    values = {
        "name": "toy",
        "base": str(tmp_path / "tiny"),
        "data": [{"name": "toys", "path": "toys", "labels": "exact", "train": 1, "test": 2}],
        "methods": [{"name": "base"}, {"name": "lora", "settings": {"rank": 1}}],
        "fit": {"steps": 1, "warmup": 1, "sample": {"views": 1, "structures": 1}},
        "prompts": ["box"],
        "windows": "off",
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("segevolution.evaluation.plots.rendering.render", lambda *given, **how: Drawing(b"", b"", b""))
    return "../toy.yaml"


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main(["study", *arguments])
    return left.value.code or 0


def test_a_study_prints_its_table_and_where_the_report_is(recipe, capsys):
    assert run(recipe, "--data", "../data", "--device", "cpu") == 0
    shown = capsys.readouterr()
    lines = [line.split() for line in shown.out.splitlines() if line.strip()]
    assert lines[0][:3] == ["mean", "Dice:", "data"]
    assert lines[1][:3] == ["MRI", "(toys)", "box"]
    assert any(line[:3] == ["lora", "MRI", "(toys)"] for line in lines)
    assert str(Path("runs/toy/report.html")) in shown.err
    assert Path("runs/toy/report.html").is_file()
    assert Path("runs/toy/results.parquet").is_file()


def test_a_second_call_prints_the_same_and_says_that_nothing_was_missing(recipe, capsys):
    run(recipe, "--data", "../data", "--device", "cpu", "-o", "out", "--quiet")
    first = capsys.readouterr()
    assert first.err == ""
    assert run(recipe, "--data", "../data", "--device", "cpu", "-o", "out") == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert "measured 0 of 4 evaluations in this call, trained 0" in second.err


def test_parts_say_what_is_missing_and_the_last_one_joins_them(recipe, capsys):
    words = (recipe, "--data", "../data", "--device", "cpu")
    assert run(*words, "--part", "1/2") == 0
    first = capsys.readouterr()
    assert first.out == ""
    assert "part 1/2: measured 2 of 4, trained 1; 2 are missing." in first.err
    assert run(*words, "--part", "2/2", "--json", "--quiet") == 0
    second = json.loads(capsys.readouterr().out)
    assert (second["measured"], second["missing"]) == (2, 0)
    assert run(*words) == 0
    assert "measured 0 of 4" in capsys.readouterr().err


def test_without_dask_the_sentence_says_how_to_get_it(recipe, capsys, monkeypatch):
    monkeypatch.setattr("segevolution.cli.study.find_spec", lambda name: None)
    assert run(recipe, "--data", "../data", "--dask", "tcp://node1:8786") == 2
    assert capsys.readouterr().err == (
        "segevolution: --dask needs Dask, which is not installed; pip install 'segevolution[dask]'.\n"
    )


def test_json_holds_the_estimates_and_differences(recipe, capsys):
    assert run(recipe, "seeds=[3]", "prompts=[box, text]", "--data", "../data", "--device", "cpu", "--json", "-q") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["measured"], found["trained"]) == ("toy", 4, ["lora-s3"])
    assert [(row["method"], row["prompt"]) for row in found["dice"]] == [
        ("base", "box"),
        ("base", "text"),
        ("lora", "box"),
        ("lora", "text"),
    ]
    assert all(0 <= row["mean"] <= 1 and row["low"] is None and row["patients"] == 2 for row in found["dice"])
    assert found["primary"] is None
    assert found["retention"] == []
    (change,) = [row for row in found["differences"] if row["prompt"] == "box"]
    means = {row["method"]: row["mean"] for row in found["dice"] if row["prompt"] == "box"}
    assert change["mean"] == pytest.approx(means["lora"] - means["base"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demoo"], '"demoo" is neither a shipped recipe nor a file; did you mean "demo"?'),
        (["../toy.yaml"], "nothing says where data lie; give --data FOLDER"),
        (["../toy.yaml", "fit.stepz=3", "--data", "../data"], 'did you mean "steps"?'),
        (["../toy.yaml", "base=nowhere", "--data", "../data"], '"nowhere"'),
        (["../toy.yaml", "--data", "../data", "--device", "abacus"], '"abacus" is not a device'),
        (["../toy.yaml", "--data", "../data", "--part", "3/2"], 'part "3/2" is none; give i/n'),
        (["../toy.yaml", "--data", "../data", "--part", "1/2", "--dask", "tcp://a:1"], "give --part or --dask"),
        (["../toy.yaml", "name=../../EVIL", "--data", "../data"], '"../../EVIL" cannot be the name of'),
        (["../toy.yaml", "data.toys.name=..", "--data", "../data"], '".." cannot be the name of'),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_status_2(recipe, capsys, monkeypatch, arguments, sentence):
    monkeypatch.delenv("SEGEVOLUTION_DATA", raising=False)
    assert run(*arguments, "--quiet") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("segevolution: ")
    assert sentence in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not Path("runs").exists()


def test_the_recipes_that_ship_are_listed_with_what_they_compare(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["study", "--list", "--json"])
    listed = {row["recipe"]: row for row in json.loads(capsys.readouterr().out)}
    assert "demo" in listed
    assert "adapted" in listed["demo"]["methods"]
    assert set(shipped_names("studies", "recipes")) == set(listed)
    with pytest.raises(SystemExit, match="2"):
        main(["study"])
    assert "give a YAML file or one that ships" in capsys.readouterr().err
