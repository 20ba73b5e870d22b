"""A pickle that makes a folder, planted in every kind of file that the program opens: it is never run."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import blosc2
import numpy as np
import pytest
import torch

from segevolution import read
from segevolution.adapters import create, describe, load_adapter, save_adapter
from segevolution.adapters.explain import explain
from segevolution.data.arrays import read_array
from segevolution.data.m3d_seg import read_image, read_masks
from segevolution.data.pack import read_pack
from segevolution.data.splits import Split
from segevolution.data.store import Store
from segevolution.errors import SegevolutionError
from segevolution.evaluation.results import PartName, Results, read_table
from segevolution.models.checkpoints import load_model, save_model
from segevolution.models.segvol.clip_tokenizer import ClipTokenizer
from segevolution.models.segvol.encoder_weights import load_encoder
from segevolution.models.segvol.published import read_published
from segevolution.models.segvol.segvol import SegVol
from segevolution.models.segvol.tokenizer import WordTokenizer
from segevolution.models.tiny import TinyBackbone
from segevolution.training.checkpoint_file import read_checkpoint, step_of


class Payload:
    """Unpickled by anything that trusts it, it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


FORMS = ("bare", "torch", "npy", "npz", "zip")


def payload(marker: Path, form: str) -> bytes:
    """The pickle as somebody would plant it: bare, by torch.save, as an array of objects, in a zip."""
    stream = io.BytesIO()
    content = {"state_dict": Payload(marker)}
    if form == "bare":
        return pickle.dumps(content)
    if form == "torch":
        torch.save(content, stream)
    elif form == "npy":
        np.save(stream, np.array([Payload(marker)], dtype=object), allow_pickle=True)
    elif form == "npz":
        np.savez(stream, **{"mask:liver": np.array([Payload(marker)], dtype=object), "shape": np.array([1, 1, 1])})
    else:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("index.json", pickle.dumps(content))
    return stream.getvalue()


PART = PartName("base", "chaos", "1", "key")
READERS = {
    "last.ckpt": read_checkpoint,
    "step of last.ckpt": lambda path: step_of(path),
    "pytorch_model.bin": read_published,
    "SegVol_v1.pth": read_published,
    "vit_pretrain.ckpt": lambda path: load_encoder(SegVol.fresh(_small(), 0), path),
    "encoder.safetensors": lambda path: load_encoder(SegVol.fresh(_small(), 0), path),
    "signal.b2nd": lambda path: read_array(path, (slice(None),) * 3, (2, 2, 2)),
    "results.parquet": read_table,
    "case.nii.gz": read,
    "case.nii": read,
    "case.nrrd": read,
    "case.mha": read,
    "case.dcm": read,
    "case.npy": read,
    "split.json": Split.load,
    "mini.pack": read_pack,
    "image of M3D-Seg": read_image,
    "masks of M3D-Seg": lambda path: read_masks(path, (2, 2, 2)),
    "tokenizer.json": lambda path: WordTokenizer.load(path.parent),
    "vocab.json": lambda path: ClipTokenizer.load(path.parent),
    "masks.npz": lambda path: _masks(path),
    "store.json": lambda path: Store.open(path.parent),
}


def _small():
    from segevolution.models.segvol.config import SegVolConfig

    return SegVolConfig(
        window=(8, 32, 32), patch=(4, 8, 8), width=64, depth=1, heads=2, mlp=64, decoder_heads=2, decoder_mlp=64
    )


def _masks(path: Path) -> object:
    results = Results(path.parent / "study")
    target = PART.path(results.folder / "masks", ".npz")
    target.parent.mkdir(parents=True)
    target.write_bytes(path.read_bytes())
    return results.masks(PART)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", READERS)
def test_no_reader_runs_it(name: str, form: str, tmp_path: Path) -> None:
    marker, path = tmp_path / "marker", tmp_path / name
    path.write_bytes(payload(marker, form))
    with pytest.raises(SegevolutionError):
        READERS[name](path)
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_no_model_folder_runs_it(file: str, form: str, tmp_path: Path) -> None:
    save_model(TinyBackbone(), tmp_path / "model")
    (tmp_path / "model" / file).write_bytes(payload(tmp_path / "marker", form))
    with pytest.raises(SegevolutionError):
        load_model(tmp_path / "model")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_no_adapter_folder_runs_it(file: str, form: str, tmp_path: Path) -> None:
    network = TinyBackbone()
    adapter = create("context_prior")
    adapter.add_structures(["liver"])
    adapter.attach(network)
    save_adapter(adapter, network, tmp_path / "adapter")
    adapter.detach()
    (tmp_path / "adapter" / file).write_bytes(payload(tmp_path / "marker", form))
    for open_it in (lambda: load_adapter(tmp_path / "adapter", network), lambda: explain(tmp_path / "adapter")):
        with pytest.raises(SegevolutionError):
            open_it()
    with pytest.raises(SegevolutionError):
        describe(tmp_path / "adapter")
    assert not (tmp_path / "marker").exists()


def test_an_array_of_a_store_that_is_a_function_is_not_opened(tmp_path: Path) -> None:
    numbers = blosc2.asarray(np.ones((2, 2, 2)), urlpath=str(tmp_path / "operand.b2nd"), mode="w")

    def fill(inputs, output, offset):
        output[:] = inputs[0]

    blosc2.lazyudf(fill, (numbers,), np.float64).save(urlpath=str(tmp_path / "signal.b2nd"), mode="w")
    with pytest.raises(SegevolutionError, match=r"signal\.b2nd is missing or damaged"):
        read_array(tmp_path / "signal.b2nd", (slice(None),) * 3, (2, 2, 2))


@pytest.mark.parametrize("form", ["bare", "torch", "npy", "npz"])
def test_the_payload_works_where_a_pickle_is_trusted(form: str, tmp_path: Path) -> None:
    content = io.BytesIO(payload(tmp_path / "marker", form))
    if form == "bare":
        pickle.load(content)
    elif form == "torch":
        torch.load(content, weights_only=False)
    else:
        array = np.load(content, allow_pickle=True)
        assert array["mask:liver"] is not None if form == "npz" else array is not None
    assert (tmp_path / "marker").is_dir()


def test_nothing_in_the_code_unpickles() -> None:
    words = (
        "weights_only=False",
        "allow_pickle=True",
        "pickle.load",
        "joblib",
        "read_pickle(",
        "unpack_object",
        "dill",
    )
    for path in (Path(__file__).parents[1] / "src").rglob("*.py"):
        text = path.read_text("utf-8")
        assert not [word for word in words if word in text], path
        assert text.count("torch.load(") == text.count("weights_only=True"), path
