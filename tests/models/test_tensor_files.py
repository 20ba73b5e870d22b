"""Weights that are no weights are refused by name, at every door through which weights come in."""

import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from segevolution.errors import CheckpointError
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.encoder_weights import load_encoder, save_encoder
from segevolution.models.segvol.published import read_published
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.tensor_files import read_headers
from segevolution.models.tiny import TinyBackbone

SMALL = SegVolConfig(
    window=(8, 32, 32), patch=(4, 8, 8), width=64, depth=1, heads=2, mlp=64, decoder_heads=2, decoder_mlp=64
)
UNFIT = {
    "nan": (math.nan, "holds NaN in"),
    "inf": (math.inf, "holds values up to inf in"),
    "minus inf": (-math.inf, "holds values up to inf in"),
    "huge": (1e38, "holds values up to 1e+38 in"),
    "negative huge": (-1e30, "holds values up to 1e+30 in"),
    "large": (2e6, "holds values up to 2e+06 in"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(TinyBackbone(), tmp_path / "model")
    return tmp_path / "model"


def spoil(path: Path, name: str, change) -> None:
    tensors = load_file(path)
    tensors[name] = change(tensors[name].clone())
    save_file(tensors, path)


def with_value(value: float):
    def change(tensor: torch.Tensor) -> torch.Tensor:
        tensor.view(-1)[-1] = value
        return tensor

    return change


@pytest.mark.parametrize(("value", "sentence"), UNFIT.values(), ids=UNFIT)
def test_one_value_that_no_training_gives_is_enough(folder: Path, value: float, sentence: str) -> None:
    spoil(folder / "model.safetensors", "keys.weight", with_value(value))
    with pytest.raises(CheckpointError) as caught:
        load_model(folder)
    assert f"model.safetensors {sentence} keys.weight" in str(caught.value)


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn])
def test_weights_of_another_type_are_refused(folder: Path, kind: torch.dtype) -> None:
    spoil(folder / "model.safetensors", "keys.weight", lambda tensor: tensor.to(kind))
    with pytest.raises(CheckpointError, match=r"of another type: keys\.weight \(fractions are needed\)"):
        load_model(folder)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_taken(folder: Path, kind: torch.dtype) -> None:
    spoil(folder / "model.safetensors", "keys.weight", lambda tensor: tensor.to(kind))
    assert all(value.dtype == torch.float32 for value in load_model(folder).state_dict().values())


def test_the_header_is_read_without_the_numbers(folder: Path) -> None:
    spoil(folder / "model.safetensors", "keys.weight", with_value(math.nan))
    spoil(folder / "model.safetensors", "reach", lambda tensor: tensor.to(torch.int32))
    headers = read_headers(folder / "model.safetensors", CheckpointError)
    assert (headers["keys.weight"].shape, headers["keys.weight"].floating) == ((16, 16), True)
    assert (headers["reach"].shape, headers["reach"].floating) == ((), False)


def test_an_encoder_and_a_published_file_are_held_to_the_same(tmp_path: Path) -> None:
    model = SegVol.fresh(SMALL, 0)
    save_encoder(model, tmp_path / "encoder", {})
    spoil(tmp_path / "encoder" / "encoder.safetensors", "image_encoder.norm.weight", with_value(math.nan))
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors holds NaN in image_encoder\.norm\.weight"):
        load_encoder(model, tmp_path / "encoder")
    state = {f"model.{name}": value.clone() for name, value in model.state_dict().items()}
    state["model.image_encoder.norm.weight"][0] = math.inf
    torch.save(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin holds values up to inf"):
        read_published(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("depth", 10**9, "depth must be less than or equal to 256"),
        ("depth", 200, "missing: image_encoder.blocks.1"),
        ("width", 65_536, "of another shape: "),
        ("window", [4096, 4096, 4096], "of another shape: "),
        ("mlp", 65_536, "of another shape: "),
        ("window", [8, 32], "window"),
        ("text", 5, "text must be"),
        ("text", {"kind": "clip", "layers": 10**9}, r"text.layers must be less than or equal to 256"),
        ("stem", {"channels": [4] * 1000}, "stem.channels"),
        ("structures", "liver", "structures must be a list"),
        ("structures", [1], "structures.0 must be a text"),
        ("high_resolution", "yes", "high_resolution must be true or false"),
        ("coordinates", 1, "coordinates must be"),
    ],
)
def test_sizes_that_the_weights_have_not_are_refused_before_memory_is_taken(
    tmp_path: Path, key: str, value: object, sentence: str, within_memory
) -> None:
    save_model(SegVol.fresh(SMALL, 0), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {key: value}))
    with within_memory(200e6), pytest.raises(CheckpointError) as caught:
        load_model(tmp_path)
    assert sentence in str(caught.value).replace('"', "")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("width", 10**9), ("window", 3), ("window", ["8", 32, 32]), ("structures", {}), ("seed", 1.5)]
)
def test_a_tiny_network_is_held_to_its_types_and_weights(folder: Path, key: str, value: object, within_memory) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with within_memory(200e6), pytest.raises(CheckpointError):
        load_model(folder)


def test_a_config_that_is_within_its_bounds_is_read_as_before() -> None:
    config = SegVolConfig.published()
    assert SegVolConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.text == TextConfig()


@pytest.mark.parametrize("kind", ["expanded", "sparse", "meta"])
def test_a_published_tensor_that_is_no_plain_numbers_is_refused(tmp_path: Path, kind: str, within_memory) -> None:
    values = {
        "expanded": torch.zeros(1).expand(10**12),
        "sparse": torch.zeros(3, 3).to_sparse(),
        "meta": torch.zeros(3, device="meta"),
    }
    torch.save({"model.image_encoder.norm.weight": values[kind]}, tmp_path / "pytorch_model.bin")
    with within_memory(500e6), pytest.raises(CheckpointError, match=r"pytorch_model\.bin .*"):
        read_published(tmp_path / "pytorch_model.bin")
