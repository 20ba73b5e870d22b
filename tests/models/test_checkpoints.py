"""Model folders: whole or absent, strict, and free of pickles."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segevolution.errors import CheckpointError, OutputError
from segevolution.models.checkpoints import fingerprint, load_model, read_config, save_model
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone, TinyConfig

SMALL = TinyConfig(window=(4, 16, 16), structures=("liver", "spleen"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(TinyBackbone(SMALL), tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder: Path, change: dict[str, torch.Tensor | None]) -> None:
    state = load_file(folder / "model.safetensors")
    for name, tensor in change.items():
        if tensor is None:
            del state[name]
        else:
            state[name] = tensor
    save_file(state, folder / "model.safetensors")


def test_a_model_comes_back_as_it_was(folder: Path) -> None:
    model, back = TinyBackbone(SMALL), load_model(folder)
    assert isinstance(back, TinyBackbone)
    assert back.config == SMALL
    assert back.spec == model.spec
    assert not back.training
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())


def test_float16_is_stored_in_half_and_loaded_as_float32(tmp_path: Path) -> None:
    save_model(TinyBackbone(SMALL), tmp_path / "half", dtype="float16")
    stored = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    back = load_model(tmp_path / "half")
    assert {parameter.dtype for parameter in back.parameters()} == {torch.float32}
    assert torch.equal(back.state_dict()["keys.weight"].half(), stored["keys.weight"])


def test_a_fingerprint_is_the_same_for_a_folder_and_the_model_it_loads(folder: Path, tmp_path: Path) -> None:
    assert fingerprint(folder) == fingerprint(load_model(folder)) == fingerprint(TinyBackbone(SMALL))
    save_model(TinyBackbone(SMALL), tmp_path / "half", dtype="float16")
    assert fingerprint(tmp_path / "half") == fingerprint(load_model(tmp_path / "half"))
    assert fingerprint(tmp_path / "half") != fingerprint(folder)


def test_a_fingerprint_changes_with_one_value(folder: Path) -> None:
    model = load_model(folder)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    assert fingerprint(model) != fingerprint(folder)


def test_a_profile_of_intensities_belongs_to_a_network_as_its_weights_do(tmp_path: Path) -> None:
    sizes = {"window": (4, 16, 16), "patch": (4, 8, 8), "width": 24, "depth": 1, "heads": 2, "mlp": 24}
    config = SegVolConfig(**sizes, decoder_heads=2, decoder_mlp=16, iou_hidden=8)
    prints = {}
    for intensity in ("foreground", "soft_tissue", "matched_soft_tissue"):
        torch.manual_seed(0)
        model = SegVol(replace(config, intensity=intensity))
        save_model(model, tmp_path / intensity)
        prints[intensity] = fingerprint(model)
        assert fingerprint(tmp_path / intensity) == prints[intensity]
    assert prints["foreground"] == prints["soft_tissue"] != prints["matched_soft_tissue"]


def test_what_is_missing_unexpected_or_misshapen_is_listed_by_name(folder: Path) -> None:
    rewrite(folder, {"keys.bias": None, "stranger": torch.zeros(2), "queries.weight": torch.zeros(3, 3)})
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    sentence = str(caught.value)
    assert "missing: keys.bias" in sentence
    assert "unexpected: stranger" in sentence
    assert "queries.weight (3x3 where 16x16 is needed)" in sentence


def test_a_long_list_of_names_is_cut(folder: Path) -> None:
    rewrite(folder, {f"stranger.{number:02d}": torch.zeros(1) for number in range(17)})
    with pytest.raises(CheckpointError, match=r"stranger\.04 and 12 more\.$"):
        load_model(folder)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "must hold an object"),
        ('{"network": ["tiny"], "format": 1}', "not a model folder of this package"),
        ('{"model_type": "segvol"}', "models convert"),
        ('{"network": "tiny", "format": 9}', "update segevolution"),
        ('{"network": "resnet", "format": 1}', '"resnet" network'),
        ('{"network": "tiny", "format": 1, "colour": 3}', "colour"),
    ],
)
def test_a_configuration_that_is_not_ours_is_refused(folder: Path, config: str, said: str) -> None:
    (folder / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=said):
        load_model(folder)


def test_folders_that_are_not_models_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a folder"):
        load_model(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        fingerprint(tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no model\.safetensors"):
        read_config(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        load_model(folder)


def test_the_card_is_written_and_a_default_says_what_it_is_for(folder: Path, tmp_path: Path) -> None:
    assert "not a medical device" in (folder / "README.md").read_text("utf-8")
    save_model(TinyBackbone(SMALL), tmp_path / "carded", card="# Mine\n")
    assert (tmp_path / "carded" / "README.md").read_text("utf-8") == "# Mine\n"
    assert json.loads((folder / "config.json").read_text("utf-8"))["network"] == "tiny"


def test_a_model_folder_is_replaced_whole_and_nothing_else_ever_is(folder: Path, tmp_path: Path) -> None:
    (folder / "old-tokenizer.json").write_text("{}")
    save_model(TinyBackbone(TinyConfig(window=(4, 16, 16))), folder)
    assert not (folder / "old-tokenizer.json").exists()
    with pytest.raises(OutputError, match="--force"):
        save_model(TinyBackbone(SMALL), folder, force=False)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="not a model folder"):
        save_model(TinyBackbone(SMALL), tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.tex").read_text("utf-8") == "years"
    save_model(TinyBackbone(SMALL), folder / "trials" / "second")
    with pytest.raises(OutputError, match="it also holds trials/second"):
        save_model(TinyBackbone(SMALL), folder)
    assert (folder / "trials" / "second" / "config.json").is_file()


def test_a_failed_save_leaves_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*arguments: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segevolution.models.checkpoints.save_file", full_disk)
    before = fingerprint(folder)
    with pytest.raises(OutputError, match="No space left"):
        save_model(TinyBackbone(TinyConfig(window=(4, 16, 16), seed=2)), folder)
    assert fingerprint(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


class Unregistered(TinyBackbone):
    """A network whose type nobody registered."""


def test_a_model_of_an_unregistered_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"registry\.py"):
        save_model(Unregistered(), tmp_path / "model")
    assert not (tmp_path / "model").exists()
