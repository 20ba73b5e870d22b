import copy
import json
import shutil

import pytest
import torch
from typer.testing import CliRunner

from segevolution.adapters import LoraAdapter, save_adapter
from segevolution.adapters.shipped import shipped
from segevolution.adapters.switch import attached
from segevolution.cli.app import app, main
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.tiny import TinyBackbone, TinyConfig


@pytest.fixture
def lab(tmp_path):
    """A base model, an adapter for it in runs/mri, and the network that carries it."""
    network = TinyBackbone().eval()
    save_model(network, tmp_path / "base")
    adapted = copy.deepcopy(network)
    adapter = LoraAdapter()
    adapter.attach(adapted)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(0.05)
    save_adapter(adapter, adapted, tmp_path / "runs" / "mri", {"base": "our-base", "metrics": {"dice": 0.8}})
    return tmp_path, adapted


def run(*words: object) -> str:
    outcome = CliRunner().invoke(app, ["adapters", *map(str, words)])
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def refused(capsys, *words: object) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["adapters", *map(str, words)])
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_list_finds_adapters_below_a_folder_and_passes_over_broken_ones(lab):
    folder, _ = lab
    (folder / "runs" / "peft").mkdir()
    (folder / "runs" / "peft" / "adapter_config.json").write_text("{}")
    assert [each["folder"] for each in json.loads(run("list", folder, "--json"))] == [str(folder / "runs" / "mri")]
    table = run("list", folder)
    assert "lora" in table
    assert "our-base" in table
    assert "peft" not in table


def test_list_without_a_folder_begins_with_what_ships(lab, monkeypatch):
    folder, _ = lab
    monkeypatch.chdir(folder)
    named = [each["folder"] for each in json.loads(run("list", "--json"))]
    assert named == [*map(str, shipped().values()), "runs/mri"]
    assert [line.split()[0] for line in run("list").splitlines()[1:] if line.strip()] == [*shipped(), "runs/mri"]


def test_show_takes_the_name_of_an_adapter_that_ships_as_export_does():
    described = json.loads(run("show", "segvol-mini-mri", "--json"))
    assert described["base"]["name"] == "segvol-mini-2"
    assert described["card"]["licence"].startswith("Research use only")


def test_a_name_that_is_no_adapter_is_told_what_ships(lab, capsys):
    folder, _ = lab
    for words in (
        ["show", "segvol-mini-mir"],
        ["merge", "segvol-mini-mir", "-o", folder / "out"],
        ["explain", "segvol-mini-mir"],
        ["combine", "segvol-mini-mir", "--names", "MRI", "--base", folder / "base", "-o", folder / "out"],
    ):
        assert "segvol-mini-mri" in refused(capsys, *words)


def test_list_leaves_out_the_parts_of_a_training_and_finds_them_where_they_are_asked_for(lab):
    folder, _ = lab
    work = folder / "runs" / "mri.work" / "study"
    shutil.copytree(folder / "runs" / "mri", work / "lora-f0")
    assert [each["folder"] for each in json.loads(run("list", folder, "--json"))] == [str(folder / "runs" / "mri")]
    assert [each["folder"] for each in json.loads(run("list", work, "--json"))] == [str(work / "lora-f0")]


def test_show_prints_a_table_or_json(lab):
    folder, _ = lab
    table = run("show", folder / "runs" / "mri")
    assert "dice 0.8" in table
    assert "rank" in table
    assert json.loads(run("show", folder / "runs" / "mri", "--json"))["method"] == "lora"


def test_merge_writes_a_model_that_answers_as_the_adapted_one(lab):
    folder, adapted = lab
    run("merge", folder / "runs" / "mri", "--base", folder / "base", "-o", folder / "merged")
    merged = load_model(folder / "merged")
    images = torch.rand(1, 1, *merged.spec.window, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = adapted.encode(images, [None]).tokens, merged.encode(images, [None]).tokens
        base = load_model(folder / "base").encode(images, [None]).tokens
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, base, atol=1e-3)
    assert "lora adapter mri" in (folder / "merged" / "README.md").read_text("utf-8")


def test_merge_takes_the_base_that_the_adapter_names(lab):
    folder, adapted = lab
    save_adapter(attached(adapted), adapted, folder / "runs" / "named", {"base": str(folder / "base")})
    run("merge", folder / "runs" / "named", "-o", folder / "merged")
    assert (folder / "merged" / "model.safetensors").is_file()


def test_merge_refuses_another_base_and_an_output_that_exists(lab, capsys):
    folder, _ = lab
    save_model(TinyBackbone(TinyConfig(seed=9)), folder / "other")
    adapter = folder / "runs" / "mri"
    assert "another base" in refused(capsys, "merge", adapter, "--base", folder / "other", "-o", folder / "merged")
    assert not (folder / "merged").exists()
    run("merge", adapter, "--base", folder / "other", "-o", folder / "merged", "--force-base")
    said = refused(capsys, "merge", adapter, "--base", folder / "base", "-o", folder / "merged")
    assert "exists already" in said
    assert said.count("\n") == 1


def test_show_of_what_is_no_adapter_is_one_sentence(lab, capsys):
    folder, _ = lab
    assert refused(capsys, "show", folder / "base").startswith("segevolution: ")
    assert "is not a folder" in refused(capsys, "list", folder / "nowhere")
