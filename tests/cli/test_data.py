"""`segevolution data`: datasets to stores from the command line, with statuses that scripts can trust."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.data.store import Store


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
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["cases"], told["skipped"]) == (4, {})
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


def test_what_was_skipped_is_told_later_until_it_is_mended(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label, store = task / "labelsTr" / "prostate_01.nii.gz", tmp_path / "store"
    content = label.read_bytes()
    label.unlink()
    run("data", "prepare", "msd", task, store, "--quiet")
    capsys.readouterr()
    assert run("data", "show", store) == 0
    assert f"2 of prostate left out of {store}" in capsys.readouterr().err
    assert run("data", "show", store, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["skipped"]["prostate"].keys() == {"prostate_01_t2", "prostate_01_adc"}
    label.write_bytes(content)
    assert run("data", "prepare", "msd", task, store, "--quiet") == 0
    capsys.readouterr()
    assert run("data", "show", store) == 0
    assert capsys.readouterr().err == ""
    assert sorted(path.name for path in store.iterdir()) == ["cases", "datasets", "decisions", "store.json"]


def test_several_stores_are_shown_at_once(task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stores = [tmp_path / "one", tmp_path / "two"]
    for store in stores:
        assert run("data", "prepare", "msd", task, store, "--quiet", "--dataset", store.name) == 0
    capsys.readouterr()
    assert run("data", "show", *stores, "--contact-sheet", tmp_path / "sheet.png", "--most", "3") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split()[0] == "store"
    assert all(str(store) in shown.out for store in stores)
    assert "3 of 8 cases drawn" in shown.err
    assert run("data", "show", *stores, "--json") == 0
    assert [told["store"] for told in json.loads(capsys.readouterr().out)] == [str(store) for store in stores]


def test_a_changed_source_is_noted_and_update_takes_it(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, image = tmp_path / "store", task / "imagesTr" / "prostate_00.nii.gz"
    assert run("data", "prepare", "msd", task, store, "--quiet") == 0
    array = np.random.default_rng(8).integers(0, 900, (10, 10, 6, 2), np.int16)
    nib.save(nib.Nifti1Image(array, np.diag([0.6, 0.6, 3.6, 1])), image)
    later = (store / "cases" / "prostate_00_t2" / "case.json").stat().st_mtime + 5
    os.utime(image, (later, later))
    capsys.readouterr()
    assert run("data", "prepare", "msd", task, store) == 0
    said = capsys.readouterr().err
    assert f"{image} has changed since the case was made of it; prepare with --update." in said
    assert "note on prostate_00_adc" in said
    assert "prostate_01" not in said
    assert run("data", "prepare", "msd", task, store, "--update") == 0
    header, line = capsys.readouterr().out.splitlines()
    assert dict(zip(header.split(), line.split(), strict=True)) == {
        "dataset": "prostate",
        "added": "0",
        "kept": "2",
        "skipped": "0",
        "updated": "2",
        "store": str(store),
    }
    np.testing.assert_array_equal(Store.open(store).read("prostate_00_t2").volume.array, array[..., 0])


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
