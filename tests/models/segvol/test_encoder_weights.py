"""Pre-trained encoders find their way into a network, and what is not theirs is named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from segevolution.errors import CheckpointError
from segevolution.models.checkpoints import save_model
from segevolution.models.segvol.config import SegVolConfig
from segevolution.models.segvol.encoder_weights import LoadedEncoder, load_encoder, save_encoder
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tiny import TinyBackbone

POSITIONS = "image_encoder.patch_embedding.position_embeddings"


def small(mini: SegVolConfig, **changes: object) -> SegVolConfig:
    return replace(mini, text=None, structures=(), **changes)  # type: ignore[arg-type]


def pretrained(config: SegVolConfig, path: Path, **extra: Tensor) -> SegVol:
    """A file as MIM-Med3D's training left it."""
    source = SegVol.fresh(config, 5)
    state = {f"model.encoder.{name}": value for name, value in source.image_encoder.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state | extra}, path)
    return source


def test_an_encoder_comes_back_into_another_network_and_the_rest_stays(
    mini_config: SegVolConfig, tmp_path: Path
) -> None:
    first, second = SegVol.fresh(small(mini_config), 1), SegVol.fresh(small(mini_config), 2)
    before = {name: value.clone() for name, value in second.state_dict().items()}
    save_encoder(first, tmp_path / "run" / "encoder", {"steps": 7})
    names = load_file(tmp_path / "run" / "encoder" / "encoder.safetensors").keys()
    assert all(name.startswith("image_encoder.") for name in names)
    assert json.loads((tmp_path / "run" / "encoder" / "simmim.json").read_text("utf-8"))["steps"] == 7
    for place in ("run", "run/encoder", "run/encoder/encoder.safetensors"):
        report = load_encoder(second, tmp_path / place)
        assert report == LoadedEncoder(tmp_path / "run" / "encoder" / "encoder.safetensors", len(names))
    for name, value in second.state_dict().items():
        wanted = first.state_dict() if name.startswith("image_encoder.") else before
        assert torch.equal(value, wanted[name]), name


def test_a_published_pretraining_is_loaded_and_its_mask_token_and_head_are_named(
    mini_config: SegVolConfig, tmp_path: Path
) -> None:
    config = small(mini_config, stem=None, high_resolution=False, pixel_decoder=None)
    extra = {
        "model.mask_token": torch.zeros(1, 1, 32),
        "model.decoder.weight": torch.zeros(256, 32),
        "model.encoder.blocks.0.norm_cross_attn.weight": torch.ones(32),
    }
    source = pretrained(config, tmp_path / "vit_pretrain.ckpt", **extra)
    network = SegVol.fresh(config, 2)
    report = load_encoder(network, tmp_path / "vit_pretrain.ckpt")
    assert set(report.dropped) == {
        "model.mask_token",
        "model.decoder.weight",
        "image_encoder.blocks.0.norm_cross_attn.weight",
    }
    for name, value in source.image_encoder.state_dict().items():
        assert torch.equal(network.image_encoder.state_dict()[name], value), name
    assert "dropped model.mask_token" in str(report)


def test_a_model_folder_lends_its_encoder(mini_config: SegVolConfig, tmp_path: Path) -> None:
    source, network = SegVol.fresh(small(mini_config), 1), SegVol.fresh(small(mini_config), 2)
    save_model(source, tmp_path / "model")
    load_encoder(network, tmp_path / "model")
    assert torch.equal(network.state_dict()[POSITIONS], source.state_dict()[POSITIONS])


def test_positions_are_interpolated_to_another_window(mini_config: SegVolConfig, tmp_path: Path) -> None:
    source = SegVol.fresh(small(mini_config), 1)
    depth = torch.arange(2.0).repeat_interleave(16)
    with torch.no_grad():
        source.image_encoder.patch_embedding.position_embeddings.copy_(depth[None, :, None])
    save_encoder(source, tmp_path, {})
    network = SegVol.fresh(small(mini_config, window=(8, 64, 64)), 2)
    report = load_encoder(network, tmp_path)
    assert report.grid == (2, 4, 4)
    positions = network.state_dict()[POSITIONS][0, :, 0].reshape(2, 8, 8)
    assert torch.equal(positions, torch.arange(2.0)[:, None, None].expand(2, 8, 8))


def test_an_encoder_that_does_not_fit_is_refused_and_changes_nothing(mini_config: SegVolConfig, tmp_path: Path) -> None:
    config = small(mini_config, stem=None, high_resolution=False, pixel_decoder=None)
    pretrained(replace(config, depth=3), tmp_path / "deep.ckpt")
    pretrained(config, tmp_path / "linear.ckpt")
    torch.save({"state_dict": {"model.decoder.weight": torch.zeros(1)}}, tmp_path / "none.ckpt")
    stem = SegVol.fresh(small(mini_config), 2)
    before = {name: value.clone() for name, value in stem.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"unexpected: image_encoder\.blocks\.2"):
        load_encoder(SegVol.fresh(config, 2), tmp_path / "deep.ckpt")
    with pytest.raises(CheckpointError, match=r"missing: image_encoder\.patch_embedding\.stem"):
        load_encoder(stem, tmp_path / "linear.ckpt")
    for name in ("none.ckpt", "absent.ckpt"):
        with pytest.raises(CheckpointError, match=name):
            load_encoder(stem, tmp_path / name)
    with pytest.raises(CheckpointError, match="TinyBackbone"):
        load_encoder(TinyBackbone(), tmp_path / "linear.ckpt")
    assert all(torch.equal(value, before[name]) for name, value in stem.state_dict().items())


def test_a_network_that_carries_an_adapter_neither_lends_nor_takes_an_encoder(
    mini_config: SegVolConfig, tmp_path: Path
) -> None:
    network = SegVol.fresh(small(mini_config), 1)
    save_encoder(network, tmp_path / "plain", {})
    qkv = network.image_encoder.blocks[0].attn.qkv
    wrapped = torch.nn.Module()
    wrapped.base_layer = qkv
    network.set_submodule("image_encoder.blocks.0.attn.qkv", wrapped)
    with pytest.raises(CheckpointError, match="carries an adapter"):
        load_encoder(network, tmp_path / "plain")
    with pytest.raises(CheckpointError, match="carries an adapter"):
        save_encoder(network, tmp_path / "wrapped", {})
