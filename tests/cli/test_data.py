"""`segevolution data`: datasets to stores from the command line, with statuses that scripts can trust."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.cli.app import main


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "Task05_Prostate"
    rng = np.random.default_rng(0)
    for stem in ("prostate_00", "prostate_01"):
        labels = np.zeros((10, 10, 6), np.uint8)
        labels[2:5, 3:6, 2:4], labels[5:8, 3:6, 2:4] = 1, 2
        for part, array in (("imagesTr", rng.integers(0, 900, (10, 10, 6, 2), np.int16)), ("labelsTr", labels)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([0.6, 0.6, 3.6, 1])), folder / part / f"{stem}.nii.gz")
    pairs = [
        {"image": f"./imagesTr/{s}.nii.gz", "label": f"./labelsTr/{s}.nii.gz"} for s in ("prostate_00", "prostate_01")
    ]
    header = {
        "name": "PROSTATE",
        "licence": "CC-BY-SA 4.0",
        "modality": {"0": "T2", "1": "ADC"},
        "labels": {"0": "background", "1": "PZ", "2": "TZ"},
        "training": pairs,
    }
    (folder / "dataset.json").write_text(json.dumps(header))
    return folder


def run(*arguments: object) -> int:
    """The exit status of a command."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_prepare_then_show(task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert run("data", "prepare", "auto", task, store) == 0
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:4] == ["prostate", "4", "0", "0"]
    assert run("data", "prepare", "msd", task, store, "--json", "--quiet") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["added"], len(report["kept"]), report["failed"]) == ([], 4, {})
    assert run("data", "show", store, "--contact-sheet", tmp_path / "sheet.png") == 0
    shown = capsys.readouterr()
    assert "prostate peripheral zone" in shown.out
    assert "4 of 4 cases drawn" in shown.err
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert run("data", "show", store, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["cases"] == 4
    assert told["datasets"]["prostate"]["licence"] == "CC-BY-SA 4.0"
    assert {row["sequence"] for row in told["rows"]} == {"T2", "ADC"}


def test_a_skipped_case_is_said_and_the_status_is_1(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (task / "labelsTr" / "prostate_01.nii.gz").unlink()
    assert run("data", "prepare", "msd", task, tmp_path / "store", "--quiet") == 1
    said = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("skipped prostate_01_") and "has no label" in line for line in said) == 2
    assert said[-1].startswith("2 cases were skipped, so the status is 1")


def test_mistakes_are_one_sentence_and_status_2(task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (task / "labelsTr" / "prostate_01.nii.gz").unlink()
    mistakes = {
        "stopped at case prostate_01_adc because of --strict": ("prepare", "msd", task, tmp_path / "s", "--strict"),
        'did you mean "msd"': ("prepare", "mds", task, tmp_path / "new"),
        '"xray" is not a modality': ("prepare", "msd", task, tmp_path / "new", "--modality", "xray"),
        "is not a store": ("prepare", "msd", task, task),
        "has no store.json": ("show", tmp_path / "nothing"),
    }
    for sentence, arguments in mistakes.items():
        assert run("data", *arguments) == 2, sentence
        said = capsys.readouterr().err
        assert sentence in said
        assert said.startswith("segevolution: ")
        assert len(said.splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_sources_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "sources") == 0
    assert {"msd", "nnunet", "folder"} <= set(capsys.readouterr().out.split())
    assert run("data", "sources", "--json") == 0
    assert json.loads(capsys.readouterr().out).keys() >= {"msd", "nnunet", "folder", "single"}
