"""`segevolution data export`: statuses and sentences; what is written is tested with the layout."""

import json
from pathlib import Path

import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


@pytest.fixture
def store(tmp_path: Path) -> Path:
    made = Store.ensure(tmp_path / "store")
    for number in range(3):
        array = np.random.default_rng(number).integers(0, 900, (6, 5, 4), np.int16)
        volume = Volume(array, Grid((6, 5, 4), np.eye(4)), Modality.MRI)
        made.add(Case(f"p{number}", f"p{number}", "clinic", volume, (array > 600).astype(np.uint8), {"liver": (1,)}))
    return made.path


def run(*arguments: object) -> int:
    """The exit status of a command."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_export_writes_what_prepare_reads_back(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["p0"], "test": ["p2"]}))
    out = tmp_path / "out"
    assert run("data", "export", store, out, "--layout", "m3d-seg", "--split", split, "--raw") == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:2] == ["clinic", "2"]
    assert "left out, being in no part of the split: 1" in said.err
    assert run("data", "export", store, out, "--split", split, "--raw", "--json", "--quiet") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["written"], report["kept"], report["left_out"]) == ([], ["p0", "p2"], ["p1"])
    assert run("data", "prepare", "auto", out, tmp_path / "back", "--quiet") == 0
    back = Store.open(tmp_path / "back").read("clinic_p2")
    np.testing.assert_array_equal(back.volume.array, Store.open(store).read("p2").volume.array)
    assert back.part == "test"


def test_mistakes_are_one_sentence_and_status_2(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run("data", "export", store, out, "--quiet") == 0
    mistakes = {
        "export of other data or settings": (store, out, "--low", 5),
        '"zarr" is no layout': (store, tmp_path / "new", "--layout", "zarr"),
        "percentiles must rise": (store, tmp_path / "new", "--low", 60, "--high", 40),
        "is not a store": (tmp_path / "nothing", tmp_path / "new"),
        "cannot be read": (store, tmp_path / "new", "--split", tmp_path / "none.json"),
        "is not a folder": (store, store / "store.json" / "x"),
    }
    capsys.readouterr()
    for sentence, arguments in mistakes.items():
        assert run("data", "export", *arguments) == 2, sentence
        said = capsys.readouterr().err
        assert sentence in said
        assert said.startswith("segevolution: ")
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "new").exists()
    assert run("data", "export", store, out, "--low", 5, "--force", "--quiet") == 0
