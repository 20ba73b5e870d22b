"""`segevolution data split`: a file that a study takes, from a store and a seed."""

import json

import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.imaging.case import Case
from segevolution.imaging.grid import Grid
from segevolution.imaging.volume import Volume
from segevolution.vocabulary import Modality


@pytest.fixture
def store(tmp_path):
    """Ten CT patients whose authors tested on two, and ten MRI patients of a dataset without parts."""
    made = Store.create(tmp_path / "store")
    grid = Grid((4, 4, 4), np.eye(4))
    for number in range(10):
        for dataset, modality, part in (
            ("amos", Modality.CT, "test" if number < 2 else "train"),
            ("own", Modality.MRI, None),
        ):
            name = f"{dataset}{number}"
            signal = np.random.default_rng(number).integers(0, 99, (4, 4, 4)).astype(np.int16)
            labels = (signal > 50).astype(np.uint8)
            volume = Volume(signal, grid, modality, name)
            made.add(Case(name, name, dataset, volume, labels, {"liver": (1,)}, part=part))
    return made.path


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as left:
        main(["data", "split", *map(str, arguments)])
    return left.value.code or 0


def test_original_parts_are_kept_and_counts_are_printed(store, tmp_path, capsys):
    assert run(store, tmp_path / "split.json", "--fractions", "0.6", "0.2", "0.2", "--seed", 3) == 0
    shown = capsys.readouterr()
    split = Split.load(tmp_path / "split.json")
    assert [name for name in split.test if name.startswith("amos")] == ["amos0", "amos1"]
    rows = [line.split() for line in shown.out.splitlines() if line.strip()]
    assert rows[0] == ["part", "dataset", "modality", "patients", "cases"]
    assert ["test", "amos", "CT", "2", "2"] in rows
    assert ["validation", "amos", "CT", "2", "2"] in rows
    assert ["test", "own", "MRI", "2", "2"] in rows
    assert "20 cases split" in shown.err


def test_parts_can_be_dealt_anew_and_the_seed_decides(store, tmp_path, capsys):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert run(store, tmp_path / f"{name}.json", "--no-original", "--seed", seed, "--json") == 0
        told = json.loads(capsys.readouterr().out)
    one, same, other = ((tmp_path / f"{name}.json").read_bytes() for name in "abc")
    assert one == same
    assert one != other
    assert sum(row["cases"] for row in told["parts"]) == 20
    assert {row["dataset"] for row in told["parts"] if row["part"] == "test"} == {"amos", "own"}


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [(["--fractions", "0.5", "0.1", "0.1"], "must sum to 1"), ([], "use --force to replace it")],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_the_file(store, tmp_path, capsys, extra, sentence):
    place = tmp_path / "split.json"
    if not extra:
        place.write_text("mine")
    assert run(store, place, *extra) == 2
    shown = capsys.readouterr().err
    assert sentence in shown
    assert len(shown.strip().splitlines()) == 1
    assert not place.exists() or place.read_text("utf-8") == "mine"
