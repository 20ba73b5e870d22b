"""`segevolution adapt DATASET`, and the command that it tells to use what it made."""

import json
import shlex
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from segevolution.cli.app import main
from segevolution.evaluation.plots.rendering import Drawing
from segevolution.models.checkpoints import save_model
from segevolution.models.tiny import TinyBackbone


def scan(number):
    """Signal and labels of a patient with a bright liver."""
    signal = np.random.default_rng(number).normal(300, 5, (16, 16, 8)).astype(np.float32)
    labels = np.zeros(signal.shape, np.uint8)
    labels[3:10, 4:11, 2:6] = 1
    signal[labels > 0] += 80
    return signal, labels


def write(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([2.0, 2.0, 4.0, 1.0])), path)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a Decathlon dataset of three MRI patients, a new scan and a tiny base; drawing is skipped."""
    task = tmp_path / "Task99_Toy"
    pairs = []
    for number in range(3):
        signal, labels = scan(number)
        write(signal, task / "imagesTr" / f"p{number}.nii.gz")
        write(labels, task / "labelsTr" / f"p{number}.nii.gz")
        pairs.append({"image": f"./imagesTr/p{number}.nii.gz", "label": f"./labelsTr/p{number}.nii.gz"})
    header = {"name": "Toy", "licence": "CC0", "modality": {"0": "MRI"}, "labels": {"0": "background", "1": "liver"}}
    (task / "dataset.json").write_text(json.dumps({**header, "training": pairs, "test": [], "numTraining": 3}))
    write(scan(9)[0], tmp_path / "new.nii.gz")
    save_model(TinyBackbone(), tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("segevolution.evaluation.plots.rendering.render", lambda *given, **how: Drawing(b"", b"", b""))
    return tmp_path


def run(*arguments):
    with pytest.raises(SystemExit) as left:
        main([*arguments])
    return left.value.code or 0


TINY = ("--base", "tiny", "--steps", "2", "--simulated", "0", "--replay", "none", "--device", "cpu")


def test_the_command_that_is_told_works_on_a_new_scan(place, capsys):
    assert run("adapt", "Task99_Toy", "--method", "mixture", *TINY) == 0
    shown = capsys.readouterr()
    lines = [line.strip() for line in shown.out.splitlines() if line.strip()]
    assert lines[0].split()[:3] == ["mean", "Dice:", "data"]
    assert lines[1].split()[:3] == ["MRI", "(toy)", "text"]
    told = next(line for line in lines if line.startswith("segevolution segment"))
    assert told == (
        "segevolution segment new.nii.gz --modality MRI --model tiny --adapter adapters/Task99_Toy-mixture "
        '--text "liver"'
    )
    assert "3 patients, cross-validated in 3 folds" in shown.err
    assert run(*shlex.split(told)[1:], "--device", "cpu") == 0
    answer = nib.load(place / "new_seg.nii.gz")
    assert answer.shape == (16, 16, 8)
    assert json.loads((place / "new_seg.json").read_text("utf-8"))["adapter"] == "adapters/Task99_Toy-mixture"


def test_json_holds_the_report_and_quiet_says_nothing(place, capsys):
    assert run("adapt", "Task99_Toy", *TINY, "-o", "mine", "--json", "--quiet") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    found = json.loads(shown.out)
    assert (found["adapter"], found["fresh"], found["verdict"]) == ("mine", True, "not known")
    assert {key: found[key] for key in json.loads(Path("mine/report.json").read_text("utf-8"))} == json.loads(
        Path("mine/report.json").read_text("utf-8")
    )
    assert "CC0" in Path("mine/README.md").read_text("utf-8")

    assert run("adapt", "Task99_Toy", *TINY, "-o", "mine") == 0
    assert "nothing was missing" in capsys.readouterr().err
    assert run("adapt", "Task99_Toy", *TINY, "-o", "mine", "--seed", "1") == 2
    assert "use --force to replace it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["tiny"], "tiny is in no layout that is known"),
        (["Task99_Toy", "--source", "nnunett"], 'did you mean "nnunet"?'),
        (["Task99_Toy", "--test", "some"], '--test "some" is neither a number of patients'),
        (["Task99_Toy", "--test", "3"], "3 patients are too few to test 3 and validate with 0"),
        (["Task99_Toy", "--validation", "1.5"], '--validation "1.5" is neither'),
        (["Task99_Toy", "--shots", "3"], "--shots asks for 3 patients, but there are 2"),
        (["Task99_Toy", "--structures", "spleen"], 'toy does not label "spleen"; it labels liver.'),
        (["Task99_Toy", "--split", "a.json", "--test", "1"], "leave --test and --validation out"),
        (["Task99_Toy", "--base", "nothing"], '"nothing"'),
        (["Task99_Toy", "--ct", "tiny"], "tiny is not a store"),
        (["Task99_Toy", "--modality", "X-ray"], '"X-ray" is not a modality'),
        (["Task99_Toy", "--minutes", "0"], "raise --steps or --minutes"),
        (["Task99_Toy", "--device", "abacus"], '"abacus" is not a device'),
        (["Task99_Toy", "-o", "tiny"], "tiny exists already"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_status_2(place, capsys, arguments, sentence):
    assert run("adapt", arguments[0], *TINY, *arguments[1:], "--quiet") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("segevolution: ")
    assert sentence in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not Path("adapters/Task99_Toy-lora").exists()
