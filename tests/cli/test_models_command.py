"""`segevolution models`: what it prints, and what it writes."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from segevolution.cli.app import app, main
from segevolution.models.checkpoints import fingerprint, load_model, save_model
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.published import read_published
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone, TinyConfig

CARD = "---\nlicense: apache-2.0\n---\n# A net\n\nTrained on nothing.\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGEVOLUTION_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    config = TinyConfig(window=(4, 16, 16), structures=("liver", "spleen"))
    save_model(TinyBackbone(config), tmp_path / "net", card=CARD)
    return tmp_path / "net"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["models", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["models", *map(str, arguments)])
    assert caught.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("segevolution: ")
    return said


def test_a_pulled_model_is_listed_under_its_name(home: Path, tiny: Path) -> None:
    assert run("pull", tiny, "--quiet").strip() == str(home / "models" / "net")
    entries = {entry["name"]: entry for entry in json.loads(run("list", "--json"))}
    assert entries["net"]["network"] == "tiny"
    assert entries["net"]["origin"] == "pulled"
    assert any(line.split()[:3] == ["net", "pulled", "tiny"] for line in run("list").splitlines())


def test_show_tells_what_a_model_is(home: Path, tiny: Path) -> None:
    facts = json.loads(run("show", tiny, "--json"))
    assert facts["window"] == [4, 16, 16]
    assert facts["accepts"] == ["box", "point", "text"]
    assert facts["structures"] == ["liver", "spleen"]
    assert facts["fingerprint"] == fingerprint(tiny)
    assert facts["licence"] == "apache-2.0"
    assert facts["card"].startswith("# A net")
    assert facts["parameters"] == sum(parameter.numel() for parameter in load_model(tiny).parameters())
    shown = run("show", tiny)
    assert "4 x 16 x 16 voxels" in shown
    assert "not a medical device" in shown


def test_a_model_goes_to_the_published_naming(home: Path, tmp_path: Path) -> None:
    config = SegVolConfig((8, 32, 32), (4, 8, 8), 48, 1, 4, 96, decoder_heads=4, decoder_mlp=64, iou_hidden=16)
    model = SegVol.fresh(config, seed=4)
    save_model(model, tmp_path / "segvol")
    target = tmp_path / "out" / "pytorch_model.bin"
    assert run("convert", tmp_path / "segvol", target, "--to", "published").strip() == str(target)
    state, report = read_published(target)
    assert report.dropped == ()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_a_model_folder_is_not_replaced_without_force(
    home: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("convert", tiny, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == fingerprint(tiny)
    assert "--force" in refused(capsys, "convert", tiny, tmp_path / "copy")
    run("convert", tiny, tmp_path / "copy", "--force")
    for target in (tmp_path / "copy", tmp_path):
        assert "made from" in refused(capsys, "convert", tmp_path / "copy", target, "--force")
    assert (tmp_path / "copy" / "model.safetensors").is_file()


def test_what_cannot_be_done_is_one_sentence_and_status_two(
    home: Path, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "models pull BAAI/SegVol" in refused(capsys, "show", "segvol-maxi")
    (tmp_path / "photos").mkdir()
    assert "not a model folder" in refused(capsys, "show", tmp_path / "photos")
    assert "no published form" in refused(capsys, "convert", tiny, tmp_path / "x.bin", "--to", "published")
    (tmp_path / "x.pth").write_text("hello")
    assert "is not a checkpoint" in refused(capsys, "convert", tmp_path / "x.pth", tmp_path / "y")
    assert not (tmp_path / "x.bin").exists()
    assert not (tmp_path / "y").exists()
