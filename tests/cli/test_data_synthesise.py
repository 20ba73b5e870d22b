"""`segevolution data synthesise` and `data simulate`: made data from the command line."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.data.store import Store


def run(*arguments: object) -> int:
    """The exit status of a command."""
    try:
        main(["data", *(str(argument) for argument in arguments)])
    except SystemExit as left:
        return int(left.code or 0)
    return 0


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    array = np.zeros((26, 24, 10), np.uint8)
    array[4:12, 6:18, 2:8] = 1
    array[16:22, 6:14, 2:8] = 4
    path = tmp_path / "maps" / "patient7.nii.gz"
    path.parent.mkdir()
    nib.save(nib.Nifti1Image(array, np.diag([-6.0, -6.0, 7.0, 1.0])), path)
    return path


TWO = '{"1": "liver", "4": "zorblax"}'


def test_one_file_becomes_an_image_with_its_labels_and_names(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made.nii.gz"
    asked = ("synthesise", "--labels", labels, "--names", TWO, "--sequence", "t2", "--deform", 0, "-o", out)
    assert run(*asked) == 0
    assert "zorblax" in capsys.readouterr().err
    image, made = nib.load(out), nib.load(tmp_path / "made_labels.nii.gz")
    source = nib.load(labels)
    assert np.array_equal(np.asarray(made.dataobj), np.asarray(source.dataobj))
    assert np.allclose(image.affine, source.affine)
    first = np.asarray(image.dataobj).copy()
    assert first.shape == source.shape
    assert json.loads((tmp_path / "made_labels.json").read_text("utf-8")) == {"1": "liver", "4": "zorblax"}
    assert run(*asked) == 2
    assert "--force" in capsys.readouterr().err
    assert run(*asked, "--force", "--seed", 3) == 0
    assert not np.array_equal(np.asarray(nib.load(out).dataobj), first)


def test_a_folder_becomes_a_store_that_goes_on(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (
        "synthesise",
        "--labels",
        labels.parent,
        "--names",
        TWO,
        "--sequence",
        "t1,random",
        "-o",
        tmp_path / "store",
    )
    assert run(*asked, "--count", 1, "--quiet") == 0
    assert run(*asked, "--count", 2, "--json", "--quiet") == 0
    told = json.loads(capsys.readouterr().out.split("\n", 2)[2])
    assert (told["added"], told["kept"]) == (["patient7_000001"], ["patient7_000000"])
    store = Store.open(tmp_path / "store")
    assert [record.sequence for record in store.cases] == ["T1", "random"]
    assert {record.patient for record in store.cases} == {"patient7"}
    assert set(store.cases[0].structures) == {"liver", "zorblax"}
    assert run(*asked, "--count", 2, "--field", 3) == 2
    assert "with field None, not 3.0" in capsys.readouterr().err


def test_simulated_patients_become_a_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("simulate", tmp_path / "store", "--patients", 1, "--seed", 4, "--spacing", 12, 12, 12, "--quiet")
    assert run(*asked, "--region", "head", "--sequence", "flair", "--tumour", "--json") == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "simulated_head_mri"
    assert run(*asked) == 0
    brain, torso = Store.open(tmp_path / "store").cases
    assert (brain.modality, brain.sequence, torso.modality) == ("MRI", "FLAIR", "CT")
    assert "brain tumour" in brain.structures
    assert {"body", "liver", "spine"} <= set(torso.structures)


def test_mistakes_are_one_sentence_and_status_2(
    labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.nii.gz"
    mistakes = {
        "has no patient7.json beside it": ("synthesise", "--labels", labels, "-o", tmp_path / "store"),
        "is not there": ("synthesise", "--labels", tmp_path / "no", "-o", out),
        '"T9" is not a sequence': ("synthesise", "--labels", labels, "--names", TWO, "--sequence", "T9", "-o", out),
        "holds one image": ("synthesise", "--labels", labels, "--names", TWO, "--count", 2, "-o", out),
        "7.0 tesla": ("simulate", tmp_path / "store", "--field", 7),
    }
    for sentence, arguments in mistakes.items():
        assert run(*arguments) == 2, sentence
        said = capsys.readouterr().err
        assert sentence in said
        assert len(said.splitlines()) == 1
    assert not out.exists()
    assert not (tmp_path / "store").exists()


def test_a_dataset_named_as_a_path_leaves_nothing_outside_the_store(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    assert run("simulate", tmp_path / "inner" / "store", "--patients", "1", "--dataset", "../../EVIL") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    assert [path.name for path in (tmp_path / "inner").iterdir()] == ["store"]
