import copy
import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from segevolution.adapters import LoraAdapter, LoraConfig, load_adapter, save_adapter
from segevolution.cli.app import app, main
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.tiny import TinyBackbone
from segevolution.vocabulary import Modality


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A base, and adapters for it in ct, mri and other (of another rank)."""
    network = TinyBackbone().eval()
    save_model(network, tmp_path / "base")
    for seed, (name, rank) in enumerate({"ct": 2, "mri": 2, "other": 3}.items()):
        adapted = copy.deepcopy(network)
        adapter = LoraAdapter(LoraConfig(rank=rank))
        adapter.attach(adapted)
        with torch.no_grad():
            for parameter in adapter.trainable_parameters():
                parameter.add_(0.05 * (seed + 1))
        save_adapter(adapter, adapted, tmp_path / name, {"base": "our-base", "licences": {name: "CC BY"}})
    return tmp_path


def combine(lab: Path, *words: object) -> list[str]:
    return ["adapters", "combine", *map(str, words), "--base", str(lab / "base"), "-o", str(lab / "both")]


def test_combine_writes_a_mixture_that_answers_by_modality(lab: Path) -> None:
    outcome = CliRunner().invoke(app, combine(lab, lab / "ct", lab / "mri", "--names", "CT,MRI"))
    assert outcome.exit_code == 0, outcome.output
    assert "CT, MRI and identity" in outcome.stderr
    model, alone = load_model(lab / "base"), load_model(lab / "base")
    load_adapter(lab / "both", model)
    load_adapter(lab / "mri", alone)
    images = torch.rand(1, 1, *model.spec.window)
    with torch.no_grad():
        assert torch.equal(model.encode(images, [Modality.MRI]).tokens, alone.encode(images, [None]).tokens)
        bare = load_model(lab / "base").encode(images, [None]).tokens
        assert torch.equal(model.encode(images, [Modality.PET]).tokens, bare)
    shown = CliRunner().invoke(app, ["adapters", "show", str(lab / "both"), "--json"]).stdout
    assert json.loads(shown)["method"] == "mixture"
    assert json.loads(shown)["card"]["licences"] == {"CT": {"ct": "CC BY"}, "MRI": {"mri": "CC BY"}}


def test_a_learned_gate_is_to_be_trained_and_says_so(lab: Path) -> None:
    words = combine(lab, lab / "ct", lab / "mri", "--names", "a,b", "--gate", "learned")
    outcome = CliRunner().invoke(app, words)
    assert outcome.exit_code == 0, outcome.output
    assert "train it" in outcome.stderr
    settings = json.loads((lab / "both" / "adapter_config.json").read_text("utf-8"))["segevolution"]["settings"]
    assert settings["train"] == ["gate"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ct", "other", "--names", "CT,MRI"], "differ in rank"),
        (["ct", "mri", "--names", "CT"], "give a name of its own to each"),
        (["ct", "mri", "--names", "CT,CT"], "give a name of its own to each"),
        (["ct", "mri", "--names", "a,b"], "no modality leads to"),
        (["ct", "mri", "--names", "CT,MRI", "--gate", "lerned"], 'did you mean "learned"'),
        (["ct", "base", "--names", "CT,MRI"], "is not an adapter folder"),
    ],
)
def test_what_cannot_be_combined_is_one_sentence(
    lab: Path, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(combine(lab, *(lab / word if (lab / word).is_dir() else word for word in words)))
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert sentence in said
    assert said.count("\n") == 1
    assert not (lab / "both").exists()
