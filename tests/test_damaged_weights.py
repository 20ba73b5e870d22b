"""Whatever is in a model's, an adapter's or a run's folder: the same answers as before, other ones that its settings
ask for, or one sentence.

Mutations have fixed seeds; a longer run is `SEGEVOLUTION_FUZZ=1000 pytest tests/test_damaged_weights.py`.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from damage import changed, damaged
from segevolution.adapters import create, describe, load_adapter, save_adapter
from segevolution.adapters.explain import explain
from segevolution.adapters.switch import attached
from segevolution.errors import SegevolutionError
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.segvol.config import SegVolConfig, TextConfig
from segevolution.models.segvol.published import read_published
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.models.tiny import TinyBackbone
from segevolution.training.checkpoint_file import read_checkpoint, write_checkpoint

ROUNDS = int(os.environ.get("SEGEVOLUTION_FUZZ", "40"))
SMALL = SegVolConfig(
    window=(8, 32, 32),
    patch=(4, 8, 8),
    width=64,
    depth=1,
    heads=2,
    mlp=64,
    decoder_heads=2,
    decoder_mlp=64,
    text=TextConfig(kind="words", vocabulary=200, width=16, layers=1, heads=2, mlp=32, positions=16),
)
METHODS = {
    "lora": {"rank": 2},
    "full": {},
    "mixture": {"rank": 2, "gate": "learned", "hidden": 4},
    "context_prior": {"lora_rank": 2},
}


def fuzz(folder: Path, file: str, seed: int, read: Callable[[Path], object]) -> int:
    """Damage one file of a folder again and again, and read; returns how often a sentence was the answer."""
    whole, sentences = (folder / file).read_bytes(), []
    for number in range(ROUNDS):
        chance = random.Random(f"{file}/{seed}/{number}")
        as_values = file.endswith(".json") and chance.random() < 0.7
        content = json.dumps(changed(json.loads(whole), chance)).encode() if as_values else damaged(whole, chance)
        (folder / file).write_bytes(content)
        try:
            read(folder)
        except SegevolutionError as error:
            sentences.append(str(error))
    (folder / file).write_bytes(whole)
    read(folder)
    for sentence in sentences:
        assert "\n" not in sentence
        assert 20 < len(sentence) < 2000, sentence
    return len(sentences)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_model_folder(file: str, tmp_path: Path, within_memory) -> None:
    save_model(SegVol.fresh(SMALL, 0, WordTokenizer.of_vocabulary()), tmp_path / "model")
    with within_memory(1e9):
        assert fuzz(tmp_path / "model", file, 1, load_model) > ROUNDS // 4


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_a_tiny_model_folder(file: str, tmp_path: Path, within_memory) -> None:
    save_model(TinyBackbone(), tmp_path / "model")
    with within_memory(1e9):
        assert fuzz(tmp_path / "model", file, 2, load_model) > ROUNDS // 4


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_folder(method: str, file: str, tmp_path: Path, within_memory) -> None:
    network = TinyBackbone()
    base = {name: value.clone() for name, value in network.state_dict().items()}
    adapter = create(method, METHODS[method])
    adapter.add_structures(["liver"])
    adapter.attach(network)
    with torch.no_grad():
        for parameter in adapter.trainable_parameters():
            parameter.add_(0.01)
    save_adapter(adapter, network, tmp_path / "adapter", {"data": ["CHAOS"], "metrics": {"dice": 0.5}})
    adapter.detach()

    def read(folder: Path) -> None:
        describe(folder)
        if method == "context_prior":
            explain(folder)
        loaded = load_adapter(folder, network)
        assert all(bool(torch.isfinite(value).all()) for value in loaded.state().values())
        loaded.detach()

    with within_memory(1e9):
        fuzz(tmp_path / "adapter", file, 3, read)
    assert attached(network) is None
    assert all(torch.equal(value, base[name]) for name, value in network.state_dict().items())


def test_a_published_file(tmp_path: Path, within_memory) -> None:
    state = {f"model.{name}": value for name, value in SegVol.fresh(SMALL, 0).state_dict().items()}
    torch.save(state, tmp_path / "pytorch_model.bin")
    with within_memory(1e9):
        fuzz(tmp_path, "pytorch_model.bin", 4, read_published)


def test_a_training_checkpoint(tmp_path: Path, within_memory) -> None:
    parts: dict[str, object] = {"loops": {}, "callbacks": {}, "optimizer_states": [], "lr_schedulers": []}
    weights = {"weight": torch.arange(64.0).reshape(8, 8)}
    write_checkpoint(tmp_path / "last.ckpt", {"global_step": 3, "state_dict": weights, "average": weights, **parts})
    with within_memory(1e9):
        assert fuzz(tmp_path, "last.ckpt", 5, lambda folder: read_checkpoint(folder / "last.ckpt")) > ROUNDS * 0.9


def test_folders_stay_as_they_were(tmp_path: Path) -> None:
    save_model(TinyBackbone(), tmp_path / "model")
    shutil.copytree(tmp_path / "model", tmp_path / "copy")
    fuzz(tmp_path / "model", "config.json", 6, load_model)
    for path in (tmp_path / "copy").iterdir():
        assert path.read_bytes() == (tmp_path / "model" / path.name).read_bytes()
