"""`segevolution data check`: findings as a table or JSON, statuses that scripts can trust, and the mended split."""

import json
from pathlib import Path

import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality

SHAPE = (20, 18, 12)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Patients a (two visits), b and c."""
    store = Store.create(tmp_path / "toys")
    for number, name in enumerate(("a_1", "a_2", "b", "c")):
        signal = np.random.default_rng(number).integers(0, 900, SHAPE).astype(np.int16)
        labels = np.zeros(SHAPE, np.uint8)
        labels[4:10, 4:10, 3:7] = 1
        volume = Volume(signal, Grid(SHAPE, np.diag([1.5, 1.5, 3, 1])), Modality.MRI, name)
        store.add(Case(name, name.split("_")[0], "toy", volume, labels, {"liver": (1,)}))
    return store.path


def run(*arguments: object) -> int:
    """The exit status of a command."""
    try:
        main(["data", "check", *(str(argument) for argument in arguments)])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_a_sound_store_passes_with_nothing_on_stdout(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(store) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "4 cases: 0 errors, 0 warnings, 0 notes; --json names every case\n"


def test_a_leak_is_status_1_and_a_mended_split_0(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "split.json"
    Split(("a_1",), ("b",), ("a_2", "c")).save(split)
    before = split.read_text("utf-8")
    assert run(store, "--split", split) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["severity", "check", "what", "what", "to", "do"]
    assert "patient a of toy is in train and test." in lines[1]
    assert run(store, "--split", split, "--fix-splits") == 0
    assert "moved a_2 from test to train" in capsys.readouterr().err
    assert Split.load(tmp_path / "split-fixed.json") == Split(("a_1", "a_2"), ("b",), ("c",))
    assert split.read_text("utf-8") == before
    assert run(store, "--split", tmp_path / "split-fixed.json") == 0
    assert run(store, "--split", split, "--fix-splits", "-o", split) == 2
    assert split.read_text("utf-8") == before
    assert run(store, "--split", split, "--fix-splits", "-o", split, "--force", "-q") == 0
    assert split.read_text("utf-8") != before


def test_json_holds_every_case_and_field(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = tmp_path / "split.json"
    Split(("a_1",), ("b",), ("a_2", "c")).save(split)
    assert run(store, "--split", split, "--fix-splits", "--json", "-q") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {"error": 1, "warning": 0, "note": 0}
    assert told["moved"] == {"a_2": ["test", "train"]}
    assert (told["cases"], told["duplicates"]) == (4, [])
    (finding,) = told["findings"]
    assert finding.keys() == {"check", "severity", "cases", "message", "remedy"}
    assert finding["cases"] == ["toys/a_1", "toys/a_2"]


def test_damage_is_status_1_also_with_a_mended_split(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (store / "cases" / "b" / "signal.b2nd").unlink()
    split = tmp_path / "split.json"
    Split(("a_1",), ("b",), ("a_2", "c")).save(split)
    assert run(store, "--split", split, "--fix-splits") == 1
    assert "toys/b cannot be read" in capsys.readouterr().out


def test_mistakes_are_one_sentence_and_status_2(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.json").write_text('{"test": []}')
    mistakes = {
        "has no store.json": (tmp_path,),
        "is given twice": (store, store),
        "--fix-splits needs a split": (store, "--fix-splits"),
        "nothing would be written": (store, "-o", tmp_path / "x.json"),
        "must map": (store, "--split", tmp_path / "bad.json"),
        'did you mean "segvol"': (store, "--base", "segvl"),
    }
    for sentence, arguments in mistakes.items():
        assert run(*arguments) == 2, sentence
        said = capsys.readouterr().err
        assert sentence in said
        assert said.startswith("segevolution: ")
        assert len(said.splitlines()) == 1
